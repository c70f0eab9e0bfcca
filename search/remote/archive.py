"""Packs a campaign's results into lines of text for a job's log, and unpacks them without trusting what they hold.

It is text because a job server hands out logs and nothing else. Each line names its purpose and its number, so that
warnings which others write into the same log do no harm, and a lost line is noticed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from core.errors import ConfigError
from search.results.folder import JOURNAL_FILE, LEDGER_FILE, MANIFEST_FILE
from search.results.manifest import LISTED
from search.study.journal.file import committed_bytes, is_held

ALLOWED_FILES = (*LISTED, MANIFEST_FILE, LEDGER_FILE)
"""Names of the plain files that an archive may hold. Its ledger holds the lines of the campaign alone."""
MAX_BYTES = 200 * 2**20
"""Size of all files together, at most."""
_LINE_PREFIX = "preset-search-archive"
_BEGIN = re.compile(rf"^{_LINE_PREFIX} begin (\d{{1,9}}) ([0-9a-f]{{64}})$", re.MULTILINE)
_PIECE = re.compile(rf"^{_LINE_PREFIX} (\d{{1,9}}) ([A-Za-z0-9+/=]+)$", re.MULTILINE)
_BYTES_PER_LINE = 6144
_FETCH_AGAIN = "Fetch the results again"
_CHECK_ADDRESS = "Check that --address names the right cluster"
_GZIP = 16 + zlib.MAX_WBITS


def pack(folder: Path, ledger_lines: str) -> bytes:
    """Pack the files of a campaign's folder into an archive; the campaign may be running.

    While it runs, the manifest is left out: it would list other files than those that were read. The journal is read
    last, up to its last whole entry, so that it contains everything that the tables do.

    Args:
        folder: folder of the campaign; its journal is packed up to its last complete transaction.
        ledger_lines: the campaign's lines of the ledger.

    Returns:
        A gzipped tar file.

    Raises:
        ConfigError: a file cannot be read, or the files are too large.
    """
    was_running = is_held(folder / JOURNAL_FILE)
    try:
        files = {name: (folder / name).read_bytes() for name in _files_except_journal(folder)}
        files[JOURNAL_FILE] = committed_bytes(folder / JOURNAL_FILE)
    except OSError as error:
        raise ConfigError(
            f"{error.filename} cannot be read ({error.strerror})", "Check the folder and its permissions"
        ) from None
    if was_running or is_held(folder / JOURNAL_FILE):
        files.pop(MANIFEST_FILE, None)
    files[LEDGER_FILE] = ledger_lines.encode()
    if sum(len(content) for content in files.values()) > MAX_BYTES:
        raise ConfigError(
            f"The results of {folder.name} take more than {MAX_BYTES >> 20} MiB",
            "Copy the folder with ray rsync-down",
        )
    return _write_tar(files)


def _files_except_journal(folder: Path) -> list[str]:
    names = (*LISTED, MANIFEST_FILE)
    return [name for name in names if name != JOURNAL_FILE and (folder / name).is_file()]


def _write_tar(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return target.getvalue()


def encode_lines(archive: bytes) -> Iterator[str]:
    """Yield the lines that carry an archive through a log: one with its size and hash, then its numbered pieces."""
    starts = range(0, len(archive), _BYTES_PER_LINE)
    yield f"{_LINE_PREFIX} begin {len(starts)} {hashlib.sha256(archive).hexdigest()}"
    for number, start in enumerate(starts):
        yield f"{_LINE_PREFIX} {number} {base64.b64encode(archive[start : start + _BYTES_PER_LINE]).decode()}"


def decode_log(log: str) -> bytes:
    """Return the archive whose lines a log contains; all other lines are ignored.

    Raises:
        ConfigError: the log contains no archive, or not all of it.
    """
    begin = _BEGIN.search(log)
    if begin is None:
        raise ConfigError("The job's log contains no results", _FETCH_AGAIN)
    pieces = {int(number): text for number, text in _PIECE.findall(log, begin.end())}
    try:
        archive = b"".join(_decode_piece(pieces[number]) for number in range(int(begin[1])))
    except (KeyError, binascii.Error):
        archive = b""
    if hashlib.sha256(archive).hexdigest() != begin[2]:
        raise ConfigError("The results arrived incomplete or changed", _FETCH_AGAIN)
    return archive


def _decode_piece(text: str) -> bytes:
    """Decode a piece strictly: Python ignores the last bits of Base64 text, so that a changed line could pass."""
    content = base64.b64decode(text, validate=True)
    if base64.b64encode(content).decode() != text:
        raise binascii.Error("unused bits are set")
    return content


def unpack(archive: bytes) -> dict[str, bytes]:
    """Return the files of an archive by name; nothing is written to disk.

    Args:
        archive: a gzipped tar file, which may be hostile.

    Raises:
        ConfigError: the archive holds anything but plain files of `ALLOWED_FILES`, is damaged, or is too large.
    """
    decompressor = zlib.decompressobj(_GZIP)
    # A tar file adds a block of header and at most one of padding to each file, then two blocks, padded to a record.
    max_tar_bytes = MAX_BYTES + tarfile.RECORDSIZE + 2 * tarfile.BLOCKSIZE * (len(ALLOWED_FILES) + 1)
    try:
        content = decompressor.decompress(archive, max_tar_bytes)
        if decompressor.unconsumed_tail:
            raise ConfigError(f"The received results take more than {MAX_BYTES >> 20} MiB", _CHECK_ADDRESS)
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            return _read_members(tar)
    except (zlib.error, tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        raise ConfigError(f"The received results are damaged ({error})", _FETCH_AGAIN) from None


def _read_members(tar: tarfile.TarFile) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for member in tar:
        # `isreg` would also accept sparse files, which are larger than the bytes received.
        is_plain = member.type == tarfile.REGTYPE and member.sparse is None
        is_new = member.name in ALLOWED_FILES and member.name not in files
        if not (is_plain and is_new and 0 <= member.size <= MAX_BYTES):
            raise ConfigError(
                f"The received results contain {member.name!r}, which is not a file of a campaign", _CHECK_ADDRESS
            )
        source = tar.extractfile(member)
        assert source is not None  # it is None only for members that are no files
        files[member.name] = source.read()
        if len(files[member.name]) != member.size:
            raise ConfigError("The received results are damaged (a file was cut short)", _FETCH_AGAIN)
    return files
