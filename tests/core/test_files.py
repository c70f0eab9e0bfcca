from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.errors import ConfigError
from core.files import check_writable, write_json, write_table, write_text, writing


def test_a_file_is_written_with_the_folders_it_needs(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "note.txt", "naïve ✓\n")
    assert (tmp_path / "a" / "b" / "note.txt").read_text(encoding="utf-8") == "naïve ✓\n"


def _fail_in_the_middle(path: Path) -> None:
    with writing(path) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError("stopped in the middle")


def test_failure_keeps_the_old_content_and_leaves_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError, match="stopped in the middle"):
        _fail_in_the_middle(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_content_stands_until_the_new_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    write_text(path, "old")
    with writing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        # A rename is atomic only within one file system.
        assert temporary.parent == path.parent
    assert path.read_text() == "new"


def test_who_reads_the_old_file_while_it_is_replaced_reads_it_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    write_text(path, "old")
    with path.open() as reader:
        write_text(path, "new")
        assert reader.read() == "old"


def test_files_get_the_permissions_any_new_file_gets(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_text(tmp_path / "note.txt", "x")
    finally:
        os.umask(old)
    assert (tmp_path / "note.txt").stat().st_mode & 0o777 == 0o640


def test_the_umask_of_the_process_is_never_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "umask", None)  # for a moment, files of other threads would be open to everyone
    write_text(tmp_path / "note.txt", "x")


def test_a_path_below_a_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    path = tmp_path / "file" / "note.txt"
    with pytest.raises(ConfigError) as caught:
        write_text(path, "x")
    assert str(path) in caught.value.what
    assert "cannot be written" in caught.value.what


def test_a_folder_in_the_way_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "note.txt").mkdir()
    with pytest.raises(ConfigError, match="cannot be written"):
        write_text(tmp_path / "note.txt", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_json_has_null_where_a_number_is_not_finite(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    write_json(path, {"a": float("nan"), "b": [1.5, float("inf")], "c": {"d": (-float("inf"), "x")}})

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    content = json.loads(path.read_text(), parse_constant=refuse)
    assert content == {"a": None, "b": [1.5, None], "c": {"d": [None, "x"]}}


def test_what_json_cannot_hold_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}


def test_a_folder_yet_to_be_made_is_writable_and_is_not_made(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "newer")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("below", ["file", "file/folder", "x" * 300], ids=["file", "below a file", "name too long"])
def test_an_unwritable_folder_is_refused_before_work_begins(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="cannot be written") as caught:
        check_writable(tmp_path / below)
    assert str(tmp_path / below) in caught.value.what


def test_a_table_comes_back_as_it_was(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "number": np.array([1, 2, 2], dtype=np.int32),
            "probability": np.array([0.1, np.nan, 1e-30], dtype=np.float32),
            "value": [0.5, -np.inf, np.nan],
            "name": ["one", None, "BTC/USDT"],
            "when": pd.to_datetime([3, 1, 2], unit="us", utc=True),
            "count": pd.array([1, None, 3], dtype="Int64"),
        }
    )
    write_table(tmp_path / "table.parquet", table)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "table.parquet"), table, check_dtype=False)
    for part in (table[["number", "name"]], table[["value"]], table[:0]):
        write_table(tmp_path / "part.parquet", part)
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "part.parquet"), part, check_dtype=False)
