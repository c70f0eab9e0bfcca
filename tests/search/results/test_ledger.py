from __future__ import annotations

import json
import multiprocessing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError
from search.results.folder import LEDGER_FILE, CampaignFolder
from search.results.ledger import append_entry, earlier_overlapping, has_read_test, read_entries
from search.results.ledger_entry import LedgerEntry, OverlappingEntry

ENTRY = LedgerEntry(
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


def test_an_entry_is_appended_once(tmp_path: Path) -> None:
    path = tmp_path / "results" / LEDGER_FILE
    assert append_entry(path, ENTRY) == [ENTRY]
    assert append_entry(path, ENTRY) == [ENTRY]  # the same confirmation, which continues
    assert has_read_test(path, "a", ENTRY.started)
    assert not has_read_test(path, "b", ENTRY.started)
    other = replace(ENTRY, started="2024-09-02T10:00:00+00:00")  # another campaign of that name
    assert append_entry(path, other) == [ENTRY, other]
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
def test_earlier_overlapping_entries_name_the_spans_that_saw_this_test_span(
    changes: dict[str, Any], saw: list[str]
) -> None:
    before = replace(ENTRY, campaign="before", **changes)
    expected = [OverlappingEntry(**asdict(before), saw=saw)] if saw else []
    assert earlier_overlapping([before, ENTRY], ENTRY) == expected


def test_the_same_campaign_that_reads_another_training_reads_test_again() -> None:
    again = replace(ENTRY, reads="another winner")
    assert [entry.saw for entry in earlier_overlapping([ENTRY, again], again)] == [["test"]]
    assert earlier_overlapping([ENTRY, again], ENTRY) == []


def test_later_entries_do_not_count() -> None:
    later = replace(ENTRY, campaign="later")
    assert earlier_overlapping([ENTRY, later], ENTRY) == []
    assert [entry.campaign for entry in earlier_overlapping([ENTRY, later], later)] == ["a"]


@pytest.mark.parametrize(
    ("changes", "saw"),
    [
        ({"kind": "search"}, []),  # it held its test out
        ({"kind": "search", "val": ENTRY.test}, ["val"]),
        ({"kind": "folds", "val": ["2024-07-01", "2024-07-02"], "folds": ENTRY.test}, ["folds"]),
        ({"kind": "verification", "folds": ENTRY.test}, ["test"]),
        ({"kind": "preset", "folds": ENTRY.test}, ["folds", "test"]),
        ({"folds": ENTRY.test}, ["folds", "test"]),
        ({"symbols": ["BTCUSD"]}, ["test"]),
        ({"symbols": ["XBT/USD"]}, ["test"]),
        ({"symbols": ["BTC-USDC"]}, ["test"]),
    ],
)
def test_what_an_earlier_reading_has_seen_depends_on_its_kind(changes: dict[str, Any], saw: list[str]) -> None:
    before = replace(ENTRY, campaign="before", **changes)
    assert [entry.saw for entry in earlier_overlapping([before, ENTRY], ENTRY)] == ([saw] if saw else [])


def test_the_own_search_and_folds_are_no_earlier_reading() -> None:
    own = [replace(ENTRY, kind=kind, val=ENTRY.test, folds=ENTRY.test, reads="") for kind in ("search", "folds")]
    assert earlier_overlapping([*own, ENTRY], ENTRY) == []


def test_what_was_read_earlier_counts_wherever_its_line_stands() -> None:
    first = replace(ENTRY, campaign="first", read_at="2024-09-01T11:00:00+00:00")
    second = replace(ENTRY, campaign="second", read_at="2024-09-01T12:00:00+00:00")
    for entries in ([first, second], [second, first]):
        assert earlier_overlapping(entries, first) == []
        assert [entry.campaign for entry in earlier_overlapping(entries, second)] == ["first"]


def test_of_two_readings_of_the_same_second_all_machines_take_the_same_one_for_the_first() -> None:
    one, two = (replace(ENTRY, campaign=name, read_at="2024-09-01T11:00:00+00:00") for name in ("one", "two"))
    for entries in ([one, two], [two, one]):
        assert earlier_overlapping(entries, one) == []
        assert [entry.campaign for entry in earlier_overlapping(entries, two)] == ["one"]


def test_a_search_that_is_resumed_with_more_trials_keeps_its_line(tmp_path: Path) -> None:
    path = tmp_path / LEDGER_FILE
    search = replace(ENTRY, kind="search", reads="", read_at="2024-09-01T11:00:00+00:00")
    append_entry(path, search)
    assert append_entry(path, replace(search, trials=128, read_at="2024-09-02T11:00:00+00:00")) == [search]
    assert not has_read_test(path, search.campaign, search.started)


def test_a_confirmation_that_continues_keeps_the_time_of_its_first_reading(tmp_path: Path) -> None:
    path = tmp_path / LEDGER_FILE
    first = replace(ENTRY, read_at="2024-09-01T11:00:00+00:00")
    append_entry(path, first)
    assert append_entry(path, replace(ENTRY, read_at="2024-09-02T11:00:00+00:00")) == [first]


def test_lines_of_early_versions_and_of_unknown_kinds(tmp_path: Path) -> None:
    path = tmp_path / LEDGER_FILE
    line = asdict(ENTRY)
    for name in ("kind", "read_at", "folds"):
        del line[name]
    path.write_text(json.dumps(line) + "\n")
    assert read_entries(path) == [ENTRY]
    path.write_text(json.dumps({**line, "kind": "glance"}) + "\n")
    with pytest.raises(ConfigError, match="is damaged"):
        read_entries(path)


@pytest.mark.parametrize(
    "damage",
    ["{", '{"campaign": "a"}', "[]", '{"x": 1}', pytest.param("[" * 100_000, id="deep")],
)
def test_a_damaged_ledger_is_refused_and_left_alone(tmp_path: Path, damage: str) -> None:
    path = tmp_path / LEDGER_FILE
    path.write_text(damage + "\n")
    with pytest.raises(ConfigError, match="is damaged"):
        append_entry(path, ENTRY)
    assert path.read_text() == damage + "\n"


def test_a_last_line_that_is_nested_too_deeply_is_damage_and_not_torn(tmp_path: Path) -> None:
    path = tmp_path / LEDGER_FILE
    path.write_text("[" * 100_000)
    with pytest.raises(ConfigError, match="is damaged"):
        has_read_test(path, "a", ENTRY.started)


def test_a_line_torn_by_a_crash_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / LEDGER_FILE
    append_entry(path, ENTRY)
    other = replace(ENTRY, campaign="b")
    content = path.read_text()
    for torn in ('{"campaign": "b", "sta', "{"):
        path.write_text(content + torn)
        assert has_read_test(path, "a", ENTRY.started)
        assert append_entry(path, other) == [ENTRY, other]
    path.write_text(content.rstrip("\n"))  # a lost end of line loses nothing
    assert append_entry(path, other) == [ENTRY, other]
    assert len(path.read_text().splitlines()) == 2


def test_a_ledger_that_lost_a_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / LEDGER_FILE
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "verdict.json").write_text(json.dumps({"look": asdict(ENTRY)}))
    (tmp_path / "synthetic").mkdir()
    (tmp_path / "synthetic" / "verdict.json").write_text(json.dumps({"look": None}))
    with pytest.raises(ConfigError, match=r"lacks the entry of a that .*verdict\.json records"):
        append_entry(path, replace(ENTRY, campaign="b"))
    path.write_text(json.dumps(asdict(ENTRY)) + "\n")
    append_entry(path, replace(ENTRY, campaign="b"))


