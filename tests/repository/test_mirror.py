"""The tests of a module are in the file of the same name, in the same folder."""

from __future__ import annotations

import pytest

from tests.helpers.tracked import ROOT, tracked_files

TESTED_ELSEWHERE = {
    "core/data/features/base.py": "tests/core/data/features/test_registry.py: the contract of every feature",
    "core/data/features/momentum.py": "tests/core/data/features/test_price.py: the formula of every feature of bars",
    "core/data/features/volume.py": "tests/core/data/features/test_price.py: the formula of every feature of bars",
    "core/presets/provenance.py": "tests/core/presets/test_library.py: fields that are written and read",
    "search/campaign/summary.py": "tests/search/campaign/test_run.py: what a whole campaign leaves",
    "search/cli/confirm.py": "tests/search/confirmation/test_run.py: the command on a confirmed campaign",
    "search/cluster/preflight.py": "tests/integration/test_cluster.py: needs the nodes of a Ray cluster",
    "search/cluster/session.py": "tests/integration/test_cluster.py: needs the nodes of a Ray cluster",
    "search/confirmation/cell_predictions.py": "tests/search/confirmation/test_certify.py: what verdicts are made of",
    "search/confirmation/subject.py": "tests/search/confirmation/test_certify.py: what verdicts are made of",
    "search/engine/in_process.py": "tests/contracts/test_in_process_engine.py: the contract of every engine",
    "search/engine/protocol.py": "tests/contracts/engine.py: the contract of every engine",
    "search/results/ledger_entry.py": "tests/search/results/test_ledger.py: the ledger holds nothing else",
    "search/results/race_records.py": "tests/search/confirmation/test_run.py: what a verdict says of a race",
    "search/results/predictions.py": "tests/search/confirmation/test_cells.py: the tables of a trained cell",
    "search/storage/checkpoints.py": "tests/search/engine/test_trial_training.py: needs a training",
    "search/study/journal/records.py": "tests/contracts/test_journal_records.py: Optuna's reading of the same lines",
    "search/study/replay.py": "tests/contracts/test_study.py: part of the contract of every sampler",
    "search/study/settings.py": "tests/search/study/test_samplers.py: every sampler that it names",
}
"""Modules without a test file of their own, with the file that holds their tests and why."""
SUBJECTS = {
    "tests/core/cli/test_data_check.py": "core/cli/data.py",
    "tests/core/data/sources/test_perpetuals.py": "core/data/sources/exchange.py",
    "tests/core/training/test_resume.py": "core/training/trainer.py",
    "tests/core/training/test_skill.py": "core/training/trainer.py",
    "tests/search/campaign/test_cells.py": "search/campaign/run.py",
    "tests/search/cli/test_damage.py": "search/cli/app.py",
}
"""Test files about one subject of a module that has more tests than one file should hold."""
FILES = {str(path.relative_to(ROOT)) for path in tracked_files("*.py")}
MODULES = {name for name in FILES if name.startswith(("core/", "search/")) and not name.endswith("__.py")}
MAX_LINES = 400


def _test_file(module: str) -> str:
    folder, _, name = module.rpartition("/")
    return f"tests/{folder}/test_{name}"


@pytest.mark.parametrize("module", sorted(MODULES - TESTED_ELSEWHERE.keys()))
def test_a_module_has_its_test_file(module: str) -> None:
    assert _test_file(module) in FILES


def test_the_exceptions_are_modules_without_a_test_file_and_name_one() -> None:
    assert TESTED_ELSEWHERE.keys() <= MODULES
    assert [module for module in TESTED_ELSEWHERE if _test_file(module) in FILES] == []
    assert {place.partition(":")[0] for place in TESTED_ELSEWHERE.values()} <= FILES
    assert set(SUBJECTS.values()) <= MODULES


def test_a_test_file_has_its_module() -> None:
    tests = {name for name in FILES if name.startswith(("tests/core/", "tests/search/")) and "/test_" in name}
    assert tests - {_test_file(module) for module in MODULES} == SUBJECTS.keys()


def test_no_file_of_tests_is_too_long_to_read() -> None:
    lengths = {name: (ROOT / name).read_text(encoding="utf-8").count("\n") for name in FILES if name[:6] == "tests/"}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}
