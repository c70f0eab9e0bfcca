from __future__ import annotations

import inspect
from typing import Any, get_args

import optuna
import pytest

from search.study.samplers import make_sampler, sampler_keywords
from search.study.settings import SamplerKind

# Removed, deprecated, or a hook that is not a setting.
UNSAID = {
    "tpe": {
        "self", "consider_prior", "prior_weight", "consider_magic_clip", "consider_endpoints", "gamma", "weights",
        "warn_independent_sampling", "constraints_func",
    },
    "random": {"self"},
    "gp": {"self", "constraints_func", "warn_independent_sampling"},
}  # fmt: skip
CLASSES: dict[str, Any] = {
    "tpe": optuna.samplers.TPESampler,
    "random": optuna.samplers.RandomSampler,
    "gp": optuna.samplers.GPSampler,
}


@pytest.mark.parametrize("kind", get_args(SamplerKind))
def test_no_sampler_default_is_left_to_optuna(kind: SamplerKind) -> None:
    known = set(inspect.signature(CLASSES[kind].__init__).parameters)
    said = {"seed", *sampler_keywords(kind)}
    assert known == said | UNSAID[kind], "Optuna changed its sampler's settings: decide on each"


@pytest.mark.parametrize("kind", get_args(SamplerKind))
def test_what_is_recorded_is_what_is_said(kind: SamplerKind, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}
    name = CLASSES[kind].__name__
    monkeypatch.setattr(f"search.study.samplers.{name}", lambda **keywords: told.update(keywords))
    make_sampler(kind, seed=1, number=2)
    assert told.pop("seed") != 1
    if kind == "gp":
        assert isinstance(told.pop("independent_sampler"), optuna.samplers.RandomSampler)
        told["independent_sampler"] = "random"
    assert told == sampler_keywords(kind)
