"""A campaign's folder: its files, tables, manifest, ledger, and the preset that it gives.

The other modules import pandas, so they are imported by name: `make_preset` from `search.results.export`, and so on.
"""

from search.results.folder import ROOT, CampaignFolder, RecordedCampaign

__all__ = ["ROOT", "CampaignFolder", "RecordedCampaign"]
