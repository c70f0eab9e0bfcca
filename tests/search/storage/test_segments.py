from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.storage import segments
from search.storage.filesystem import Storage, StorageError
from search.storage.segments import SegmentedCopy, read_segmented

NAME = "record/journal.log"
FILE = "journal.log"


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "storage"))


def _append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.binary(min_size=1, max_size=30)),
        st.tuples(st.just("replace"), st.binary(max_size=40)),
        st.tuples(st.sampled_from(["new run", "write fails", "remove fails"]), st.just(b"")),
    ),
    max_size=20,
)


@given(steps)
@settings(max_examples=150, deadline=None)
def test_after_each_update_the_copy_is_the_file(changes: list[tuple[str, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "MAX_SEGMENTS", 3)
        path, storage = Path(folder, FILE), Storage(f"{folder}/storage")
        path.touch()
        copy = SegmentedCopy(storage, NAME)
        copy.update(path)
        last = [path.read_bytes()]  # what the file held at the last complete update and at those since that failed
        for kind, content in changes:
            if kind == "append":
                _append(path, content)
            elif kind == "replace":  # cut off, and perhaps written on
                path.write_bytes(content)
            elif kind == "new run":
                copy = SegmentedCopy(storage, NAME)
            with patch.context() as failing:
                if kind.endswith("fails"):
                    failing.setattr(Storage, kind.split()[0], _fail)
                    _append(path, b"more" * 20)
                try:
                    copy.update(path)
                    last = [path.read_bytes()]
                except StorageError:
                    last.append(path.read_bytes())
            assert read_segmented(storage, NAME) in last


def _fail(*_: object) -> None:
    raise StorageError("It is not available", "Wait")


def test_each_byte_of_a_file_that_grows_for_days_is_sent_about_twice(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, most = 0, 0
    write = Storage.write

    def counted(to: Storage, name: str, content: bytes) -> None:
        nonlocal sent
        sent += len(content)
        write(to, name, content)

    monkeypatch.setattr(Storage, "write", counted)
    copy, path = SegmentedCopy(storage, NAME), tmp_path / FILE
    for number in range(1500):
        _append(path, f"{number:099d}\n".encode())
        copy.update(path)
        if number % 100 == 0:
            most = max(most, len(storage.list_files()))
    assert read_segmented(storage, NAME) == path.read_bytes()
    assert sent <= 4 * path.stat().st_size  # whole copies would have sent 750 times as much
    assert most <= segments.MAX_SEGMENTS + 1


def test_segments_of_another_base_and_those_after_a_gap_are_not_read(storage: Storage, tmp_path: Path) -> None:
    path, copy = tmp_path / FILE, SegmentedCopy(storage, NAME)
    path.write_bytes(b"0123456789")
    for part in (b"", b"ab", b"cd", b"ef"):
        _append(path, part)
        copy.update(path)
    names = storage.list_files()
    assert len(names) == 4
    storage.remove(names[2])
    assert read_segmented(storage, NAME) == b"0123456789ab"
    storage.write(NAME, b"9876543210")
    assert read_segmented(storage, NAME) == b"9876543210"


def test_nothing_is_written_for_a_file_that_has_not_changed(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, copy = tmp_path / FILE, SegmentedCopy(storage, NAME)
    path.write_bytes(b"0123456789")
    copy.update(path)
    monkeypatch.setattr(Storage, "write", _fail)
    copy.update(path)
