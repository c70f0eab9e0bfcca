from .cells import CellResult, train_cell
from .certify import Selection, make_verdict, select_winner
from .plan import Candidate, Cell, ConfirmationPlan, plan_confirmation
from .run import run_confirmation
from .verify import Verification, verify_preset

__all__ = [
    "Candidate",
    "Cell",
    "CellResult",
    "ConfirmationPlan",
    "Selection",
    "Verification",
    "make_verdict",
    "plan_confirmation",
    "run_confirmation",
    "select_winner",
    "train_cell",
    "verify_preset",
]
