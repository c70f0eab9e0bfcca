from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core.config import DataConfig, SyntheticConfig
from core.errors import ConfigError
from core.models.memory import MemoryEstimate
from search.cluster.nodes import Node
from search.cluster.resources import TrialResources, allocate, device_of
from search.cluster.software import Software
from search.config import CampaignConfig

GIB = 1 << 30
LAPTOP = Node("laptop", "", 8.0, 0.0, 0, 0, 8 * GIB, 8 * GIB, software=Software({}, ""))
HEAD = replace(LAPTOP, name="head", identifier="h", cpus=4.0)
WORKER = replace(HEAD, name="worker", identifier="w", cpus=16.0, gpus=2.0, gpus_seen=2, gpu_memory=16 * GIB)
NEED = MemoryEstimate(GIB // 2, GIB // 2)


def _config(**settings: Any) -> CampaignConfig:
    return CampaignConfig(name="c", data=DataConfig(synthetic=SyntheticConfig()), **settings)


def _pack(config: CampaignConfig, *nodes: Node, need: MemoryEstimate = NEED) -> TrialResources:
    return allocate(config, nodes, device_of(config, nodes), need, GIB // 10)


def test_a_laptop_runs_one_trial_a_core_and_no_more_than_asked() -> None:
    assert _pack(_config(), LAPTOP) == TrialResources("cpu", 1, 0.0, 8, 8)
    assert _pack(_config(cpus_per_trial=3), LAPTOP) == TrialResources("cpu", 3, 0.0, 2, 2)
    assert _pack(_config(concurrency=2), LAPTOP).max_concurrent == 2
    assert _pack(_config(concurrency=64), LAPTOP).max_concurrent == 8


def test_trials_share_a_gpu_as_their_memory_allows() -> None:
    # 1 GiB of context and 1.3 times 1.1 GiB: 6 fit on 16 GiB.
    resources = _pack(_config(), HEAD, WORKER)
    assert resources == TrialResources("cuda", 1, 0.1666, 12, 12)
    assert resources.requirements == {"cpu": 1.0, "gpu": 0.1666}
    assert _pack(_config(), HEAD, WORKER, need=MemoryEstimate(0, 12 * GIB)).gpus == 1.0
    assert _pack(_config(), HEAD, WORKER, need=MemoryEstimate(0, 40 * GIB)).gpus == 1.0  # it is told when it has tried


def test_the_cores_of_a_node_bound_how_many_share_its_gpus() -> None:
    assert _pack(_config(cpus_per_trial=4), HEAD, WORKER) == TrialResources("cuda", 4, 0.5, 4, 4)


def test_the_smallest_gpu_decides() -> None:
    small = replace(WORKER, gpu_memory=6 * GIB)
    assert _pack(_config(), WORKER, small).gpus == 0.5


def test_what_is_named_is_taken() -> None:
    assert _pack(_config(gpus_per_trial=0.5), WORKER).gpus == 0.5
    assert _pack(_config(gpus_per_trial=1, device="cpu"), WORKER) == TrialResources("cpu", 1, 0.0, 16, 16)


def test_no_trial_lies_on_parts_of_two_gpus() -> None:
    assert _pack(_config(gpus_per_trial=0.6), replace(WORKER, gpus=8.0)).max_concurrent == 8
    assert _pack(_config(gpus_per_trial=2), replace(WORKER, gpus=5.0)).max_concurrent == 2


def test_a_cluster_that_grows_is_asked_for_what_is_wanted() -> None:
    # From zero: nobody knows the GPU yet, so each trial gets a whole one.
    assert _pack(_config(device="cuda", concurrency=8, storage="s3://bucket"), HEAD) == TrialResources(
        "cuda", 1, 1.0, 8, 0
    )


@pytest.mark.parametrize(
    ("settings", "nodes", "said"),
    [
        ({"cpus_per_trial": 99}, (LAPTOP,), "cpus_per_trial is 99, this machine has 8"),
        ({"device": "cuda"}, (LAPTOP,), "no CUDA device here"),
        ({"gpus_per_trial": 3}, (replace(LAPTOP, gpus=1.0),), "gpus_per_trial is 3, this machine has 1"),
        ({"device": "cuda"}, (HEAD,), "room for a trial of 1 CPU.s. and 1 GPU.s."),
        ({"device": "cuda", "concurrency": 4}, (HEAD,), "Nodes will come that do not see this machine's disk"),
        ({"concurrency": 4}, (HEAD,), "Say device: cuda or device: cpu"),
        ({"cpus_per_trial": 32}, (HEAD, WORKER), "room for a trial of 32 CPU"),
    ],
)
def test_what_fits_nowhere_is_refused(settings: dict[str, Any], nodes: tuple[Node, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        _pack(_config(**settings), *nodes)
