from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor, nn

from core.models.layers import AttentionPool, Dropout, ResidualBlock, TimeConv, TimeNorm, average_steps, init_lstm


def _generator(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def _random(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=_generator(seed))


@pytest.mark.parametrize("probability", [0.05, 0.4, 0.9])
def test_dropout_drops_at_the_asked_rate_and_keeps_the_mean(probability: float) -> None:
    count = 200_000
    dropped = Dropout(probability, _generator())(torch.ones(count))
    # Rates are multiples of 1/256.
    rate = round(probability * 256) / 256
    assert (dropped == 0).float().mean().item() == pytest.approx(rate, abs=4 * math.sqrt(rate * (1 - rate) / count))
    torch.testing.assert_close(dropped.unique(), torch.tensor([0.0, 1 / (1 - rate)]))
    assert dropped.mean().item() == pytest.approx(1, abs=4 * math.sqrt(rate / (1 - rate) / count))


@pytest.mark.parametrize("probability", [0.0, 0.001])
def test_a_tiny_dropout_probability_drops_nothing(probability: float) -> None:
    values = _random(100)
    assert Dropout(probability, _generator())(values) is values


def test_dropout_never_drops_all() -> None:
    dropped = Dropout(0.9999, _generator())(torch.ones(20_000))
    assert dropped.isfinite().all()
    assert dropped.any()


def test_dropout_does_nothing_in_evaluation() -> None:
    values = _random(100)
    layer = Dropout(0.5, _generator()).eval()
    untouched = layer.generator.get_state()
    assert layer(values) is values
    assert torch.equal(layer.generator.get_state(), untouched)


def test_dropout_draws_from_its_own_generator_alone() -> None:
    torch.manual_seed(1)
    first = Dropout(0.5, _generator())(torch.ones(100))
    untouched = torch.manual_seed(2).get_state()
    second = Dropout(0.5, _generator())(torch.ones(100))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), untouched)
    assert not torch.equal(first, Dropout(0.5, _generator(3))(torch.ones(100)))


def test_dropout_passes_gradients_where_it_passes_values() -> None:
    values = torch.ones(100, requires_grad=True)
    dropped = Dropout(0.5, _generator())(values)
    (gradient,) = torch.autograd.grad(dropped.sum(), values)
    assert torch.equal(gradient, dropped.detach())


@pytest.mark.parametrize("length", [1, 2, 7, 8])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_convolution_norm_and_average_are_torchs_own(length: int, stride: int) -> None:
    values = _random(2, length, 8).double()
    conv, norm = TimeConv(8, 12, stride).double(), TimeNorm(4, 8).double()
    nn.init.normal_(norm.weight, generator=_generator())
    torch.testing.assert_close(
        conv(values), nn.Conv1d.forward(conv, values.transpose(1, 2)).transpose(1, 2), rtol=1e-12, atol=1e-12
    )
    torch.testing.assert_close(norm(values), nn.GroupNorm.forward(norm, values.transpose(1, 2)).transpose(1, 2))
    pooled = nn.functional.avg_pool1d(values.transpose(1, 2), stride, ceil_mode=True).transpose(1, 2)
    torch.testing.assert_close(average_steps(values, stride), pooled)


@pytest.mark.parametrize("length", [1, 2, 7, 8])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_block_shortens_time_by_its_stride(length: int, stride: int) -> None:
    block = ResidualBlock(8, stride, Dropout(0.0, _generator()))
    assert block(_random(2, length, 8)).shape == (2, math.ceil(length / stride), 8)


def test_a_block_adds_to_its_input() -> None:
    block = ResidualBlock(8, 1, Dropout(0.0, _generator()))
    nn.init.zeros_(block.second_norm.weight)
    values = _random(2, 10, 8)
    torch.testing.assert_close(block(values), nn.functional.gelu(values))


def test_the_forget_gates_of_the_lstm_start_open() -> None:
    lstm = nn.LSTM(5, 8, batch_first=True, bidirectional=True)
    init_lstm(lstm)
    for side in ("", "_reverse"):
        bias = getattr(lstm, f"bias_ih_l0{side}") + getattr(lstm, f"bias_hh_l0{side}")
        assert bias.tolist() == [0.0] * 8 + [1.0] * 8 + [0.0] * 16


def test_the_recurrence_of_the_lstm_starts_orthogonal() -> None:
    lstm = nn.LSTM(5, 8, batch_first=True, bidirectional=True)
    init_lstm(lstm)
    for side in ("", "_reverse"):
        for gate in getattr(lstm, f"weight_hh_l0{side}").chunk(4):
            torch.testing.assert_close(gate @ gate.T, torch.eye(8), atol=1e-5, rtol=0)


def _pool(steps: int = 6) -> AttentionPool:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pool = AttentionPool(8, 2, steps)
    # Positions start almost at zero, where a fault in them would not show.
    nn.init.normal_(pool.positions, generator=_generator())
    return pool


def _pooled_by_formula(pool: AttentionPool, values: Tensor, positions: Tensor) -> Tensor:
    width = 8 // pool.heads
    heads = []
    for head in range(pool.heads):
        columns = slice(head * width, (head + 1) * width)
        keys, content = pool.key(values + positions), pool.value(values + positions)
        query = pool.query(values[:, -1])[:, columns]
        weights = ((keys[..., columns] @ query.unsqueeze(-1)).squeeze(-1) / math.sqrt(width)).softmax(-1)
        heads.append((weights.unsqueeze(-1) * content[..., columns]).sum(1))
    return torch.as_tensor(pool.out(torch.cat(heads, dim=-1)))


def test_the_last_step_looks_over_the_whole_window() -> None:
    pool, values = _pool(), _random(3, 6, 8)
    torch.testing.assert_close(pool(values), _pooled_by_formula(pool, values, pool.positions))


def test_positions_are_counted_back_from_the_last_step() -> None:
    pool, values = _pool(), _random(3, 4, 8)
    torch.testing.assert_close(pool(values), _pooled_by_formula(pool, values, pool.positions[-4:]))


def test_a_longer_window_than_was_learned_shares_the_first_position() -> None:
    pool, values = _pool(), _random(3, 9, 8)
    positions = torch.cat([pool.positions[:1]] * 3 + [pool.positions])
    torch.testing.assert_close(pool(values), _pooled_by_formula(pool, values, positions))


@pytest.mark.parametrize("length", [1, 4, 9])
def test_pooling_is_torchs_own_attention_of_the_last_step(length: int) -> None:
    pool = _pool(9).double()
    reference = nn.MultiheadAttention(8, 2, batch_first=True).double()
    parts = [pool.query, pool.key, pool.value]
    reference.in_proj_weight.data = torch.cat([part.weight for part in parts])
    reference.in_proj_bias.data = torch.cat([pool.query.bias, torch.randn(8, generator=_generator()), pool.value.bias])
    reference.out_proj.load_state_dict(pool.out.state_dict())
    values = _random(3, length, 8).double()
    placed = values + pool.positions[-length:]
    torch.testing.assert_close(pool(values), reference(values[:, -1:], placed, placed)[0][:, 0])


def test_every_step_reaches_the_context() -> None:
    pool, values = _pool(), _random(1, 6, 8).requires_grad_()
    (gradient,) = torch.autograd.grad(pool(values).sum(), values)
    assert (gradient.abs().sum(-1) > 0).all()
