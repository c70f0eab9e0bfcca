"""The study: what Optuna proposed, what came of it, in a journal that is the single source of truth.

A sampler is made anew for each trial, seeded by the campaign's seed and the trial's number, and sees what the journal
holds: so there is no sampler's state to restore, and `replay` can make every proposal again.
"""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from core.errors import ConfigError
from search.study.journal import Journal, JournalReader
from search.study.samplers import make_sampler, sampler_keywords
from search.study.settings import FidelityPolicy, StudySettings
from search.study.trial_record import EpochRecord, TrialRecord, TrialStatus

_EPOCH, _OUTCOME, _REASON, _ATTEMPT = "epoch_{}", "outcome", "reason", "attempt"
_DEATHS, _DIFFERENCES = "deaths", "differences"
_ORIGIN, _TOLD, _GENERATION = "origin", "told_from", "generation"


def _open_storage(backend: Journal | JournalReader) -> JournalStorage:
    """Open Optuna's view of a journal, and keep Optuna quiet below warnings: the campaign reports its own progress."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return JournalStorage(backend)


class CampaignStudy:
    """A study that is being run. Every method writes to the journal before it returns.

    Attributes:
        settings: what its proposals depend on.
        trials: by number.
        ended: those that have an outcome, in the order in which they got it.
        generation: how often the campaign has been taken over, see `take_over`.
    """

    def __init__(
        self,
        path: Path,
        settings: StudySettings,
        *,
        must_exist: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the journal, make it if there is none, and take in what it holds.

        Args:
            path: the journal.
            settings: what proposals depend on.
            must_exist: whether a journal without a study is an error.
            clock: seconds, for what the campaign has taken.

        Raises:
            ConfigError: another process holds it, or it is damaged.
        """
        self.settings = settings
        self._must_exist = must_exist
        self._clock = clock
        self._opened = clock()
        self._journal = Journal(path)
        self._elapsed_before = self._journal.last("at", 0.0)
        try:
            self._storage = _open_storage(self._journal)
            self._study = self._open()
            self._study_id = self._storage.get_study_id_from_name(settings.name)
            self.generation = int(self._study.user_attrs.get(_GENERATION, 0))
            self.trials = {record.number: record for record in read_trials(self._study)}
            self.ended = self._in_order_of_end()
        except (KeyError, TypeError, ValueError) as error:
            self.close()
            raise ConfigError(f"{path} is no journal of this program ({error!r})", "Restore it from a copy") from None
        except BaseException:
            self.close()
            raise

    def _open(self) -> optuna.Study:
        names = optuna.get_all_study_names(self._storage)
        if not names and self._must_exist:
            raise ConfigError("The campaign's journal is empty", "Restore it from a copy, or start a new campaign")
        if not names:
            with self._together("open"):
                study = optuna.create_study(storage=self._storage, study_name=self.settings.name, direction="maximize")
                for name, value in _written_down(self.settings).items():
                    study.set_user_attr(name, value)
            return study
        study = optuna.load_study(storage=self._storage, study_name=self.settings.name)
        for name, value in _written_down(self.settings).items():
            if study.user_attrs.get(name) != value:
                raise ConfigError(
                    f"The {name} of campaign {self.settings.name} is not what its journal was begun with",
                    "Undo the change in its campaign.yaml, or start a new campaign",
                )
        return study

    def _in_order_of_end(self) -> list[TrialRecord]:
        stored = {trial.number: trial for trial in self._study.get_trials(deepcopy=False)}
        ended = [record for record in self.trials.values() if record.outcome is not None]
        return sorted(ended, key=lambda record: stored[record.number].datetime_complete or datetime.min)

    @property
    def elapsed(self) -> float:
        """Seconds that all runs of the campaign have taken, up to now."""
        return self._elapsed_before + self._clock() - self._opened

    def _together(self, kind: str, **about: Any) -> AbstractContextManager[None]:
        return self._journal.together({"kind": kind, "at": round(self.elapsed, 1), **about})

    def close(self) -> None:
        """Let others have the journal."""
        self._journal.close()

    def ask_first(self, wanted: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Put values at the front of what is proposed: pairs of where they come from and the parameters."""
        with self._together("ask first", wanted=[dict(params) for _, params in wanted]):
            for origin, params in wanted:
                self._study.enqueue_trial(dict(params), user_attrs={_ORIGIN: origin})

    def tell_earlier(self, origin: str, trials: Sequence[TrialRecord]) -> None:
        """Tell the sampler what an earlier campaign of the same identity found; these are no trials of this one."""
        with self._together("tell earlier", count=len(trials)):
            for record in trials:
                state, value = _told(record, self.settings.policy)
                found = {epoch: entry.value for epoch, entry in record.epochs.items()}
                self._study.add_trial(
                    create_trial(
                        state=state,
                        value=value,
                        params=dict(record.params),
                        distributions=dict(self.settings.distributions),
                        user_attrs={_TOLD: origin},
                        intermediate_values=found,
                    )
                )

    def ask(self) -> TrialRecord:
        """A new trial; started."""
        number = next_number(self._study)
        with self._together("ask", trial=number):
            self._study.sampler = make_sampler(self.settings.sampler, self.settings.seed, number)
            trial = self._study.ask(dict(self.settings.distributions))
            record = TrialRecord(number, dict(trial.params), trial.user_attrs.get(_ORIGIN, "sampler"))
            self._begin(record)
        self.trials[number] = record
        return record

    def restart(self, number: int) -> TrialRecord:
        """Count another start of a trial that has not ended."""
        record = self.trials[number]
        with self._together("restart", trial=number):
            self._begin(record)
        return record

    def _begin(self, record: TrialRecord) -> None:
        self._set(record.number, _ATTEMPT, record.attempts + 1)
        if self.generation:
            self._set(record.number, _GENERATION, self.generation)
        record.attempts, record.generation = record.attempts + 1, self.generation

    def report(self, number: int, epoch: EpochRecord, end: tuple[TrialStatus, str] | None = None) -> None:
        """Write an epoch and its decision to the journal, and with them how they end the trial, if they do.

        An epoch that the journal holds already is left as it is: the first value stands.
        """
        record = self.trials[number]
        if epoch.epoch in record.epochs or record.outcome is not None:
            return
        decision = epoch.decision.as_row() if epoch.decision else None
        content = json.dumps({"row": epoch.as_row(), "decision": decision}, separators=(",", ":"))
        with self._together("result", trial=number, epoch=epoch.epoch, ended=end is not None):
            self._storage.set_trial_intermediate_value(self._id(number), epoch.epoch, epoch.value)
            self._set(number, _EPOCH.format(epoch.epoch), content)
            record.epochs[epoch.epoch] = epoch
            if end is not None:
                self._end(record, *end)

    def record_death(self, number: int, reason: str) -> None:
        """Write down that a trial's process died; it may be started again."""
        self._note(number, "death", _DEATHS, self.trials[number].deaths, reason)

    def record_difference(self, number: int, said: str) -> None:
        """Write down that an epoch was run again and came out otherwise; the first value stands."""
        self._note(number, "difference", _DIFFERENCES, self.trials[number].differences, said)

    def _note(self, number: int, kind: str, key: str, notes: list[str], said: str) -> None:
        with self._together(kind, trial=number):
            self._set(number, key, [*notes, said])
        notes.append(said)

    def end(self, number: int, outcome: TrialStatus, reason: str) -> None:
        """Write down how a trial ended; the first outcome stands."""
        record = self.trials[number]
        if record.outcome is None:
            with self._together("end", trial=number, ended=True):
                self._end(record, outcome, reason)

    def _end(self, record: TrialRecord, outcome: TrialStatus, reason: str) -> None:
        record.outcome, record.reason = outcome, reason
        self._set(record.number, _OUTCOME, outcome)
        self._set(record.number, _REASON, reason)
        state, value = _told(record, self.settings.policy)
        self._study.tell(record.number, value, state)
        self.ended.append(record)

    def _set(self, number: int, key: str, value: Any) -> None:
        self._storage.set_trial_user_attr(self._id(number), key, value)

    def _id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)


