from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from core.config import AugmentConfig
from core.training.augment import (
    Augmenter,
    feature_dropout,
    gaussian_noise,
    mixup,
    mixup_weights,
    time_mask,
    without_mixup,
)
from tests.helpers.market import NO_AUGMENTATION

BATCH, LENGTH, FEATURES = 2000, 20, 5


def _generator(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def _ones() -> Tensor:
    return torch.ones(BATCH, LENGTH, FEATURES)


def test_a_time_mask_is_one_stretch_of_bars_over_all_features() -> None:
    blank = time_mask(_ones(), 0.3, _generator()) == 0
    assert (blank.all(-1) == blank.any(-1)).all()
    edges = blank[:, :, 0].to(torch.int8).diff(dim=1).abs().sum(1)
    first_and_last = blank[:, 0, 0].to(torch.int8) + blank[:, -1, 0].to(torch.int8)
    assert (edges + first_and_last <= 2).all()


def test_time_masks_have_all_widths_up_to_the_longest_equally_often() -> None:
    widths = (time_mask(_ones(), 0.3, _generator()) == 0)[:, :, 0].sum(1)
    shares = torch.bincount(widths, minlength=8) / BATCH
    # 0 to 6 bars; four standard errors.
    torch.testing.assert_close(shares, torch.tensor([1 / 7] * 7 + [0.0]), atol=4 * (1 / 7 / BATCH) ** 0.5, rtol=0)


def test_time_masks_lie_anywhere() -> None:
    blank = (time_mask(_ones(), 0.3, _generator()) == 0)[:, :, 0]
    assert blank.any(0).all()
    assert blank[:, 0].any()
    assert blank[:, -1].any()


def test_what_is_not_masked_is_untouched() -> None:
    windows = torch.randn(50, LENGTH, FEATURES, generator=_generator())
    masked = time_mask(windows, 0.5, _generator(1))
    assert ((masked == windows) | (masked == 0)).all()
    assert (windows != 0).all()


def test_noise_has_the_asked_deviation_and_is_drawn_for_each_value() -> None:
    added = gaussian_noise(_ones(), 0.3, _generator()) - 1
    count = added.numel()
    assert added.mean().abs() < 4 * 0.3 / count**0.5
    assert added.std().item() == pytest.approx(0.3, rel=4 / (2 * count) ** 0.5)
    assert len(added.flatten()[:1000].unique()) == 1000


def test_feature_dropout_blanks_whole_features_of_single_samples_at_the_asked_rate() -> None:
    blank = feature_dropout(_ones(), 0.2, _generator()) == 0
    assert (blank.all(1) == blank.any(1)).all()
    rates = blank[:, 0].float().mean(0)
    assert ((rates - 0.2).abs() < 4 * (0.16 / BATCH) ** 0.5).all()
    assert len(blank[:, 0].unique(dim=0)) > 10


def test_mixup_weights_are_beta_distributed() -> None:
    for alpha in (0.2, 1.0, 5.0):
        weights = mixup_weights(50_000, alpha, np.random.default_rng(0))
        assert weights.dtype == torch.float32
        assert ((weights >= 0) & (weights <= 1)).all()
        assert weights.mean().item() == pytest.approx(0.5, abs=0.01)
        assert weights.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.03)


def test_mixup_blends_each_sample_with_its_partner() -> None:
    values = torch.tensor([[0.0, 10.0], [100.0, 20.0], [50.0, 30.0]])
    blended = mixup(values, torch.tensor([1, 0, 2]), torch.tensor([1.0, 0.25, 0.3]))
    torch.testing.assert_close(blended, torch.tensor([[0.0, 10.0], [25.0, 12.5], [50.0, 30.0]]))


def _batch(count: int = 64) -> tuple[Tensor, Tensor, Tensor]:
    generator = _generator(9)
    targets = torch.eye(3)[torch.randint(3, (count,), generator=generator)]
    windows = torch.randn(count, LENGTH, FEATURES, generator=generator)
    return windows, targets, torch.randn(count, generator=generator)


def _augmenter(config: AugmentConfig, seed: int = 0) -> Augmenter:
    return Augmenter(config, _generator(seed), np.random.default_rng(seed))


