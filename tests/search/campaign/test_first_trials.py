from __future__ import annotations

from pathlib import Path
from typing import Any

from core.config import HYPERPARAMETER_NAMES, DataConfig, SyntheticConfig
from core.files import write_table
from core.presets import load_preset
from search.campaign.plan import plan_campaign
from search.config import CampaignConfig, CellsConfig, study_settings
from search.results import tables
from search.results.folder import JOURNAL_FILE, TRIALS_FILE
from search.study.space import Choice, Range, SpaceConfig
from search.study.study import CampaignStudy
from tests.helpers.campaigns import begin_campaign
from tests.helpers.trial_records import trial_record


def _config(**changes: object) -> CampaignConfig:
    start = CampaignConfig(name="try", data=DataConfig(synthetic=SyntheticConfig(bars=5000)))
    return start.model_copy(update=changes)


def _earlier(root: Path, **changes: Any) -> CampaignStudy:
    """A campaign of two trials that ended, the second the better."""
    planned = plan_campaign(_config(name="before", ask=(), **changes), root)
    folder = begin_campaign(planned)
    trials = [trial_record(0, [0.2, 0.3]), trial_record(1, [0.2, 0.4])]
    write_table(folder / TRIALS_FILE, tables.make_trials_table(trials))
    study = CampaignStudy(folder / JOURNAL_FILE, study_settings(planned.config))
    for trial in trials:
        proposed = study.ask()
        for epoch, entry in trial.epochs.items():
            study.report(proposed.number, entry, ("complete", "") if epoch == 2 else None)
    return study


def test_the_sampler_learns_all_trials_of_a_campaign_with_the_same_identity(tmp_path: Path) -> None:
    study = _earlier(tmp_path, space=SpaceConfig(dropout=Range(low=0.0, high=0.3)))  # the space may differ
    study.close()
    planned = plan_campaign(_config(warm_start=("before",), ask=()), tmp_path)
    assert [(name, [trial.value for trial in trials]) for name, trials in planned.earlier] == [("before", [0.3, 0.4])]
    assert [trial.params for trial in planned.earlier[0][1]] == [trial.params for trial in study.trials.values()]
    assert planned.asked_first == ()


def test_trials_outside_the_space_are_not_learned(tmp_path: Path) -> None:
    study = _earlier(tmp_path)
    study.close()
    bound = sorted(trial.params["dropout"] for trial in study.trials.values())[1]
    narrow = SpaceConfig(dropout=Range(low=0.0, high=bound - 1e-9))
    planned = plan_campaign(_config(warm_start=("before",), space=narrow), tmp_path)
    assert [len(trials) for _, trials in planned.earlier] == [1]


def test_the_winner_of_a_campaign_with_another_identity_is_tried_first(tmp_path: Path) -> None:
    _earlier(tmp_path, max_epochs=9).close()
    planned = plan_campaign(_config(warm_start=("before",)), tmp_path)
    assert planned.earlier == ()
    (first_origin, first_params), (second_origin, _) = planned.asked_first
    assert (first_origin, second_origin) == ("winner of before", "preset production_small")
    assert first_params == {name: trial_record(1, [0.4]).params[name] for name in HYPERPARAMETER_NAMES}


def test_at_most_a_quarter_of_the_trials_is_given_by_winners_and_presets(tmp_path: Path) -> None:
    presets = ("production_small", "quick_experiment", "production_small")
    assert len(plan_campaign(_config(ask=presets, trials=100), tmp_path).asked_first) == 2  # the same twice is once
    planned = plan_campaign(_config(ask=presets, trials=4), tmp_path)
    assert len(planned.asked_first) == 1
    (left_out,) = planned.notices
    assert left_out == (
        "The preset quick_experiment is not tried first: winners and presets make up a quarter of the 4 trials at most."
    )
    planned = plan_campaign(_config(ask=presets, trials=3), tmp_path)
    assert planned.asked_first == ()
    assert [notice.partition(" is not")[0] for notice in planned.notices] == [
        "The preset production_small",
        "The preset quick_experiment",
    ]


def test_what_the_search_cannot_take_over_is_said(tmp_path: Path) -> None:
    _earlier(tmp_path).close()
    nowhere = SpaceConfig(dropout=Range(low=0.0, high=1e-9))
    planned = plan_campaign(_config(warm_start=("before",), space=nowhere), tmp_path)
    assert planned.notices == (
        "No trial of before, which warm_start names, lies in the search space: nothing is taken from it.",
        "The preset production_small does not lie in the search space: it is not tried first.",
    )
    assert plan_campaign(_config(warm_start=("before",)), tmp_path).notices == ()


def test_a_campaign_of_another_identity_without_a_winner_is_said_to_give_nothing(tmp_path: Path) -> None:
    folder = begin_campaign(plan_campaign(_config(name="before", ask=(), max_epochs=9), tmp_path))
    write_table(folder / TRIALS_FILE, tables.make_trials_table([]))
    planned = plan_campaign(_config(warm_start=("before",), ask=()), tmp_path)
    assert (planned.asked_first, planned.earlier) == ((), ())
    (notice,) = planned.notices
    assert notice.startswith(
        "Campaign before, which warm_start names, has another identity than this one and no winner"
    )


def test_trials_and_winners_of_another_space_leave_out_what_is_not_searched(tmp_path: Path) -> None:
    space = SpaceConfig(window=Choice(values=(8, 16)))
    _earlier(tmp_path).close()
    planned = plan_campaign(_config(warm_start=("before",), space=space), tmp_path)
    assert planned.earlier == (("before", []),)  # their windows were not searched
    # The sampler proposes a window for it.
    assert [set(params) for _, params in planned.asked_first] == [set(HYPERPARAMETER_NAMES)]


def test_a_winner_on_val_is_said_to_be_optimistic_where_val_confirms(tmp_path: Path) -> None:
    _earlier(tmp_path, max_epochs=9).close()
    for cells, count in ((None, 0), (CellsConfig(folds=2, seeds=1), 1)):
        planned = plan_campaign(_config(warm_start=("before",), ask=(), cells=cells), tmp_path)
        assert len([notice for notice in planned.notices if "lead out of fold is optimistic" in notice]) == count


def test_a_preset_is_tried_first_only_if_it_has_base_values_where_conditions_do_not_hold(tmp_path: Path) -> None:
    base = load_preset("production_small").hyperparameters
    other = 64 if base.batch_size != 64 else 128
    unfulfilled = SpaceConfig(mixup_alpha=Range(low=0.0, high=0.5, only_if={"batch_size": (other,)}))
    planned = plan_campaign(_config(space=unfulfilled), tmp_path)
    assert planned.asked_first == (("preset production_small", base.model_dump()),)
    assert planned.notices == ()
    planned = plan_campaign(_config(space=unfulfilled, ask=("quick_experiment",)), tmp_path)
    preset = load_preset("quick_experiment").hyperparameters
    assert preset.batch_size != other
    assert preset.mixup_alpha != base.mixup_alpha
    assert planned.asked_first == ()
