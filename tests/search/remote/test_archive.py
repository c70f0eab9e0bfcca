"""A campaign's results as text in a log, and what of it is accepted."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import shutil
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ConfigError
from search.remote import archive
from search.remote.archive import ALLOWED_FILES, decode_log, encode_lines, pack, unpack
from search.results.folder import JOURNAL_FILE, MANIFEST_FILE, SUMMARY_FILE
from search.results.manifest import LISTED
from search.study.journal.backend import Journal
from tests.helpers.campaigns import NAME, make_searched_campaign

pytestmark = pytest.mark.costly


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_searched_campaign(tmp_path_factory.mktemp("archive"))


def test_an_archive_is_unpacked_byte_for_byte_and_has_no_checkpoints(campaign: Path) -> None:
    assert (campaign / "checkpoints").is_dir()
    files = unpack(decode_log("\n".join(encode_lines(pack(campaign, "entry\n")))))
    assert files.pop("ledger.jsonl") == b"entry\n"
    assert files == {path.name: path.read_bytes() for path in campaign.iterdir() if path.is_file()}
    assert MANIFEST_FILE in files


def test_a_running_campaign_is_packed_without_manifest_and_with_whole_journal_entries(
    campaign: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(campaign, tmp_path / NAME)
    whole = (folder / JOURNAL_FILE).read_bytes()
    held = Journal(folder / JOURNAL_FILE)
    try:
        with (folder / JOURNAL_FILE).open("ab") as file:
            file.write(b'{"op_code": 5, "act": {"lines": 2}}\n{"op_co')
        files = unpack(pack(folder, ""))
    finally:
        held.close()
    assert MANIFEST_FILE not in files
    assert files[JOURNAL_FILE] == whole


@given(st.binary(max_size=40_000), st.lists(st.tuples(st.integers(0, 8), st.text(alphabet="ab \n-1", max_size=9))))
def test_other_lines_in_the_log_do_no_harm(data: bytes, strays: list[tuple[int, str]]) -> None:
    lines = list(encode_lines(data))
    for position, stray in strays:
        lines.insert(min(position, len(lines)), stray)
    assert decode_log("\n".join(["Running entrypoint …", *lines, ""])) == data


@given(st.binary(min_size=1, max_size=20_000), st.data())
@settings(max_examples=50)
def test_a_log_with_a_missing_or_changed_line_is_refused(data: bytes, draw: st.DataObject) -> None:
    lines = list(encode_lines(data))
    number = draw.draw(st.integers(0, len(lines) - 1))
    if draw.draw(st.booleans()):
        del lines[number]
    else:
        line = lines[number]
        position = len(line) - 1 - draw.draw(st.integers(0, 20 if number else 60))
        lines[number] = line[:position] + ("A" if line[position] != "A" else "B") + line[position + 1 :]
    with pytest.raises(ConfigError, match=r"no results|incomplete or changed"):
        decode_log("\n".join(lines))


def _tar(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz", format=form) as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return target.getvalue()


def _member(name: str, **attributes: object) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    for key, value in attributes.items():
        setattr(member, key, value)
    return member


GOOD = SUMMARY_FILE
HOSTILE = {
    "a path": _member("../summary.json"),
    "an absolute path": _member("/summary.json"),
    "a folder's file": _member("checkpoints/summary.json"),
    "an unknown name": _member("evil.pkl"),
    "a dotted name": _member(f"./{GOOD}"),
    "a symbolic link": _member(GOOD, type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "a hard link": _member(GOOD, type=tarfile.LNKTYPE, linkname="trials.parquet"),
    "a device": _member(GOOD, type=tarfile.CHRTYPE, devmajor=1, devminor=5),
    "a fifo": _member(GOOD, type=tarfile.FIFOTYPE),
    "a folder": _member(GOOD, type=tarfile.DIRTYPE),
    "a sparse file": _member(GOOD, pax_headers={"GNU.sparse.size": "1000", "GNU.sparse.map": "0,0"}),
    "a file of another kind": _member(GOOD, type=tarfile.CONTTYPE),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_anything_but_plain_files_of_known_names_is_refused(kind: str) -> None:
    with pytest.raises(ConfigError, match=r"not a file of a campaign|damaged"):
        unpack(_tar((HOSTILE[kind], b"")))


def test_a_repeated_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="not a file of a campaign"):
        unpack(_tar((_member(GOOD), b"one"), (_member(GOOD), b"two")))


def test_a_decompression_bomb_is_refused_before_it_takes_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 2**20)
    bomb = gzip.compress(_plain(_member(GOOD), bytes(50 * 2**20)))
    assert len(bomb) < 100_000
    tracemalloc.start()
    with pytest.raises(ConfigError, match="take more than 1 MiB"):
        unpack(bomb)
    assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    tracemalloc.stop()


def test_results_that_are_too_large_are_not_packed(campaign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 2**10)
    with pytest.raises(ConfigError, match="take more than"):
        pack(campaign, "")


def _plain(member: tarfile.TarInfo, content: bytes) -> bytes:
    return gzip.decompress(_tar((member, content)))


@given(st.integers(0, 10_000), st.integers(0, 255))
@settings(max_examples=60)
def test_a_damaged_archive_is_refused_or_has_known_names(position: int, value: int) -> None:
    data = bytearray(_tar((_member(GOOD), json.dumps({"a": 1}).encode()), (_member("journal.log"), b"{}\n" * 50)))
    data[position % len(data)] = value
    with contextlib.suppress(ConfigError):
        assert set(unpack(bytes(data))) <= set(ALLOWED_FILES)


def test_every_file_of_the_manifest_may_be_in_an_archive() -> None:
    assert set(LISTED) < set(ALLOWED_FILES)
    assert all("/" not in name and not name.startswith(".") for name in ALLOWED_FILES)
