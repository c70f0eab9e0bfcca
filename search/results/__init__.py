"""Keeps the results of campaigns: folder, tables, manifest, ledger, verdict, and the preset that a campaign gives.

The other modules import pandas, so they are imported by name: `make_preset` from `search.results.export`, and so on.
"""

from search.results.folder import ROOT, CampaignFolder, RecordedCampaign

__all__ = ["ROOT", "CampaignFolder", "RecordedCampaign"]
