"""The rungs of a running campaign: the values that trials had there, and which trials go on.

ASHA comes in two variants. In the stopping variant a trial is judged when it reaches a rung, and goes on at once or
ends (see `search.study.asha`). In the promotion variant it is paused at each rung; whenever a process is free, the best
paused trial among the best share of its rung goes on, and only if there is none a new trial begins. That is the variant
of the paper (Li et al. 2020, arXiv:1810.05934): nothing runs on only because it came first.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Iterable, Mapping

from search.study.asha import Decision, decide, decide_again
from search.study.settings import AshaVariant
from search.study.trial_record import EpochRecord, TrialRecord


class Rungs:
    """The values at all rungs, and what follows from them.

    It holds nothing that the records of the trials do not: it is made from them anew when a campaign is resumed.

    Attributes:
        values: values of the trials that have reached each rung, by rung and trial.
        paused: the rung at which each paused trial waits, by trial.
    """

    def __init__(
        self, epochs: Iterable[int], reduction: int, variant: AshaVariant, trials: Iterable[TrialRecord]
    ) -> None:
        """Read the values that recorded trials had at the rungs.

        Args:
            epochs: the epochs of the rungs, see `search.study.asha.rung_epochs`.
            reduction: ASHA's reduction factor.
            variant: `stopping` or `promotion`.
            trials: the trials of the campaign so far.
        """
        self.values: dict[int, dict[int, float]] = {rung: {} for rung in epochs}
        self.paused: dict[int, int] = {}
        self._reduction, self._variant = reduction, variant
        self._ranked: dict[int, list[tuple[float, int]]] = {rung: [] for rung in self.values}  # the best first
        for trial in trials:
            for rung in self.values:
                if rung in trial.epochs:
                    self._add(trial.number, rung, trial.epochs[rung].value)
            if variant == "promotion" and trial.outcome is None and _is_paused(trial):
                self.paused[trial.number] = trial.last_epoch

    def _add(self, number: int, rung: int, value: float) -> None:
        self.values[rung][number] = value
        if math.isfinite(value):
            insort(self._ranked[rung], (-value, number))

    def decide(self, trial: TrialRecord, epoch: EpochRecord) -> Decision | None:
        """Decide on a trial that reports a new epoch.

        Args:
            trial: the record of the trial, without that epoch.
            epoch: the epoch.

        Returns:
            the decision of the rung at that epoch; elsewhere the decision to stop a trial that an earlier rung let
            continue when it had seen few others, or None.
        """
        rung, value = epoch.epoch, epoch.value
        if rung not in self.values:
            return self._judge_again(trial, value) if self._variant == "stopping" else None
        decision = decide(rung, value, self.values[rung], self._reduction)
        if self._variant == "stopping" or not math.isfinite(value):
            return decision
        kept = decision.seen // self._reduction
        goes_on = decision.rank <= kept and not self._has_paused_above(rung, decision.rank, kept)
        return Decision(rung, value, decision.seen, decision.rank, kept, "continue" if goes_on else "pause")

    def _judge_again(self, trial: TrialRecord, value: float) -> Decision | None:
        """Return the decision to stop a trial that its last rung let continue when few had reached it, or None."""
        rung = max((rung for rung in self.values if rung in trial.epochs), default=None)
        earlier = None if rung is None else trial.epochs[rung].decision
        if rung is None or earlier is None or earlier.seen >= self._reduction:
            return None  # as for nearly all trials: going through a rung of thousands at each epoch would take long
        others = {number: other for number, other in self.values[rung].items() if number != trial.number}
        return decide_again(earlier, value, others, self._reduction)

    def _has_paused_above(self, rung: int, rank: int, kept: int) -> bool:
        """Return whether a paused trial should go on before the one of this rank at this rung."""
        higher = [other for other in self.values if other > rung]
        if any(self._next_at(other, len(self._ranked[other]) // self._reduction) is not None for other in higher):
            return True
        return any(self.paused.get(number) == rung for _, number in self._ranked[rung][: min(rank - 1, kept)])

    def record(self, number: int, epoch: EpochRecord, decision: Decision | None) -> None:
        """Take in an epoch that has been written to the journal.

        Args:
            number: number of the trial.
            epoch: the epoch.
            decision: what was decided on it; None if nothing was.
        """
        self.paused.pop(number, None)
        if epoch.epoch in self.values:
            self._add(number, epoch.epoch, epoch.value)
            if decision is not None and decision.action == "pause":
                self.paused[number] = epoch.epoch

    def promote(self, at_end: bool) -> int | None:
        """Return the number of the paused trial that is to go on next, and pause it no more; None if none is.

        Args:
            at_end: whether no new trials come, so that of each rung at least one goes on.
        """
        for rung in sorted(self.values, reverse=True):
            share = len(self._ranked[rung]) // self._reduction
            number = self._next_at(rung, max(share, 1) if at_end else share)
            if number is not None:
                del self.paused[number]
                return number
        return None

    def _next_at(self, rung: int, kept: int) -> int | None:
        """Return the best of the first `kept` trials of a rung that is paused there; None if there is none."""
        return next((number for _, number in self._ranked[rung][:kept] if self.paused.get(number) == rung), None)

    def reasons(self) -> Mapping[int, str]:
        """Return for each paused trial, by number, why it does not go on, for the time when no more trials do."""
        reasons = {}
        for number, rung in self.paused.items():
            ranked = self._ranked[rung]
            rank = 1 + next(index for index, (_, other) in enumerate(ranked) if other == number)
            kept = max(len(ranked) // self._reduction, 1)
            reasons[number] = f"not promoted at rung {rung}: rank {rank} of {len(ranked)}, not in the top {kept}"
        return reasons


def _is_paused(trial: TrialRecord) -> bool:
    """Return whether the rung at a trial's last epoch has paused it, and has not let it go on since."""
    decision = trial.last.decision if trial.epochs else None
    return decision is not None and decision.action == "pause" and trial.promoted != trial.last_epoch