def test_all_off_changes_nothing_and_draws_nothing() -> None:
    windows, targets, returns = _batch()
    augmenter = _augmenter(NO_AUGMENTATION)
    untouched = augmenter.generator.get_state()
    batch = augmenter(windows, targets, returns)
    assert batch.windows is windows
    assert batch.targets is targets
    assert batch.returns is returns
    assert not batch.mixed.any()
    assert torch.equal(augmenter.generator.get_state(), untouched)


@pytest.mark.parametrize("name", ["time_mask", "noise_std", "feature_dropout"])
def test_each_part_can_be_switched_on_alone(name: str) -> None:
    windows, targets, returns = _batch()
    batch = _augmenter(NO_AUGMENTATION.model_copy(update={name: 0.3}))(windows, targets, returns)
    assert not torch.equal(batch.windows, windows)
    assert batch.targets is targets
    assert not batch.mixed.any()


def test_mixup_alone_blends_windows_targets_and_returns_with_the_same_partner() -> None:
    windows, targets, returns = _batch()
    # The first bar carries the targets and the return of its sample.
    windows[:, 0, :3], windows[:, 0, 3] = targets, returns
    batch = _augmenter(NO_AUGMENTATION.model_copy(update={"mixup_alpha": 1.0}))(windows, targets, returns)
    torch.testing.assert_close(batch.windows[:, 0, :3], batch.targets)
    torch.testing.assert_close(batch.windows[:, 0, 3], batch.returns)
    torch.testing.assert_close(batch.targets.sum(1), torch.ones(64))


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_rows_of_which_another_sample_makes_up_more_than_a_tenth_are_marked_as_mixed(alpha: float) -> None:
    windows, targets, returns = _batch()
    # Each sample carries its own number, so that its share of a blend can be read off.
    windows[:, 0, 0] = torch.arange(64)
    augmenter = _augmenter(NO_AUGMENTATION.model_copy(update={"mixup_alpha": alpha}))
    marked, unmarked = 0, 0
    for _ in range(20):
        batch = augmenter(windows, targets, returns)
        pure = ~batch.mixed
        # Each unmarked sample is within a tenth of one of the samples.
        distance = (batch.windows[pure].flatten(1)[:, None] - windows.flatten(1)[None]).norm(dim=-1)
        distances = (windows.flatten(1)[:, None] - windows.flatten(1)[None]).norm(dim=-1)
        assert (distance.min(dim=1).values <= 0.101 * distances.max()).all()
        assert (batch.windows[batch.mixed] != windows[batch.mixed]).any(-1).any(-1).all()
        marked += int(batch.mixed.sum())
        unmarked += int(pure.sum())
    # Of Beta(1, 1) four fifths lie between a tenth and nine tenths, of Beta(0.2, 0.2) three tenths.
    assert marked / (marked + unmarked) == pytest.approx({1.0: 0.79, 0.2: 0.31}[alpha], abs=0.05)


def test_mixup_alone_is_switched_off() -> None:
    assert without_mixup(AugmentConfig(mixup_alpha=0.4, noise_std=0.5)) == AugmentConfig(mixup_alpha=0, noise_std=0.5)


def test_the_injected_generators_alone_decide() -> None:
    everything = AugmentConfig(mixup_alpha=0.5, time_mask=0.3, noise_std=0.1, feature_dropout=0.2)
    windows, targets, returns = _batch()
    torch.manual_seed(1)
    first = _augmenter(everything)(windows, targets, returns)
    torch.manual_seed(2)
    untouched = torch.get_rng_state()
    second = _augmenter(everything)(windows, targets, returns)
    other = _augmenter(everything, seed=1)(windows, targets, returns)
    for name in ("windows", "targets", "returns", "mixed"):
        assert torch.equal(getattr(first, name), getattr(second, name))
        assert not torch.equal(getattr(first, name), getattr(other, name))
    assert torch.equal(torch.get_rng_state(), untouched)


def test_the_samples_given_are_not_changed() -> None:
    everything = AugmentConfig(mixup_alpha=0.5, time_mask=0.3, noise_std=0.1, feature_dropout=0.2)
    given = _batch()
    copies = [tensor.clone() for tensor in given]
    _augmenter(everything)(*given)
    assert all(torch.equal(tensor, copy) for tensor, copy in zip(given, copies, strict=True))
