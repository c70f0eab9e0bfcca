from .export import make_preset
from .folder import ROOT, CampaignFolder
from .ledger import append_entry, earlier_overlapping, has_read_test
from .ledger_entry import LedgerEntry, OverlappingEntry
from .manifest import check_manifest, write_manifest
from .predictions import INCUMBENT, probabilities_of, timestamps_of
from .ranking import find_winner, rank_trials
from .records import CampaignRecord, CellRecord, IncumbentRecord, RankedTrial
from .regenerate import Regeneration, regenerate_all, regenerate_campaigns
from .verdict import Verdict

__all__ = [
    "INCUMBENT",
    "ROOT",
    "CampaignFolder",
    "CampaignRecord",
    "CellRecord",
    "IncumbentRecord",
    "LedgerEntry",
    "OverlappingEntry",
    "RankedTrial",
    "Regeneration",
    "Verdict",
    "append_entry",
    "check_manifest",
    "earlier_overlapping",
    "find_winner",
    "has_read_test",
    "make_preset",
    "probabilities_of",
    "rank_trials",
    "regenerate_all",
    "regenerate_campaigns",
    "timestamps_of",
    "write_manifest",
]
