from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError
from core.files import write_json
from search.results.folder import VERDICT_FILE
from search.results.verdict import Estimate, GateResult, Verdict, parse_ledger_entry, read_verdict
from tests.helpers.tracked import tracked_files

COMMITTED = tracked_files(f"results/*/{VERDICT_FILE}")
TEST_FIELDS = ("test", "checklist", "tradable", "overfitting", "earlier_looks")


@pytest.fixture
def content() -> dict[str, Any]:
    return dict(json.loads(COMMITTED[0].read_text()))


def _read(path: Path, content: Any) -> Verdict | None:
    path.write_text(json.dumps(content))
    return read_verdict(path)


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_a_verdict_is_written_byte_for_byte_as_it_was_read(path: Path, tmp_path: Path) -> None:
    verdict = read_verdict(path)
    assert verdict is not None
    write_json(tmp_path / VERDICT_FILE, verdict.as_row())
    assert (tmp_path / VERDICT_FILE).read_bytes() == path.read_bytes()
    assert parse_ledger_entry(path.read_bytes()) == verdict.ledger_entry
    assert verdict.ledger_entry is not None


def test_a_verdict_without_a_reading_of_test_keeps_its_keys(tmp_path: Path, content: dict[str, Any]) -> None:
    for name in TEST_FIELDS:
        del content[name]
    entry = content.pop("look")
    content |= {"gates": [], "reason": "the final training failed: diverged", "look": None}
    content["final"] = {"seed": 1, "status": "failed", "reason": "diverged"}
    verdict = _read(tmp_path / VERDICT_FILE, content)
    assert verdict is not None
    assert list(verdict.as_row()) == list(content)
    assert (verdict.test, verdict.tradable, verdict.earlier_entries, verdict.ledger_entry) == (None, None, (), None)
    assert entry is not None


def test_a_figure_that_is_not_defined_is_the_same_before_and_after_it_was_written() -> None:
    assert Estimate(value=0.5, low=math.nan, high=math.nan) == Estimate(value=0.5, low=None, high=None)
    gate = GateResult(name="lead", value=math.nan, bound="> 0", verdict="fail")
    assert (gate.value, json.loads(json.dumps(gate.model_dump()))["value"]) == (None, None)


def test_gates_keep_the_type_of_their_value() -> None:
    values = [GateResult(name="", value=value, bound="", verdict="pass").value for value in (True, 1, 1.0)]
    assert [type(value) for value in values] == [bool, int, float]


def test_failed_gates_and_earlier_readings_are_counted(tmp_path: Path, content: dict[str, Any]) -> None:
    for gate, result in zip(content["gates"], ("pass", "fail", "pass", "too short to tell"), strict=True):
        gate["verdict"] = result
    content["earlier_looks"] = [{**content["look"], "saw": saw} for saw in (["val"], ["val", "test"], ["test"])]
    verdict = _read(tmp_path / VERDICT_FILE, content)
    assert verdict is not None
    assert verdict.failed_gates == (content["gates"][1]["name"], content["gates"][3]["name"])
    assert verdict.earlier_readings == 3


def test_without_a_file_there_is_no_verdict(tmp_path: Path) -> None:
    assert read_verdict(tmp_path / VERDICT_FILE) is None


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", "3"])
def test_a_file_without_a_verdict_is_refused(tmp_path: Path, damage: str) -> None:
    (tmp_path / VERDICT_FILE).write_text(damage)
    with pytest.raises(ConfigError, match=r"verdict\.json cannot be read .*\. Restore it from a backup\.$"):
        read_verdict(tmp_path / VERDICT_FILE)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("winner", "trial"), None, r"winner\.trial: .*integer"),
        (("status",), "perhaps", r"status: .*'certified'"),
        (("lead", "value"), "much", r"lead\.value: "),
        (("gates", 0, "verdict"), "maybe", r"gates\.0\.verdict: "),
    ],
)
def test_a_damaged_value_is_refused_in_one_line_that_names_it(
    tmp_path: Path, content: dict[str, Any], place: tuple[Any, ...], value: Any, message: str
) -> None:
    part: Any = content
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    with pytest.raises(ConfigError, match=rf"verdict\.json cannot be read \({message}") as error:
        _read(tmp_path / VERDICT_FILE, content)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", [{"gates": []}, {"dry_run": True}, {}])
def test_a_certified_winner_that_did_not_pass_every_gate_is_damage(
    tmp_path: Path, content: dict[str, Any], damage: dict[str, Any]
) -> None:
    passed = [{**gate, "verdict": "pass"} for gate in content["gates"]]
    certified = {**content, "status": "certified", "gates": passed}
    verdict = _read(tmp_path / VERDICT_FILE, certified)
    assert verdict is not None
    assert verdict.status == "certified"
    damaged = certified | (damage or {"gates": [*passed[:-1], {**passed[-1], "verdict": "fail"}]})
    with pytest.raises(ConfigError, match=r"it is certified without having passed every gate"):
        _read(tmp_path / VERDICT_FILE, damaged)


def test_a_newer_version_is_refused_and_its_ledger_entry_counts_all_the_same(
    tmp_path: Path, content: dict[str, Any]
) -> None:
    newer = {"schema_version": 3, "look": content["look"]}
    with pytest.raises(ConfigError, match=r"has schema version 3\. Upgrade preset-search\."):
        _read(tmp_path / VERDICT_FILE, newer)
    entry = parse_ledger_entry(json.dumps(newer))
    assert entry is not None
    assert entry.campaign == content["campaign"]


def test_keys_that_this_version_does_not_know_are_ignored(tmp_path: Path, content: dict[str, Any]) -> None:
    verdict = _read(tmp_path / VERDICT_FILE, {**content, "later": 1, "winner": {**content["winner"], "later": 1}})
    assert verdict is not None
    assert list(verdict.as_row()) == list(content)


def test_reading_a_verdict_imports_no_heavy_library() -> None:
    code = (
        "import sys, search.results.verdict\n"
        "print([name for name in ('pandas', 'scipy', 'sklearn', 'torch', 'ray', 'optuna') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


@pytest.mark.parametrize("path", tracked_files("results/*/verdict-schema-1.json"), ids=lambda path: path.parent.name)
def test_a_verdict_of_the_first_schema_can_be_read_without_the_claims_of_its_rules(path: Path, tmp_path: Path) -> None:
    content = json.loads(path.read_text())
    certified = {**content, "status": "certified", "gates": [{**gate, "verdict": "pass"} for gate in content["gates"]]}
    verdict = _read(tmp_path / VERDICT_FILE, certified)
    assert verdict is not None
    assert verdict.status == "not certified"
    assert verdict.failed_gates == ("judged by the present rules",)
    assert (verdict.tradable, verdict.overfitting) == (None, None)
    assert verdict.test is not None
    assert verdict.test.macro_f1.value == content["test"]["macro_f1"]["value"]
    assert verdict.lead.value == content["lead"]["value"]
    assert verdict.ledger_entry == parse_ledger_entry(path.read_bytes())