@pytest.mark.parametrize(
    "changes",
    [
        {"symbols": ["SOLUSDT"]},
        {"val": ["2023-07-01T00:00:00+00:00", "2023-07-10T00:00:00+00:00"]},
        {"test": ["2023-07-10T00:00:00+00:00", "2023-07-20T00:00:00+00:00"]},
        {"trials": 1},
    ],
)
def test_a_ledger_that_contradicts_a_verdict_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = tmp_path / LEDGER_FILE
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "verdict.json").write_text(json.dumps({"look": asdict(ENTRY)}))
    edited = json.dumps(asdict(replace(ENTRY, **changes))) + "\n"
    path.write_text(edited)
    with pytest.raises(ConfigError, match=r"contradicts .*verdict\.json about the entry of a"):
        append_entry(path, replace(ENTRY, campaign="b"))
    path.write_text(edited + json.dumps(asdict(ENTRY)) + "\n")
    with pytest.raises(ConfigError, match="contradicts"):
        append_entry(path, replace(ENTRY, campaign="b"))


def test_a_confirmation_that_continues_must_find_its_entry_unchanged(tmp_path: Path) -> None:
    path = tmp_path / LEDGER_FILE
    append_entry(path, replace(ENTRY, trials=1))
    with pytest.raises(ConfigError, match=r"contradicts .*a about the entry of a"):
        append_entry(path, ENTRY)


def test_a_verdict_that_is_nested_too_deeply_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "verdict.json").write_text("[" * 100_000)
    with pytest.raises(ConfigError, match=r"verdict\.json cannot be read"):
        append_entry(tmp_path / LEDGER_FILE, ENTRY)
    with pytest.raises(ConfigError, match=r"verdict\.json cannot be read"):
        CampaignFolder(tmp_path / "a").read_verdict()


def _write(task: tuple[Path, int]) -> None:
    path, number = task
    append_entry(path, replace(ENTRY, campaign=f"c{number}"))


def test_concurrent_writers_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / LEDGER_FILE
    with multiprocessing.get_context("fork").Pool(4) as pool:
        pool.map(_write, [(path, number) for number in range(40)])
    assert sorted(json.loads(line)["campaign"] for line in path.read_text().splitlines()) == sorted(
        f"c{number}" for number in range(40)
    )
