from __future__ import annotations

from core.config import HYPERPARAMETER_NAMES, OPTIONAL_NAMES
from search.campaign.short_params import SHORT_PARAMS, describe_params
from tests.helpers.trial_records import params


def test_every_hyperparameter_has_a_short_name_and_a_format() -> None:
    assert list(SHORT_PARAMS) == [*HYPERPARAMETER_NAMES, *OPTIONAL_NAMES]


def test_hyperparameters_stand_in_one_line_those_that_were_not_searched_without_a_value() -> None:
    line = "lr 3.3e-05 batch 128 wd 1.4e-02 dropout 0.33 gamma 2.00 mixup 0.00"
    assert describe_params(params(0)) == line
    assert describe_params({**params(0), "window": 16}, ["focal_gamma"]) == (
        line.replace("gamma 2.00", "gamma n/a") + " window  16"
    )
