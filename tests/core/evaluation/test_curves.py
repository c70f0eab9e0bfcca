from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ConfigError
from core.evaluation.curves import draw_curves
from core.evaluation.history import EpochResult

SCORES = {"macro_f1": 0.4}


def _history(epochs: int, scores: dict[str, float]) -> list[EpochResult]:
    return [EpochResult(e, 0.4, 0.4, 1, scores, scores, 1 / e, 1e-3, 0.1, []) for e in range(1, epochs + 1)]


@pytest.mark.parametrize("epochs", [1, 3, 150])
@pytest.mark.parametrize("scores", [SCORES, {}], ids=["scored", "nothing held out"])
def test_any_history_makes_a_picture(tmp_path: Path, epochs: int, scores: dict[str, float]) -> None:
    draw_curves(
        tmp_path / "curves.png", "BTC", "macro_f1", _history(epochs, scores), {"majority": 0.23} if scores else {}
    )
    content = (tmp_path / "curves.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert content.endswith(b"IEND\xaeB`\x82")
    assert 10_000 < len(content) < 200_000
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]


def test_what_is_not_defined_leaves_a_gap(tmp_path: Path) -> None:
    nan = float("nan")
    history = [EpochResult(e, nan, nan, 1, {"auc": nan}, {"auc": nan}, 1.0, 1e-3, 0.1, []) for e in (1, 2)]
    draw_curves(tmp_path / "curves.png", "a $b_c$ \\title", "auc", history, {"majority": nan})
    assert (tmp_path / "curves.png").exists()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="cannot be written"):
        draw_curves(tmp_path / "file" / "curves.png", "BTC", "macro_f1", _history(1, SCORES), {})
