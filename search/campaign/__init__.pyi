from .plan import CampaignPlan, plan_campaign, plan_resume
from .run import resume_campaign, run_campaign
from .status import CampaignStatus, read_campaign_status
from .summary import CampaignSummary

__all__ = [
    "CampaignPlan",
    "CampaignStatus",
    "CampaignSummary",
    "plan_campaign",
    "plan_resume",
    "read_campaign_status",
    "resume_campaign",
    "run_campaign",
]
