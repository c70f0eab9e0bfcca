"""A network is built from its recipe and a seed alone."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from tests.helpers.networks import build_network


def test_the_same_seed_gives_the_same_weights_whatever_was_drawn_before() -> None:
    first = build_network().state_dict()
    torch.manual_seed(99)
    same, other = build_network().state_dict(), build_network(seed=1).state_dict()
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_building_leaves_the_process_random_state_alone() -> None:
    states = torch.get_rng_state(), np.random.get_state()[1], random.getstate()  # noqa: NPY002
    build_network()
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert random.getstate() == states[2]


def test_building_on_the_cpu_seeds_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    build_network()
    assert seeded == []


def test_the_dropout_does_not_draw_the_numbers_of_the_weights_again() -> None:
    draws = torch.rand(8, generator=torch.Generator().manual_seed(3))
    assert not torch.equal(torch.rand(8, generator=build_network(seed=3).dropout.generator), draws)
    same = [torch.rand(8, generator=build_network(seed=3).dropout.generator) for _ in range(2)]
    assert torch.equal(*same)
