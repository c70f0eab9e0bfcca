from .asha import Decision, rung_epochs
from .controller import Budget, Controller, Rules
from .importance import order_by_importance
from .ped_anova import Importance, measure_importance
from .replay import replay_study
from .retries import Cause, RetryPolicy, TrainingFailure
from .samplers import make_sampler
from .settings import FidelityPolicy, SamplerKind, StudySettings
from .space import Choice, Range, SpaceConfig
from .study import CampaignStudy, load_study, read_trials
from .trial_record import EpochRecord, TrialAssignment, TrialRecord

__all__ = [
    "Budget",
    "CampaignStudy",
    "Cause",
    "Choice",
    "Controller",
    "Decision",
    "EpochRecord",
    "FidelityPolicy",
    "Importance",
    "Range",
    "RetryPolicy",
    "Rules",
    "SamplerKind",
    "SpaceConfig",
    "StudySettings",
    "TrainingFailure",
    "TrialAssignment",
    "TrialRecord",
    "load_study",
    "make_sampler",
    "measure_importance",
    "order_by_importance",
    "read_trials",
    "replay_study",
    "rung_epochs",
]
