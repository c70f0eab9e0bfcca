"""The study: all proposals of Optuna and their results, in a journal that is the single source of truth.

Each trial has its own sampler, seeded by the seed of the campaign and the number of the trial, which sees what the
journal holds. So there is no state of a sampler to restore, and `search.study.replay` can repeat every proposal.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.storages import BaseStorage, JournalStorage
from optuna.trial import TrialState, create_trial

from core.errors import ConfigError, one_line
from core.files import reading
from search.study.journal.backend import Journal, JournalReader
from search.study.journal.memory import MemoryJournal
from search.study.journal.records import (
    ATTEMPT,
    BASE_VALUES,
    DEATHS,
    DIFFERENCES,
    EARLIER_CAMPAIGN,
    EPOCH,
    GENERATION,
    ORIGIN,
    OUTCOME,
    PROMOTED,
    REASON,
    record_from_attributes,
)
from search.study.proposals import make_record, next_trial_number, optuna_result, propose, searched_params
from search.study.samplers import sampler_keywords
from search.study.settings import StudySettings
from search.study.trial_record import EpochRecord, TrialRecord, TrialStatus


def _open_storage(backend: Journal | JournalReader | MemoryJournal) -> BaseStorage:
    """Open Optuna's view of a journal, and keep Optuna quiet below warnings: the campaign reports its own progress."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return backend.storage if isinstance(backend, MemoryJournal) else JournalStorage(backend)


