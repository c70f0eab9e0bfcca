from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from core.errors import ConfigError
from core.files import try_lock
from search.study.journal.backend import PROBE_SECONDS, Journal, JournalReader
from search.study.journal.file import ACT, LINES, is_held
from tests.helpers.processes import HANG_SECONDS


def _lines(path: Path) -> list[dict[str, int]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_is_appended_is_in_the_file_and_read_back(path: Path) -> None:
    journal = Journal(path)
    journal.append_logs([{"op_code": 1}])
    journal.append_logs([{"op_code": 2}, {"op_code": 3}])
    assert _lines(path) == [{"op_code": 1}, {"op_code": 2}, {"op_code": 3}]
    assert list(journal.read_logs(0)) == _lines(path)
    assert list(journal.read_logs(2)) == [{"op_code": 3}]
    assert list(journal.read_logs(3)) == []


def test_a_transaction_is_written_at_its_end_and_read_before(path: Path) -> None:
    journal = Journal(path)
    with journal.transaction({"kind": "ask"}):
        journal.append_logs([{"op_code": 1}])
        journal.append_logs([{"op_code": 2}])
        assert len(list(journal.read_logs(0))) == 2
        assert path.read_bytes() == b""
    assert _lines(path) == [{"op_code": 1, ACT: {"kind": "ask", LINES: 2}}, {"op_code": 2}]


def test_a_transaction_that_a_crash_left_incomplete_is_cut_off_whole(path: Path) -> None:
    journal = Journal(path)
    ends = [0]
    for count in (1, 3, 2):
        with journal.transaction({"kind": "some"}):
            journal.append_logs([{"op_code": 2, "number": number} for number in range(count)])
        ends.append(path.stat().st_size)
    journal.close()
    content = path.read_bytes()
    for length in range(len(content) + 1):
        path.write_bytes(content[:length])
        Journal(path).close()
        assert path.stat().st_size == max(end for end in ends if end <= length)


def test_a_transaction_that_fails_leaves_nothing(path: Path) -> None:
    journal = Journal(path)
    journal.append_logs([{"op_code": 1}])
    with pytest.raises(TypeError), journal.transaction({"kind": "ask"}):
        journal.append_logs([{"op_code": 2}, {"op_code": object()}])
    journal.append_logs([{"op_code": 3}])
    assert _lines(path) == [{"op_code": 1}, {"op_code": 3}]


@pytest.mark.parametrize(
    "torn", [b'{"op_code": 2', b'{"op_code": 2}', b"\0\0\0\0", b"\0\0\0\n", b"[1]\n", b"\xff\xfe\n"]
)
def test_a_line_that_a_crash_left_incomplete_is_cut_off(path: Path, torn: bytes) -> None:
    path.write_bytes(b'{"op_code": 1}\n' + torn)
    assert JournalReader.open(path).lines == [{"op_code": 1}]
    journal = Journal(path)
    journal.append_logs([{"op_code": 3}])
    assert _lines(path) == [{"op_code": 1}, {"op_code": 3}]


def test_damage_before_the_last_line_is_refused_and_left_alone(path: Path) -> None:
    path.write_bytes(b'{"op_code": 1}\n{"op_code"\n{"op_code": 3}\n')
    for opening in (Journal, JournalReader.open):
        with pytest.raises(ConfigError, match="damaged at line 2"):
            opening(path)
    assert path.read_bytes() == b'{"op_code": 1}\n{"op_code"\n{"op_code": 3}\n'
    assert not is_held(path)


def test_a_second_writer_is_refused(path: Path) -> None:
    first = Journal(path)
    with pytest.raises(ConfigError, match="is being run by another process"):
        Journal(path)
    assert is_held(path)
    first.append_logs([{"op_code": 1}])
    first.close()
    assert not is_held(path)
    assert list(Journal(path).read_logs(0)) == [{"op_code": 1}]


def test_the_lock_of_a_killed_process_is_released(path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from search.study.journal.backend import Journal\n"
        "journal = Journal(Path(sys.argv[1])); journal.append_logs([{'op_code': 1}])\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], timeout=HANG_SECONDS)
    assert done.returncode == -9
    # A lock file of Optuna's own backend, left by another program, locks nothing here.
    path.with_name(path.name + ".lock").symlink_to(path)
    assert list(Journal(path).read_logs(0)) == [{"op_code": 1}]


def test_a_full_disk_leaves_no_half_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(path)
    journal.append_logs([{"op_code": 1}])
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, content: write(file, content[:5]))
    with pytest.raises(ConfigError, match=r"cannot be written \(No space left on device\).*resume"):
        journal.append_logs([{"op_code": 2}])
    monkeypatch.undo()
    assert path.read_bytes() == b'{"op_code":1}\n'


def test_a_missing_journal_is_an_error(path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        JournalReader.open(path)
    with pytest.raises(ConfigError, match="cannot be opened"):
        Journal(path / "below" / "journal.log")


def test_optunas_own_backend_reads_the_same_study(path: Path) -> None:
    journal = Journal(path)
    study = optuna.create_study(storage=JournalStorage(journal), study_name="x", direction="maximize")
    with journal.transaction({"kind": "ask", "trial": 0}):
        trial = study.ask({"a": optuna.distributions.FloatDistribution(0, 1)})
    study.tell(trial, 0.5)
    theirs = optuna.load_study(storage=JournalStorage(JournalFileBackend(str(path))), study_name="x")
    assert theirs.trials == study.trials
    assert theirs.best_value == 0.5


def test_a_probe_that_holds_the_lock_for_a_moment_does_not_fail_a_start(path: Path) -> None:
    path.touch()
    with path.open() as probe:
        assert try_lock(probe, path)
        threading.Timer(PROBE_SECONDS / 10, probe.close).start()
        Journal(path).close()
