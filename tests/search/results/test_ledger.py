from __future__ import annotations

import json
import multiprocessing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError
from search.results.folder import LEDGER_FILE, CampaignFolder
from search.results.ledger import LedgerEntry, append_entry, earlier_overlapping, has_read_test

LOOK = LedgerEntry(
    campaign="a",
    started="2024-09-01T10:00:00+00:00",
    exchange="binance",
    symbols=["BTCUSDT", "ETHUSDT"],
    interval="5m",
    val=["2024-07-01T00:00:00+00:00", "2024-07-10T00:00:00+00:00"],
    test=["2024-07-10T00:00:00+00:00", "2024-07-20T00:00:00+00:00"],
    trials=64,
    reads="winner",
)


def test_a_look_is_written_once_before_it_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "results" / LEDGER_FILE
    assert append_entry(path, LOOK) == [LOOK]
    assert append_entry(path, LOOK) == [LOOK]  # the same confirmation, gone on with
    assert has_read_test(path, "a", LOOK.started)
    assert not has_read_test(path, "b", LOOK.started)
    other = replace(LOOK, started="2024-09-02T10:00:00+00:00")  # another campaign of that name
    assert append_entry(path, other) == [LOOK, other]
    assert [json.loads(line)["campaign"] for line in path.read_text().splitlines()] == ["a", "a"]


@pytest.mark.parametrize(
    ("changes", "saw"),
    [
        ({}, ["test"]),
        ({"symbols": ["BTCUSDT"]}, ["test"]),
        ({"interval": "15m"}, ["test"]),  # the same market by another clock
        ({"exchange": "coinbase"}, ["test"]),
        ({"symbols": ["SOLUSDT"]}, []),
        ({"test": ["2024-07-20T00:00:00+00:00", "2024-07-30T00:00:00+00:00"]}, []),  # right behind it
        ({"val": ["2024-07-15T00:00:00+00:00", "2024-07-16T00:00:00+00:00"]}, ["val", "test"]),
        (
            {
                "val": ["2024-07-19T23:00:00+00:00", "2024-07-25T00:00:00+00:00"],
                "test": ["2024-07-25T00:00:00+00:00", "2024-07-30T00:00:00+00:00"],
            },
            ["val"],
        ),
    ],
)
def test_what_an_earlier_look_saw_of_this_test_span(changes: dict[str, Any], saw: list[str]) -> None:
    before = replace(LOOK, campaign="before", **changes)
    found = earlier_overlapping([before, LOOK], LOOK)
    assert [look["saw"] for look in found] == ([saw] if saw else [])


def test_the_same_campaign_that_reads_another_training_reads_test_again() -> None:
    again = replace(LOOK, reads="another winner")
    assert [look["saw"] for look in earlier_overlapping([LOOK, again], again)] == [["test"]]
    assert earlier_overlapping([LOOK, again], LOOK) == []


def test_what_came_later_does_not_count() -> None:
    later = replace(LOOK, campaign="later")
    assert earlier_overlapping([LOOK, later], LOOK) == []
    assert [look["campaign"] for look in earlier_overlapping([LOOK, later], later)] == ["a"]


@pytest.mark.parametrize(
    "damage",
    ["{", '{"campaign": "a"}', "[]", '{"x": 1}', pytest.param("[" * 100_000, id="deep")],
)
def test_a_damaged_ledger_is_refused_and_left_alone(tmp_path: Path, damage: str) -> None:
    path = tmp_path / LEDGER_FILE
    path.write_text(damage + "\n")
    with pytest.raises(ConfigError, match="is damaged"):
        append_entry(path, LOOK)
    assert path.read_text() == damage + "\n"


def test_a_last_line_that_is_nested_too_deep_is_not_what_a_crash_tore(tmp_path: Path) -> None:
    path = tmp_path / LEDGER_FILE
    path.write_text("[" * 100_000)
    with pytest.raises(ConfigError, match="is damaged"):
        has_read_test(path, "a", LOOK.started)


def test_what_a_crash_tore_of_a_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / LEDGER_FILE
    append_entry(path, LOOK)
    other = replace(LOOK, campaign="b")
    whole = path.read_text()
    for torn in ('{"campaign": "b", "sta', "{"):
        path.write_text(whole + torn)
        assert has_read_test(path, "a", LOOK.started)
        assert append_entry(path, other) == [LOOK, other]
    path.write_text(whole.rstrip("\n"))  # a lost end of line loses nothing
    assert append_entry(path, other) == [LOOK, other]
    assert len(path.read_text().splitlines()) == 2


def test_a_ledger_that_lost_a_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / LEDGER_FILE
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "verdict.json").write_text(json.dumps({"look": asdict(LOOK)}))
    (tmp_path / "synthetic").mkdir()
    (tmp_path / "synthetic" / "verdict.json").write_text(json.dumps({"look": None}))
    with pytest.raises(ConfigError, match=r"does not tell of a, which .*verdict\.json does"):
        append_entry(path, replace(LOOK, campaign="b"))
    path.write_text(json.dumps(asdict(LOOK)) + "\n")
    append_entry(path, replace(LOOK, campaign="b"))


@pytest.mark.parametrize(
    "changes",
    [
        {"symbols": ["SOLUSDT"]},
        {"val": ["2023-07-01T00:00:00+00:00", "2023-07-10T00:00:00+00:00"]},
        {"test": ["2023-07-10T00:00:00+00:00", "2023-07-20T00:00:00+00:00"]},
        {"trials": 1},
    ],
)
def test_a_ledger_that_tells_otherwise_than_a_verdict_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = tmp_path / LEDGER_FILE
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "verdict.json").write_text(json.dumps({"look": asdict(LOOK)}))
    edited = json.dumps(asdict(replace(LOOK, **changes))) + "\n"
    path.write_text(edited)
    with pytest.raises(ConfigError, match=r"tells otherwise of a than .*verdict\.json does"):
        append_entry(path, replace(LOOK, campaign="b"))
    path.write_text(edited + json.dumps(asdict(LOOK)) + "\n")
    with pytest.raises(ConfigError, match="tells otherwise"):
        append_entry(path, replace(LOOK, campaign="b"))


def test_a_confirmation_that_goes_on_finds_its_line_as_it_wrote_it(tmp_path: Path) -> None:
    path = tmp_path / LEDGER_FILE
    append_entry(path, replace(LOOK, trials=1))
    with pytest.raises(ConfigError, match=r"tells otherwise of a than .*a does"):
        append_entry(path, LOOK)


def test_a_verdict_that_is_nested_too_deep_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "verdict.json").write_text("[" * 100_000)
    with pytest.raises(ConfigError, match=r"verdict\.json cannot be read"):
        append_entry(tmp_path / LEDGER_FILE, LOOK)
    with pytest.raises(ConfigError, match=r"verdict\.json cannot be read"):
        CampaignFolder(tmp_path / "a").read_verdict()


def _write(task: tuple[Path, int]) -> None:
    path, number = task
    append_entry(path, replace(LOOK, campaign=f"c{number}"))


def test_many_at_once_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / LEDGER_FILE
    with multiprocessing.get_context("fork").Pool(4) as pool:
        pool.map(_write, [(path, number) for number in range(40)])
    assert sorted(json.loads(line)["campaign"] for line in path.read_text().splitlines()) == sorted(
        f"c{number}" for number in range(40)
    )