@contextmanager
def _reading(path: Path, name: str) -> Iterator[None]:
    """Turn any error of Optuna, which the journal of a campaign causes in the block, into one that names the file."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:  # damaged lines make Optuna fail in many ways, among them failed assertions
        raise ConfigError(
            f"{path} is not a journal of campaign {name} ({one_line(error)})", "Restore it from a backup"
        ) from None


class CampaignStudy:
    """The study of a running campaign; every method writes to the journal before it returns.

    The records in memory change after the journal has been written, so that they never hold what a failed write lost.

    Attributes:
        settings: the settings that the proposals depend on.
        trials: all trials of the campaign, by number.
        ended: the trials that have a final status, in the order in which they ended.
        generation: how often the campaign has been taken over, see `take_over`.
    """

    def __init__(
        self,
        path: Path | None,
        settings: StudySettings,
        *,
        must_exist: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the journal of a campaign, or create it, and read its trials.

        Args:
            path: path of the campaign's journal file; None for a journal in memory, which no process can resume.
            settings: the settings that the proposals depend on.
            must_exist: whether a journal without a study is an error.
            clock: returns seconds; measures how long the campaign has run.

        Raises:
            ConfigError: another process has locked the journal, it is damaged, or it was begun with other settings.
        """
        self.settings = settings
        self._must_exist = must_exist
        self._clock = clock
        self._opened = clock()
        self._journal = MemoryJournal() if path is None else Journal(path)
        self._elapsed_before = self._journal.last_number("at", 0.0)
        try:
            with _reading(path or Path("memory"), settings.name):
                self._storage = _open_storage(self._journal)
                self._study = self._open()
                self._study_id = self._storage.get_study_id_from_name(settings.name)
                self.generation = int(self._study.user_attrs.get(GENERATION, 0))
                self.trials = {record.number: record for record in read_trials(self._study)}
                self.ended = self._ended_in_order()
        except BaseException:
            self.close()
            raise

    def _open(self) -> optuna.Study:
        names = optuna.get_all_study_names(self._storage)
        if not names and self._must_exist:
            raise ConfigError("The campaign's journal is empty", "Restore it from a backup, or start a new campaign")
        if not names:
            with self._transaction("open"):
                study = optuna.create_study(storage=self._storage, study_name=self.settings.name, direction="maximize")
                for name, value in _recorded_settings(self.settings).items():
                    study.set_user_attr(name, value)
            return study
        study = optuna.load_study(storage=self._storage, study_name=self.settings.name)
        settings = _recorded_settings(self.settings)
        for name in ("space", "sampler", "policy", "pauses", "conditions", "base_values"):
            if study.user_attrs.get(name) != settings.get(name):
                raise ConfigError(
                    f"The {name} of campaign {self.settings.name} is not the one that its journal was begun with",
                    "Undo the change in its campaign.yaml, or start a new campaign",
                )
        return study

    def _ended_in_order(self) -> list[TrialRecord]:
        """Return the trials that have a final status, in the order in which they ended."""
        stored = {trial.number: trial for trial in self._study.get_trials(deepcopy=False)}
        ended = [record for record in self.trials.values() if record.outcome is not None]
        return sorted(ended, key=lambda record: stored[record.number].datetime_complete or datetime.min)

    @property
    def elapsed(self) -> float:
        """Wall-clock time of all runs of the campaign up to now, in seconds."""
        return self._elapsed_before + self._clock() - self._opened

    def _transaction(self, kind: str, **details: Any) -> AbstractContextManager[None]:
        """Return a transaction of the journal that records what it is about, and when."""
        return self._journal.transaction({"kind": kind, "at": round(self.elapsed, 1), **details})

    def close(self) -> None:
        """Close the journal, and unlock it for other processes."""
        self._journal.close()

    def enqueue_trials(self, proposals: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Queue proposals that the next trials take before the sampler is asked.

        Args:
            proposals: origin, such as `preset production_small`, and hyperparameters of each proposal, in their order.
        """
        queued = [(origin, searched_params(params, self.settings)) for origin, params in proposals]
        with self._transaction("ask first", wanted=[params for _, params in queued]):
            for origin, params in queued:
                self._study.enqueue_trial(params, user_attrs={ORIGIN: origin})

    def add_earlier_trials(self, campaign: str, trials: Sequence[TrialRecord]) -> None:
        """Let the sampler learn from the trials of an earlier campaign; they do not count as trials of this campaign.

        Args:
            campaign: name of the earlier campaign, which has the same identity as this one.
            trials: its trials that have ended.
        """
        with self._transaction("tell earlier", count=len(trials)):
            for record in trials:
                state, value = optuna_result(record, self.settings.policy)
                params = searched_params(record.params, self.settings)
                self._study.add_trial(
                    create_trial(
                        state=state,
                        value=value,
                        params=params,
                        distributions={name: self.settings.distributions[name] for name in params},
                        user_attrs={EARLIER_CAMPAIGN: campaign},
                        intermediate_values={number: epoch.value for number, epoch in record.epochs.items()},
                    )
                )

    def ask(self) -> TrialRecord:
        """Start a new trial and return it, with a queued proposal or a new one of the sampler."""
        number = next_trial_number(self._study)
        with self._transaction("ask", trial=number):
            record = make_record(propose(self._study, self.settings, number), self.settings)
            if record.not_searched:
                self._set(number, BASE_VALUES, {name: record.params[name] for name in record.not_searched})
            self._write_attempt(record)
        self.trials[number] = record
        return self._remember_attempt(record)

    def restart(self, number: int, promoted: int = 0) -> TrialRecord:
        """Start a trial that has not ended once more, and return it.

        Args:
            number: number of the trial.
            promoted: the rung that the trial was paused at, if that lets it go on now.
        """
        record = self.trials[number]
        with self._transaction("restart", trial=number):
            if promoted:
                self._set(number, PROMOTED, promoted)
            self._write_attempt(record)
        record.promoted = promoted or record.promoted
        return self._remember_attempt(record)

    def _write_attempt(self, record: TrialRecord) -> None:
        self._set(record.number, ATTEMPT, record.attempts + 1)
        if self.generation:
            self._set(record.number, GENERATION, self.generation)

    def _remember_attempt(self, record: TrialRecord) -> TrialRecord:
        record.attempts, record.generation = record.attempts + 1, self.generation
        return record

    def report(self, number: int, epoch: EpochRecord, end: tuple[TrialStatus, str] | None = None) -> None:
        """Record an epoch and its decision, and in the same transaction the end of the trial if they end it.

        An epoch that the journal holds already is not replaced: the first value stands.

        Args:
            number: number of the trial.
            epoch: the epoch, with the decision of its rung if there is one.
            end: final status of the trial and the reason, if the trial ends with this epoch.
        """
        record = self.trials[number]
        if epoch.epoch in record.epochs or record.outcome is not None:
            return
        decision = epoch.decision.as_row() if epoch.decision else None
        content = json.dumps({"row": epoch.as_row(), "decision": decision}, separators=(",", ":"))
        with self._transaction("result", trial=number, epoch=epoch.epoch, ended=end is not None):
            self._storage.set_trial_intermediate_value(self._id(number), epoch.epoch, epoch.value)
            self._set(number, EPOCH.format(epoch.epoch), content)
            if end is not None:
                self._write_end(replace(record, epochs={**record.epochs, epoch.epoch: epoch}), *end)
        record.epochs[epoch.epoch] = epoch
        if end is not None:
            self._remember_end(record, *end)

    def record_death(self, number: int, reason: str) -> None:
        """Record that the process of a trial died; the trial may be started again.

        Args:
            number: number of the trial.
            reason: the error in one line.
        """
        self._append_message(number, "death", DEATHS, self.trials[number].deaths, reason)

    def record_difference(self, number: int, message: str) -> None:
        """Record that an epoch was run again and gave other figures; the first value stands.

        Args:
            number: number of the trial.
            message: the epoch and its figures before and now.
        """
        self._append_message(number, "difference", DIFFERENCES, self.trials[number].differences, message)

    def _append_message(self, number: int, kind: str, key: str, messages: list[str], message: str) -> None:
        with self._transaction(kind, trial=number):
            self._set(number, key, [*messages, message])
        messages.append(message)

    def end(self, number: int, outcome: TrialStatus, reason: str) -> None:
        """Record how a trial ended; the first outcome stands.

        Args:
            number: number of the trial.
            outcome: the status in which the trial ended; it is never changed.
            reason: why the trial is not complete; empty if it is.
        """
        record = self.trials[number]
        if record.outcome is None:
            with self._transaction("end", trial=number, ended=True):
                self._write_end(record, outcome, reason)
            self._remember_end(record, outcome, reason)

    def _write_end(self, record: TrialRecord, outcome: TrialStatus, reason: str) -> None:
        self._set(record.number, OUTCOME, outcome)
        self._set(record.number, REASON, reason)
        state, value = optuna_result(replace(record, outcome=outcome), self.settings.policy)
        self._study.tell(record.number, value, state)

    def _remember_end(self, record: TrialRecord, outcome: TrialStatus, reason: str) -> None:
        record.outcome, record.reason = outcome, reason
        self.ended.append(record)

    def _set(self, number: int, key: str, value: Any) -> None:
        self._storage.set_trial_user_attr(self._id(number), key, value)

    def _id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)


def _recorded_settings(settings: StudySettings) -> dict[str, Any]:
    """Return the settings of a study as its journal records them when it is begun."""
    space = {name: distribution_to_json(distribution) for name, distribution in settings.distributions.items()}
    # What earlier versions did not know is recorded only where it makes a difference.
    startup = {"startup": settings.startup} if settings.startup != "random" else {}
    sampler = {"kind": settings.sampler, "seed": settings.seed, **sampler_keywords(settings.sampler), **startup}
    pauses = {"pauses": list(settings.pauses)} if settings.pauses else {}
    conditions = {
        name: {other: list(values) for other, values in condition.items()}
        for name, condition in settings.conditions.items()
    }
    more = {"conditions": conditions, "base_values": dict(settings.base_values)} if conditions else {}
    return {"space": space, "sampler": sampler, "policy": settings.policy, **pauses, **more}


def read_trials(study: optuna.Study) -> list[TrialRecord]:
    """Return the trials of a campaign, in the order of their numbers.

    Trials of earlier campaigns, which only the sampler knows, and queued proposals are left out.

    Args:
        study: the study of the campaign, see `load_study`.

    Raises:
        ConfigError: the study was not written by this program.
    """
    with reading(f"The journal of campaign {study.study_name}"):
        return [
            record_from_attributes(trial.number, dict(trial.params), trial.user_attrs)
            for trial in study.get_trials(deepcopy=False)
            if trial.state != TrialState.WAITING and EARLIER_CAMPAIGN not in trial.user_attrs
        ]


def take_over(path: Path, name: str) -> None:
    """Begin a new generation of a campaign whose journal was restored from a backup.

    The former driver may still be running somewhere, and start trials that the backup does not hold. The attempts of
    the new generation have other ids, so that files of the former driver are never mistaken for theirs.

    Args:
        path: path of the restored journal file.
        name: name of the campaign.

    Raises:
        ConfigError: the journal is damaged, or belongs to another campaign.
    """
    journal = Journal(path)
    try:
        with _reading(path, name):
            study = optuna.load_study(storage=_open_storage(journal), study_name=name)
            with journal.transaction({"kind": "take over"}):
                study.set_user_attr(GENERATION, int(study.user_attrs.get(GENERATION, 0)) + 1)
    finally:
        journal.close()


def load_study(path: Path, name: str) -> optuna.Study:
    """Load the study of a journal for reading; the campaign may be running.

    Args:
        path: path of the campaign's journal file.
        name: name of the campaign.

    Raises:
        ConfigError: the journal is missing or damaged, or belongs to another campaign.
    """
    with _reading(path, name):
        return optuna.load_study(storage=_open_storage(JournalReader.open(path)), study_name=name)


def copy_study(path: Path, name: str, url: str) -> int:
    """Copy the study of a campaign into another storage of Optuna.

    Args:
        path: path of the campaign's journal file.
        name: name of the campaign, and of the copied study.
        url: URL of the storage, such as `sqlite:///studies.db`.

    Returns:
        The number of trials that were copied.

    Raises:
        ConfigError: the journal cannot be read, or the storage cannot be written or holds a study of that name.
    """
    study = load_study(path, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            storage = _open_storage(JournalReader.open(path))
            optuna.copy_study(from_study_name=name, from_storage=storage, to_storage=url)
    except Exception as error:  # each storage fails in its own way, and its messages may repeat a password in the URL
        raise ConfigError(
            f"The study cannot be copied to that URL ({type(error).__name__})",
            f"Check the URL, and that the storage holds no study named {name}",
        ) from None
    return len(study.get_trials(deepcopy=False))
