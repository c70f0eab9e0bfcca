from .campaign_data import CampaignData, read_campaign_data
from .elements import Chart, ParallelCoordinates, Section, Table
from .page import render_page
from .write import write_report

__all__ = [
    "CampaignData",
    "Chart",
    "ParallelCoordinates",
    "Section",
    "Table",
    "read_campaign_data",
    "render_page",
    "write_report",
]
