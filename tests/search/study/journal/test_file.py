"""The file of a journal is read without what a crash left incomplete."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ConfigError
from search.study.journal.file import committed_bytes, read_committed


def test_a_copy_ends_with_a_complete_transaction_while_the_journal_grows(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b'{"op_code": 1}\n{"op_code"')

    def write_meanwhile(path: Path) -> tuple[list[dict[str, int]], int]:
        path.write_bytes(b'{"op_code": 1}\n{"op_code": 2}\n')
        return read_committed(path)

    assert committed_bytes(path) == b'{"op_code": 1}\n'
    monkeypatch.setattr("search.study.journal.file.read_committed", write_meanwhile)
    assert committed_bytes(path) == b'{"op_code": 1}\n{"op_code": 2}\n'


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b'{"op_code": 99}',
        b'{"op_code": -1}',
        b'{"op_code": "4"}',
        b'{"op_code": true}',
        b'{"op_code": [4]}',
        b'{"op_code": 8, "user_attr": {}}',
        b'{"op_code": 8, "trial_id": 1, "user_attr": {}}',
        b'{"op_code": 5, "trial_id": -1}',
        b'{"op_code": 5, "trial_id": "0"}',
    ],
)
def test_what_is_no_operation_on_a_trial_that_exists_is_damage_of_its_line(path: Path, line: bytes) -> None:
    path.write_bytes(b'{"op_code": 0}\n{"op_code": 4}\n{"op_code": 8, "trial_id": 0}\n' + line + b'\n{"op_code": 4}\n')
    with pytest.raises(ConfigError, match=r"is damaged at line 4\. Restore it from a backup"):
        read_committed(path)
