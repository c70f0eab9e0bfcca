from __future__ import annotations

import pytest
import torch
from torch import Tensor

from core.config import ModelConfig
from core.models.build import build_model
from core.models.network import Network
from core.models.windows import PREDICTION_BATCH, gather_windows, predict_windows

WINDOW = 8


@pytest.fixture
def model() -> Network:
    return build_model(ModelConfig(size="quick", dropout=0.5), 3, WINDOW, 0, torch.device("cpu"))


def _features(count: int) -> Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(1))


def test_a_window_ends_at_its_row_and_begins_with_its_oldest_bar() -> None:
    features = _features(30)
    rows = torch.tensor([29, 7, 12])
    windows = gather_windows(features, rows, WINDOW)
    assert windows.shape == (3, WINDOW, 3)
    for window, row in zip(windows, rows, strict=True):
        assert torch.equal(window, features[row - WINDOW + 1 : row + 1])


@pytest.mark.parametrize("count", [1, PREDICTION_BATCH, PREDICTION_BATCH + 1, 2 * PREDICTION_BATCH + 5])
def test_rows_beyond_one_batch_are_predicted_in_their_order(model: Network, count: int) -> None:
    features = _features(2500)
    rows = torch.randint(WINDOW - 1, 2500, (count,), generator=torch.Generator().manual_seed(2))
    predicted = predict_windows(model, features, rows, WINDOW)
    with torch.inference_mode():
        expected = model.eval()(gather_windows(features, rows, WINDOW))
    for output, whole in zip(predicted, expected, strict=True):
        assert output.shape == whole.shape
        torch.testing.assert_close(output.float(), whole)


def test_no_more_than_a_batch_is_predicted_at_a_time(model: Network) -> None:
    sizes: list[int] = []
    model.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    predict_windows(model, _features(2500), torch.arange(WINDOW - 1, 2500), WINDOW)
    assert sizes == [PREDICTION_BATCH, PREDICTION_BATCH, 2500 - WINDOW + 1 - 2 * PREDICTION_BATCH]


def test_predictions_are_in_float64_without_dropout_or_gradient(model: Network) -> None:
    features, rows = _features(50), torch.arange(WINDOW - 1, 50)
    model.train()
    first, second = (predict_windows(model, features, rows, WINDOW) for _ in range(2))
    assert not model.training
    for output, repeated in zip(first, second, strict=True):
        assert torch.equal(output, repeated)
        assert output.dtype == torch.float64
        assert not output.requires_grad
