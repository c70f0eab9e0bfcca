from __future__ import annotations

import inspect

import optuna

from search.searcher import make_searcher
from search.space import NAMES, SpaceConfig
from search.study import STARTUP_TRIALS, make_sampler


def _suggestions(seed: int) -> list[dict[str, object]]:
    study = optuna.create_study(direction="maximize", sampler=make_sampler(seed))
    found = []
    for number in range(STARTUP_TRIALS + 3):
        trial = study.ask(SpaceConfig().distributions())
        found.append(dict(trial.params))
        study.tell(trial, number / 100)
    return found


def test_a_seed_fixes_the_suggestions_random_and_modelled() -> None:
    assert _suggestions(3) == _suggestions(3)
    assert _suggestions(3) != _suggestions(4)


def test_no_sampler_default_is_left_to_optuna() -> None:
    known = set(inspect.signature(optuna.samplers.TPESampler.__init__).parameters)
    # Removed, deprecated, or a hook that is not a setting.
    unsaid = {"self", "consider_prior", "prior_weight", "consider_magic_clip", "consider_endpoints"}
    unsaid |= {"gamma", "weights", "warn_independent_sampling", "constraints_func"}
    said = {"n_startup_trials", "n_ei_candidates", "seed", "multivariate", "group", "constant_liar"}
    assert known == said | unsaid, "Optuna changed its sampler's settings: decide on each"


def test_the_searcher_proposes_all_six_within_the_space() -> None:
    space = SpaceConfig()
    searcher = make_searcher(space, seed=1)
    for number in range(20):
        six = searcher.suggest(f"trial{number}")
        assert tuple(six) == NAMES
        assert six["batch_size"] in space.batch_size.values
        for name in set(NAMES) - {"batch_size"}:
            low, high = getattr(space, name).ends()
            assert low <= six[name] <= high
