from .compare import STRATEGIES, StrategyResult
from .lcbench import LcbenchProblem, LcbenchSurrogate
from .problem import Problem, regret
from .recorded import RecordedCells, RecordedCurves, RecordedEpochs, read_table
from .simulate import Fidelity, SimulatedCampaign, Strategy

__all__ = [
    "STRATEGIES",
    "Fidelity",
    "LcbenchProblem",
    "LcbenchSurrogate",
    "Problem",
    "RecordedCells",
    "RecordedCurves",
    "RecordedEpochs",
    "SimulatedCampaign",
    "Strategy",
    "StrategyResult",
    "read_table",
    "regret",
]
