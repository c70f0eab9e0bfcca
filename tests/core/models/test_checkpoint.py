from __future__ import annotations

import os
import pickle
import resource
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.errors import ConfigError
from core.models import checkpoint
from core.models.checkpoint import FORMAT_VERSION


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "checkpoint.pt"
    weights = OrderedDict(a=torch.randn(3, 2), b=torch.arange(4, dtype=torch.uint8))
    plain = {"epoch": 3, "value": 0.1 + 0.2, "name": "ünï", "none": None, "list": [1, [2.5, True]], "nan": float("nan")}
    # NumPy's generators keep numbers of 128 bits.
    rng = np.random.default_rng(5).bit_generator.state
    checkpoint.save_checkpoint(path, {"weights": weights, "plain": plain, "rng": rng})
    loaded = checkpoint.load_checkpoint(path)
    assert list(loaded["weights"]) == ["a", "b"]
    assert all(torch.equal(loaded["weights"][name], weights[name]) for name in weights)
    assert repr(loaded["plain"]) == repr(plain)
    assert loaded["rng"] == rng


class _Attack:
    """Pickles as a call that makes a folder."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("how", ["torch", "legacy torch", "pickle"])
def test_code_in_a_checkpoint_is_refused_and_never_run(tmp_path: Path, how: str) -> None:
    path, target = tmp_path / "checkpoint.pt", tmp_path / "attacked"
    content = {"format_version": FORMAT_VERSION, "model": _Attack(target)}
    if how == "pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "torch")
    with pytest.raises(ConfigError, match=r"checkpoint\.pt is not a checkpoint of this program"):
        checkpoint.load_checkpoint(path)
    assert not target.exists()
    # The attack works on a reader that trusts its input.
    torch.load(path, weights_only=False) if how != "pickle" else pickle.loads(path.read_bytes())
    assert target.exists()


def _good(folder: Path) -> bytes:
    checkpoint.save_checkpoint(folder / "good.pt", {"weights": torch.arange(10.0), "epoch": 1})
    return (folder / "good.pt").read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_file_cut_short_is_refused(tmp_path: Path, share: float) -> None:
    whole = _good(tmp_path)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ConfigError, match="is not a checkpoint of this program"):
        checkpoint.load_checkpoint(path)


# The reader fails in other ways from byte to byte.
@pytest.mark.filterwarnings("ignore")
@settings(max_examples=200)
@given(content=st.binary(max_size=60))
@example(content=b"PK\x03\x04")
@example(content=b".")
@example(content=b"\x80\x02.")
@example(content=b"\x80\x02M")
@example(content=b"<html>not found</html>")
def test_a_file_of_anything_else_is_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "checkpoint.pt"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"checkpoint\.pt"):
        checkpoint.load_checkpoint(path)


@pytest.mark.parametrize(
    "content",
    [{"format_version": FORMAT_VERSION + 1}, {"epoch": 1}, [1, 2], {"format_version": torch.ones(2)}],
    ids=["newer", "none", "no mapping", "no number"],
)
def test_another_format_is_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save(content, path)
    with pytest.raises(ConfigError, match=r"has checkpoint format .* reads 2"):
        checkpoint.load_checkpoint(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.pt cannot be read \(No such file"):
        checkpoint.load_checkpoint(tmp_path / "nothing.pt")


def test_failure_keeps_the_old_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.save_checkpoint(path, {"epoch": 1})
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        checkpoint.save_checkpoint(path, {"epoch": 2, "bad": lambda: None})
    assert checkpoint.load_checkpoint(path)["epoch"] == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def _files_of_at_most_20_kb() -> Iterator[None]:
    """The nearest thing to a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("_files_of_at_most_20_kb")
def test_a_full_disk_is_a_readable_error_and_keeps_the_old_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.save_checkpoint(path, {"epoch": 1})
    with pytest.raises(ConfigError, match="cannot be written"):
        checkpoint.save_checkpoint(path, {"epoch": 2, "weights": torch.zeros(50_000)})
    assert checkpoint.load_checkpoint(path)["epoch"] == 1
    assert list(tmp_path.iterdir()) == [path]
