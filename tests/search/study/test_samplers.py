from __future__ import annotations

import inspect
from typing import Any, get_args

import optuna
import pytest

from search.study.samplers import make_sampler, sampler_keywords
from search.study.settings import SamplerKind

# Keywords that are removed, deprecated, or hooks rather than settings.
OMITTED = {
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
    passed = {"seed", *sampler_keywords(kind)}
    assert known == passed | OMITTED[kind], "Optuna changed its sampler's settings: decide on each"


@pytest.mark.parametrize("kind", get_args(SamplerKind))
def test_the_recorded_keywords_are_those_passed_to_optuna(kind: SamplerKind, monkeypatch: pytest.MonkeyPatch) -> None:
    keywords: dict[str, Any] = {}
    name = CLASSES[kind].__name__
    monkeypatch.setattr(f"search.study.samplers.{name}", lambda **passed: keywords.update(passed))
    make_sampler(kind, seed=1, number=2)
    assert keywords.pop("seed") != 1
    if kind == "gp":
        assert isinstance(keywords.pop("independent_sampler"), optuna.samplers.RandomSampler)
        keywords["independent_sampler"] = "random"
        assert keywords.pop("warn_independent_sampling") is False  # changes no proposal, so it is not recorded
    assert keywords == sampler_keywords(kind)
