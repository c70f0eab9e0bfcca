"""Keeps finished out-of-fold trainings for the confirmations of other campaigns in the same folder.

A cell is the same training wherever its key is the same: the incumbent's, above all, which every campaign on the same
bars compares with. The final training, which reads test, is never shared.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from search.results.folder import ROW_FILE, CampaignFolder

_FOLDER = ".cells"
MAX_CELLS = 1000
"""Number of cells to keep, of up to a megabyte each; those used least recently are removed first."""


def is_shared(folder: CampaignFolder, key: str) -> bool:
    """Return whether another campaign has finished a cell.

    Args:
        folder: the folder of the campaign that needs the cell.
        key: the key of the cell, see `search.confirmation.plan.Cell.key`.
    """
    return (_shared(folder, key) / ROW_FILE).is_file()


def copy_shared(folder: CampaignFolder, key: str) -> None:
    """Copy a cell that another campaign has finished into a campaign's folder, if it has none of its own.

    A cell that cannot be copied is trained; what it holds is checked when it is read.

    Args:
        folder: the folder of the campaign that needs the cell.
        key: the key of the cell.
    """
    shared, own = _shared(folder, key), folder.cell(key)
    if own.exists() or not (shared / ROW_FILE).is_file():
        return
    temporary = own.with_name(f".{key}.{os.getpid()}")
    try:
        shutil.copytree(shared, temporary)
        temporary.rename(own)
        os.utime(shared)
    except OSError:
        pass
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def share(folder: CampaignFolder, keys: Iterable[str]) -> None:
    """Move finished cells of a concluded campaign to where other campaigns find them; a failure is no error.

    They take the place of earlier ones, which may be damaged.

    Args:
        folder: the folder of the campaign.
        keys: the keys of its out-of-fold cells.
    """
    place = folder.path.parent / _FOLDER
    with suppress(OSError):
        place.mkdir(exist_ok=True)
        for key in keys:
            own, shared = folder.cell(key), _shared(folder, key)
            if (own / ROW_FILE).is_file():
                shutil.rmtree(shared, ignore_errors=True)
                with suppress(OSError):  # another campaign shares the same cell at this moment
                    own.rename(shared)
        by_age = sorted(place.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for oldest in by_age[MAX_CELLS:]:
            shutil.rmtree(oldest, ignore_errors=True)


def _shared(folder: CampaignFolder, key: str) -> Path:
    return folder.path.parent / _FOLDER / key
