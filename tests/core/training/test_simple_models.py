from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.data.dataset import Dataset
from core.evaluation.logistic_fit import fit_logistic_regression
from core.training import simple_models
from core.training.forest_fit import fit_forest
from core.training.simple_models import load_forest, load_regression
from tests.helpers.market import cut


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PRESET_SEARCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "fits"


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that each fit appends its name to."""
    fitted: list[str] = []
    for name, function in (("fit_forest", fit_forest), ("fit_logistic_regression", fit_logistic_regression)):

        def counted(dataset: Dataset, name: str = name, function: object = function) -> object:
            fitted.append(name)
            assert callable(function)
            return function(dataset)

        monkeypatch.setattr(simple_models, name, counted)
    return fitted


def _same(dataset: Dataset) -> None:
    coefficients, intercepts = load_regression(dataset)
    expected = fit_logistic_regression(dataset)
    np.testing.assert_array_equal(coefficients, expected[0])
    np.testing.assert_array_equal(intercepts, expected[1])
    for name, values in fit_forest(dataset).arrays().items():
        np.testing.assert_array_equal(load_forest(dataset).arrays()[name], values)


def test_a_dataset_is_fitted_once_and_read_again(short: Dataset, folder: Path, fits: list[str]) -> None:
    _same(short)
    assert fits == ["fit_logistic_regression", "fit_forest"]
    _same(short)
    assert len(fits) == 2
    assert len(list(folder.glob("*.npz"))) == 2


@pytest.mark.parametrize("change", ["a row less", "a label", "a feature", "another horizon"])
def test_what_is_fitted_to_other_rows_is_not_read(short: Dataset, folder: Path, fits: list[str], change: str) -> None:
    _same(short)
    labels, features, row = short.labels.copy(), short.features.copy(), short.train[0]
    labels[row], features[row, 0] = (labels[row] + 1) % 3, features[row, 0] + 1
    changed = {
        "a row less": cut(short, len(short.train) - 1),
        "a label": replace(short, labels=labels),
        "a feature": replace(short, features=features),
        "another horizon": replace(short, horizon=short.horizon + 1),
    }
    _same(changed[change])
    assert len(fits) == 4


@pytest.mark.parametrize("content", [b"", b"nothing of the kind", None])
def test_a_damaged_entry_is_fitted_again(short: Dataset, folder: Path, fits: list[str], content: bytes | None) -> None:
    _same(short)
    for entry in folder.glob("*.npz"):
        if content is None:
            with entry.open("wb") as file:
                np.savez(file, meta_json=np.array("{}"), coefficients=np.zeros(2), intercepts=np.zeros(2))
        else:
            entry.write_bytes(content)
    _same(short)
    assert len(fits) == 4


@pytest.mark.parametrize(
    "damage",
    [
        {"coefficients": np.full((40, 3), np.nan)},
        {"intercepts": np.array(["a", "b", "c"])},
        {"feature": 10**6},
        {"shares": "text"},
    ],
)
def test_an_entry_of_damaged_numbers_is_fitted_again(
    short: Dataset, folder: Path, fits: list[str], damage: dict[str, object]
) -> None:
    _same(short)
    ((name, value),) = damage.items()
    for entry in folder.glob("*.npz"):
        with np.load(entry) as stored:
            arrays = dict(stored)
        if name in arrays:
            arrays[name] = value if isinstance(value, np.ndarray) else np.full(arrays[name].shape, value)
            with entry.open("wb") as file:
                np.savez(file, **arrays)
    _same(short)
    assert len(fits) == 3


def test_without_a_cache_it_is_fitted_each_time(
    short: Dataset, fits: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRESET_SEARCH_CACHE", "")
    load_forest(short), load_forest(short)
    assert fits == ["fit_forest"] * 2
