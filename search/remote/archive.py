"""A campaign's results as one piece of text, to be read from a job's log; and back, with nothing trusted.

Text, because a job server hands out logs and nothing else. Each line says what it is and its number, so that warnings
that others write into the same log do no harm, and a lost line is noticed.
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
from search.results.folder import JOURNAL_FILE, MANIFEST_FILE
from search.results.ledger import LEDGER_FILE
from search.results.manifest import LISTED
from search.study import journal

NAMES = (*LISTED, MANIFEST_FILE, LEDGER_FILE)
"""What an archive may hold: plain files of these names. The ledger's are the campaign's own lines."""
LIMIT = 200 * 2**20
"""Most bytes of all files together."""
_MARK = "preset-search-archive"
_BEGIN = re.compile(rf"^{_MARK} begin (\d{{1,9}}) ([0-9a-f]{{64}})$", re.MULTILINE)
_PIECE = re.compile(rf"^{_MARK} (\d{{1,9}}) ([A-Za-z0-9+/=]+)$", re.MULTILINE)
_BYTES_A_LINE = 6144
_AGAIN = "Fetch it again"
_GZIP = 16 + zlib.MAX_WBITS


def pack(folder: Path, looks: str) -> bytes:
    """The files of a campaign's folder; the campaign may be running.

    The manifest is left out while it runs: it would tell of other files than those that were read. The journal is read
    last, as whole pieces: so it knows all that the tables say.

    Args:
        folder: the campaign's.
        looks: its lines of the ledger.

    Raises:
        ConfigError: a file cannot be read, or they are too big.
    """
    held = journal.is_held(folder / JOURNAL_FILE)
    try:
        found = {name: (folder / name).read_bytes() for name in _readable(folder)}
        found[JOURNAL_FILE] = journal.committed_bytes(folder / JOURNAL_FILE)
    except OSError as error:
        raise ConfigError(f"{error.filename} cannot be read ({error.strerror})", "Check the folder") from None
    if held or journal.is_held(folder / JOURNAL_FILE):
        found.pop(MANIFEST_FILE, None)
    found[LEDGER_FILE] = looks.encode()
    if sum(len(content) for content in found.values()) > LIMIT:
        raise ConfigError(
            f"The results of {folder.name} take more than {LIMIT >> 20} MiB", "Copy the folder with ray rsync-down"
        )
    return _tar(found)


def _readable(folder: Path) -> list[str]:
    names = (*LISTED, MANIFEST_FILE)
    return [name for name in names if name != JOURNAL_FILE and (folder / name).is_file()]


def _tar(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return target.getvalue()


def to_lines(data: bytes) -> Iterator[str]:
    """The lines that an archive makes in a log."""
    starts = range(0, len(data), _BYTES_A_LINE)
    yield f"{_MARK} begin {len(starts)} {hashlib.sha256(data).hexdigest()}"
    for number, start in enumerate(starts):
        yield f"{_MARK} {number} {base64.b64encode(data[start : start + _BYTES_A_LINE]).decode()}"


def from_log(log: str) -> bytes:
    """The archive that a log holds.

    Raises:
        ConfigError: there is none, or not all of it.
    """
    begin = _BEGIN.search(log)
    if begin is None:
        raise ConfigError("The job's log holds no results", _AGAIN)
    pieces = {int(number): text for number, text in _PIECE.findall(log, begin.end())}
    try:
        data = b"".join(base64.b64decode(pieces[number], validate=True) for number in range(int(begin[1])))
    except (KeyError, binascii.Error):
        data = b""
    if hashlib.sha256(data).hexdigest() != begin[2]:
        raise ConfigError("The results did not come whole", _AGAIN)
    return data


def unpack(data: bytes) -> dict[str, bytes]:
    """The files of an archive by name, each a known one; nothing is written.

    Raises:
        ConfigError: it holds anything else, is damaged, or is too big.
    """
    expander = zlib.decompressobj(_GZIP)
    most = LIMIT + tarfile.RECORDSIZE + 2 * tarfile.BLOCKSIZE * (len(NAMES) + 1)
    try:
        content = expander.decompress(data, most)
        if expander.unconsumed_tail:
            raise ConfigError(f"The results take more than {LIMIT >> 20} MiB", "Is this the right cluster?")
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            return _members(tar)
    except (zlib.error, tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        raise ConfigError(f"The results that came are damaged ({error})", _AGAIN) from None


def _members(tar: tarfile.TarFile) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for member in tar:
        # Only what is exactly a plain file: `isreg` says yes to sparse ones too, which are bigger than what came.
        plain = member.type == tarfile.REGTYPE and member.sparse is None
        if not plain or member.name not in NAMES or member.name in files or not 0 <= member.size <= LIMIT:
            raise ConfigError(
                f"The results that came hold {member.name!r}, which is no file of a campaign", "Is this cluster yours?"
            )
        source = tar.extractfile(member)
        assert source is not None  # a plain file
        files[member.name] = source.read()
        if len(files[member.name]) != member.size:
            raise ConfigError("The results that came are damaged (a file was cut short)", _AGAIN)
    return files
