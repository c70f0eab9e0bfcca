from .in_process import InProcessEngine
from .incumbent import IncumbentTraining
from .job import TrialJob
from .protocol import Engine, Finished, Stream
from .ray_engine import RayEngine
from .tasks import TaskRunner, TrainingTask

__all__ = [
    "Engine",
    "Finished",
    "InProcessEngine",
    "IncumbentTraining",
    "RayEngine",
    "Stream",
    "TaskRunner",
    "TrainingTask",
    "TrialJob",
]
