from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core.config import DataConfig, SyntheticConfig
from core.errors import ConfigError
from core.models.memory import MemoryEstimate
from search.cluster.nodes import Node
from search.cluster.resources import TrialResources, allocate, choose_device
from search.cluster.software import Software
from search.config import CampaignConfig

GIB = 1 << 30
LAPTOP = Node("laptop", "", 8.0, 0.0, 0, 0, 8 * GIB, 8 * GIB, software=Software({}, ""))
HEAD = replace(LAPTOP, name="head", identifier="h", cpus=4.0)
WORKER = replace(HEAD, name="worker", identifier="w", cpus=16.0, gpus=2.0, visible_gpus=2, gpu_memory=16 * GIB)
NEED = MemoryEstimate(GIB // 2, GIB // 2)


def _config(**settings: Any) -> CampaignConfig:
    return CampaignConfig(name="c", data=DataConfig(synthetic=SyntheticConfig()), **settings)


def _allocate(config: CampaignConfig, *nodes: Node, need: MemoryEstimate = NEED) -> TrialResources:
    return allocate(config, nodes, choose_device(config, nodes), need, GIB // 10)


def test_a_laptop_runs_one_trial_per_core_and_no_more_than_asked() -> None:
    assert _allocate(_config(), LAPTOP) == TrialResources("cpu", 1, 0.0, 8, 8)
    assert _allocate(_config(cpus_per_trial=3), LAPTOP) == TrialResources("cpu", 3, 0.0, 2, 2)
    assert _allocate(_config(concurrency=2), LAPTOP).max_concurrent == 2
    assert _allocate(_config(concurrency=64), LAPTOP).max_concurrent == 8


def test_trials_share_a_gpu_as_their_memory_allows() -> None:
    # 1 GiB of context and 1.3 times 1.1 GiB: 6 fit on 16 GiB.
    resources = _allocate(_config(), HEAD, WORKER)
    assert resources == TrialResources("cuda", 1, 0.1666, 12, 12)
    assert resources.requirements == {"cpu": 1.0, "gpu": 0.1666}
    assert _allocate(_config(), HEAD, WORKER, need=MemoryEstimate(0, 12 * GIB)).gpus == 1.0
    # Too large for the GPU: the trial itself will report that.
    assert _allocate(_config(), HEAD, WORKER, need=MemoryEstimate(0, 40 * GIB)).gpus == 1.0


def test_the_cores_of_a_node_bound_how_many_share_its_gpus() -> None:
    assert _allocate(_config(cpus_per_trial=4), HEAD, WORKER) == TrialResources("cuda", 4, 0.5, 4, 4)


def test_the_smallest_gpu_decides() -> None:
    small = replace(WORKER, gpu_memory=6 * GIB)
    assert _allocate(_config(), WORKER, small).gpus == 0.5


def test_settings_of_the_campaign_are_taken() -> None:
    assert _allocate(_config(gpus_per_trial=0.5), WORKER).gpus == 0.5
    assert _allocate(_config(gpus_per_trial=1, device="cpu"), WORKER) == TrialResources("cpu", 1, 0.0, 16, 16)


def test_no_trial_gets_parts_of_two_gpus() -> None:
    assert _allocate(_config(gpus_per_trial=0.6), replace(WORKER, gpus=8.0)).max_concurrent == 8
    assert _allocate(_config(gpus_per_trial=2), replace(WORKER, gpus=5.0)).max_concurrent == 2


def test_a_cluster_that_may_grow_gets_the_concurrency_of_the_campaign() -> None:
    # No GPU is known yet, so each trial gets a whole one.
    assert _allocate(_config(device="cuda", concurrency=8, storage="s3://bucket"), HEAD) == TrialResources(
        "cuda", 1, 1.0, 8, 0
    )


@pytest.mark.parametrize(
    ("settings", "nodes", "message"),
    [
        ({"cpus_per_trial": 99}, (LAPTOP,), "cpus_per_trial is 99, but this machine has 8"),
        ({"device": "cuda"}, (LAPTOP,), "This machine has no CUDA device"),
        ({"gpus_per_trial": 3}, (replace(LAPTOP, gpus=1.0),), "gpus_per_trial is 3, but this machine has 1"),
        ({"device": "cuda"}, (HEAD,), "room for a trial of 1 CPU.s. and 1 GPU.s."),
        (
            {"device": "cuda", "concurrency": 4},
            (HEAD,),
            "Nodes that join the cluster later will not see this machine's disk",
        ),
        ({"concurrency": 4}, (HEAD,), "Set device: cuda or device: cpu"),
        ({"cpus_per_trial": 32}, (HEAD, WORKER), "room for a trial of 32 CPU"),
    ],
)
def test_a_trial_that_fits_nowhere_is_refused(settings: dict[str, Any], nodes: tuple[Node, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _allocate(_config(**settings), *nodes)
