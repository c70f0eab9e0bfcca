"""Reads the records of a campaign's trials from the lines of its journal, without Optuna.

A trial's record lies in user attributes of Optuna's trial. Optuna's own reading of the same lines gives the same
records (`search.study.study.read_trials`), which the contract tests check.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from search.study.encoding import decode
from search.study.journal.file import Operation
from search.study.trial_record import EpochRecord, TrialRecord

EPOCH, OUTCOME, REASON, ATTEMPT = "epoch_{}", "outcome", "reason", "attempt"
DEATHS, DIFFERENCES = "deaths", "differences"
ORIGIN, EARLIER_CAMPAIGN, GENERATION, PROMOTED = "origin", "told_from", "generation", "promoted"
BASE_VALUES = "base_values"
"""Keys of the user attributes."""


def record_from_attributes(number: int, params: dict[str, Any], attributes: Mapping[str, Any]) -> TrialRecord:
    """Return the record that the user attributes of a trial hold.

    Args:
        number: number of the trial.
        params: its hyperparameters as the study holds them, see `search.study.encoding`.
        attributes: user attributes of the trial in the study.

    Raises:
        KeyError, TypeError, ValueError: the attributes were not written by this program.
    """
    prefix = EPOCH.format("")
    epochs = {}
    for epoch in sorted(int(key.removeprefix(prefix)) for key in attributes if key.startswith(prefix)):
        content = json.loads(attributes[EPOCH.format(epoch)])
        epochs[epoch] = EpochRecord.from_row(content["row"], content["decision"])
    base_values = dict(attributes.get(BASE_VALUES, {}))
    return TrialRecord(
        number,
        {**base_values, **decode(params)},
        attributes.get(ORIGIN, "sampler"),
        epochs,
        attributes[ATTEMPT],
        attributes.get(OUTCOME),
        attributes.get(REASON, ""),
        list(attributes.get(DEATHS, [])),
        list(attributes.get(DIFFERENCES, [])),
        attributes.get(GENERATION, 0),
        attributes.get(PROMOTED, 0),
        tuple(sorted(base_values)),
    )


def read_records(lines: Sequence[Mapping[str, Any]], name: str) -> list[TrialRecord]:
    """Return the trials of a campaign, in the order of their numbers.

    Trials of earlier campaigns, which only the sampler knows, and queued proposals are left out.

    Args:
        lines: committed lines of the journal, see `search.study.journal.file.read_committed`.
        name: name of the campaign.

    Raises:
        KeyError, TypeError, ValueError, IndexError: the lines were not written by this program for this campaign.
    """
    if not lines or (lines[0]["op_code"], lines[0]["study_name"]) != (Operation.CREATE_STUDY, name):
        raise ValueError(f"it is not the journal of campaign {name}")
    attributes: dict[int, dict[str, Any]] = {}  # by number, so that no negative one finds the last
    params: dict[int, dict[str, Any]] = {}
    for line in lines:
        match line["op_code"]:
            case Operation.CREATE_TRIAL:
                number = len(attributes)
                attributes[number] = dict(line.get("user_attrs", {}))
                params[number] = {}
            case Operation.SET_PARAM:
                distribution = json.loads(line["distribution"])
                params[line["trial_id"]][line["param_name"]] = _value(line["param_value_internal"], distribution)
            case Operation.SET_USER_ATTRIBUTE:
                attributes[line["trial_id"]] |= line["user_attr"]
    return [
        record_from_attributes(number, params[number], attributes[number])
        for number in attributes
        if ATTEMPT in attributes[number] and EARLIER_CAMPAIGN not in attributes[number]
    ]


def _value(internal: float, distribution: Mapping[str, Any]) -> Any:
    """Return the value of a hyperparameter, which the journal holds as a number: of a choice, it is the index."""
    if distribution["name"] == "CategoricalDistribution":
        return distribution["attributes"]["choices"][int(internal)]
    return int(internal) if distribution["name"] == "IntDistribution" else internal
