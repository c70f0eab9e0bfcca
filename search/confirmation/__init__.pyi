from .candidates import Candidate, Cell
from .cells import CellResult, train_cell
from .certify import Selection, make_verdict, select_winner
from .judge import judge_campaign
from .plan import ConfirmationPlan, plan_confirmation
from .race import Drop, Race, RaceRules, run_race
from .run import run_confirmation
from .subject import ConfirmationSubject, Contender
from .verify import Verification, verify_preset

__all__ = [
    "Candidate",
    "Cell",
    "CellResult",
    "ConfirmationPlan",
    "ConfirmationSubject",
    "Contender",
    "Drop",
    "Race",
    "RaceRules",
    "Selection",
    "Verification",
    "judge_campaign",
    "make_verdict",
    "plan_confirmation",
    "run_confirmation",
    "run_race",
    "select_winner",
    "train_cell",
    "verify_preset",
]
