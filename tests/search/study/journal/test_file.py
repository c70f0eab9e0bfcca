"""The file of a journal is read without what a crash left incomplete."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.study.journal.file import committed_bytes, read_committed


def test_a_copy_ends_with_a_complete_transaction_while_the_journal_grows(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b'{"a": 1}\n{"a"')

    def write_meanwhile(path: Path) -> tuple[list[dict[str, int]], int]:
        path.write_bytes(b'{"a": 1}\n{"a": 2}\n')
        return read_committed(path)

    assert committed_bytes(path) == b'{"a": 1}\n'
    monkeypatch.setattr("search.study.journal.file.read_committed", write_meanwhile)
    assert committed_bytes(path) == b'{"a": 1}\n{"a": 2}\n'
