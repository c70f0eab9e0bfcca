from .campaign.plan import plan_campaign, plan_resume
from .campaign.run import resume_campaign, run_campaign
from .config import CampaignConfig
from .confirmation.plan import plan_confirmation
from .confirmation.run import run_confirmation
from .results.export import make_preset
from .results.folder import CampaignFolder

__all__ = [
    "CampaignConfig",
    "CampaignFolder",
    "make_preset",
    "plan_campaign",
    "plan_confirmation",
    "plan_resume",
    "resume_campaign",
    "run_campaign",
    "run_confirmation",
]
