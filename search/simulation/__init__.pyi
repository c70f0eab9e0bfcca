from .compare import STRATEGIES, StrategyResult
from .lcbench import LcbenchProblem, LcbenchSurrogate
from .problem import Problem, regret
from .recorded import RecordedCells, RecordedCurves, RecordedEpochs, read_table
from .recorded_campaign import CampaignProblem, RecordedCampaign, read_campaign
from .simulate import Fidelity, SimulatedCampaign, Strategy

__all__ = [
    "STRATEGIES",
    "CampaignProblem",
    "Fidelity",
    "LcbenchProblem",
    "LcbenchSurrogate",
    "Problem",
    "RecordedCampaign",
    "RecordedCells",
    "RecordedCurves",
    "RecordedEpochs",
    "SimulatedCampaign",
    "Strategy",
    "StrategyResult",
    "read_campaign",
    "read_table",
    "regret",
]