def _written_down(settings: StudySettings) -> dict[str, Any]:
    """What a study's proposals depend on, as its journal holds it from the beginning."""
    space = {name: distribution_to_json(found) for name, found in settings.distributions.items()}
    sampler = {"kind": settings.sampler, "seed": settings.seed, **sampler_keywords(settings.sampler)}
    return {"space": space, "sampler": sampler, "policy": settings.policy}


def _told(record: TrialRecord, policy: FidelityPolicy) -> tuple[TrialState, float | None]:
    """What the sampler is told of a trial that ended."""
    if record.outcome == "failed" or not math.isfinite(record.value):
        return TrialState.FAIL, None
    if record.outcome == "complete" or policy == "complete":
        return TrialState.COMPLETE, record.value
    return (TrialState.PRUNED, None) if policy == "pruned" else (TrialState.FAIL, None)


def next_number(study: optuna.Study) -> int:
    """The number that the next trial gets: of the values asked for first the first, else a new one."""
    trials = study.get_trials(deepcopy=False)
    return min((trial.number for trial in trials if trial.state == TrialState.WAITING), default=len(trials))


def read_trials(study: optuna.Study) -> list[TrialRecord]:
    """The trials of a campaign's study, by number; without those told from earlier campaigns and those not asked yet.

    Raises:
        KeyError, ValueError: the study is none of this program's.
    """
    return [
        _record(trial)
        for trial in study.get_trials(deepcopy=False)
        if trial.state != TrialState.WAITING and _TOLD not in trial.user_attrs
    ]


