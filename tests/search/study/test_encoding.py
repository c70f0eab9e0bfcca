from __future__ import annotations

from search.study.encoding import decode, encode

NAMES = ("dropout", "log2_batch_size")


def test_a_power_of_2_stands_in_the_study_as_its_exponent() -> None:
    params = {"dropout": 0.25, "batch_size": 256}
    assert encode(params, NAMES) == {"dropout": 0.25, "log2_batch_size": 8}
    assert decode(encode(params, NAMES)) == params


def test_a_choice_among_powers_of_2_stands_in_the_study_as_it_is() -> None:
    params = {"dropout": 0.25, "batch_size": 256}
    assert encode(params, ("dropout", "batch_size")) == decode(params) == params