def _record(trial: FrozenTrial) -> TrialRecord:
    attrs = trial.user_attrs
    epochs = {}
    for epoch in sorted(trial.intermediate_values):
        content = json.loads(attrs[_EPOCH.format(epoch)])
        epochs[epoch] = EpochRecord.from_row(content["row"], content["decision"])
    return TrialRecord(
        trial.number,
        dict(trial.params),
        attrs.get(_ORIGIN, "sampler"),
        epochs,
        attrs[_ATTEMPT],
        attrs.get(_OUTCOME),
        attrs.get(_REASON, ""),
        list(attrs.get(_DEATHS, [])),
        list(attrs.get(_DIFFERENCES, [])),
        attrs.get(_GENERATION, 0),
    )


def take_over(path: Path, name: str) -> None:
    """Begin another generation of a campaign, of which this journal is a copy.

    Its driver may run on somewhere, and start trials that the copy does not know of: what is started from here on must
    not be taken for those.

    Raises:
        ConfigError: the journal is damaged, or another campaign's.
    """
    journal = Journal(path)
    try:
        study = optuna.load_study(storage=_open_storage(journal), study_name=name)
        with journal.together({"kind": "take over"}):
            study.set_user_attr(_GENERATION, int(study.user_attrs.get(_GENERATION, 0)) + 1)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} is no journal of campaign {name} ({error!r})", "Restore it from a copy") from None
    finally:
        journal.close()


def load_study(path: Path, name: str) -> optuna.Study:
    """The study of a journal, for reading; the campaign may be running.

    Raises:
        ConfigError: the journal is missing, damaged, or another campaign's.
    """
    try:
        return optuna.load_study(storage=_open_storage(JournalReader.open(path)), study_name=name)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} is no journal of campaign {name} ({error!r})", "Restore it from a copy") from None


def copy_study(path: Path, name: str, url: str) -> int:
    """Copy a campaign's study into any storage that Optuna knows by URL; returns the number of trials.

    Raises:
        ConfigError: the journal cannot be read, or the storage cannot be written or holds a study of that name.
    """
    study = load_study(path, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            own = _open_storage(JournalReader.open(path))
            optuna.copy_study(from_study_name=name, from_storage=own, to_storage=url)
    except Exception as error:  # each storage fails in its own way; a URL may hold a password, so it is not repeated
        told = type(error).__name__
        raise ConfigError(
            f"The study cannot be copied there ({told})", "Check the URL, and that it holds no such study"
        ) from None
    return len(study.get_trials(deepcopy=False))
