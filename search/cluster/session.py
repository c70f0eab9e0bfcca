"""Ray, as a campaign uses it: a cluster of this machine alone for as long as it is needed, or one that is there."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.exceptions import AuthenticationError, GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from core.errors import ConfigError, first_line
from search.cluster.nodes import Node, gpus_here, this_machine

_NODE_TIMEOUT_SECONDS = 180.0
"""How long a node may take to answer: its first worker loads all of torch, perhaps from a cold disk."""
_GPU_PEEK, _BUSY_SECONDS = 0.001, 60.0
"""A task without a GPU does not see those of its node; it may have to wait for one, but not for long."""


@contextmanager
def joined(address: str | None) -> Iterator[tuple[Node, ...]]:
    """Join a running Ray cluster while the block lasts; yields its machines. Without an address it is this one alone.

    Args:
        address: `auto`, or host:port of the cluster's head.

    Raises:
        ConfigError: no cluster answers there, it does not let this machine in, or a node does not answer.
    """
    if address is None:
        yield (this_machine(),)
    else:
        with ray_session(address):
            yield survey()


@contextmanager
def ray_session(address: str = "local") -> Iterator[None]:
    """A connection to Ray for as long as the block lasts; a block within another uses the other's.

    Raises:
        ConfigError: no cluster answers there, or it does not let this machine in.
    """
    if ray.is_initialized():
        yield
        return
    # Tune's own tables, log files and per-trial loggers would only repeat what is recorded here.
    os.environ.update(
        RAY_AIR_NEW_OUTPUT="0", TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1", TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S="0"
    )
    # A trial whose process is lost is told in one line, see `search.campaign.progress`, not in pages.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    own: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    try:
        _check_port(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=True, **own)
    except AuthenticationError as error:
        raise ConfigError(
            f"The cluster at {address} does not let this machine in ({_plain(error)})",
            "Give it the cluster's token: ~/.ray/auth_token or RAY_AUTH_TOKEN_PATH, with RAY_AUTH_MODE=token",
        ) from None
    except (OSError, RuntimeError, ValueError) as error:
        if address == "local":
            raise
        raise ConfigError(
            f"No Ray cluster answers this machine at {address} ({_plain(error)})",
            "Start one there; one that runs may want its token: RAY_AUTH_MODE=token and its head's ~/.ray/auth_token",
        ) from None
    # Being told to end is as good as Ctrl-C: what had ended is kept.
    before = signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        ray.shutdown()


def _check_port(address: str) -> None:
    """Make sure that something listens there: Ray would try for minutes.

    Raises:
        OSError: nothing does.
        ValueError: it is no HOST:PORT.
    """
    if address not in ("local", "auto"):
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=10):
            pass


def _plain(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _as_interrupt(*_: Any) -> None:
    """Do what Ctrl-C does; shells let their background jobs ignore that, but an end is an end."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)


_describe_node = ray.remote(max_retries=0)(this_machine)
_count_gpus = ray.remote(max_retries=0)(gpus_here)


def survey() -> tuple[Node, ...]:
    """What the machines of the cluster say of themselves; one that goes away meanwhile is left out.

    Raises:
        ConfigError: one does not answer.
    """
    found = []
    for each in [_query_node(identifier, told) for identifier, told in _alive().items()]:
        try:
            found.append(_collect(each))
        except ConfigError:
            if each.identifier in _alive():
                raise
    return tuple(found)


@dataclass(frozen=True)
class _PendingQuery:
    """What a node was asked, and when; `sight` is of its GPUs, if it has any."""

    identifier: str
    where: str
    sent: float
    look: Any
    sight: Any


def _query_node(identifier: str, told: dict[str, Any]) -> _PendingQuery:
    has = told["Resources"]
    cpus, gpus, objects = (has.get(name, 0.0) for name in ("CPU", "GPU", "object_store_memory"))
    where = f"{told['NodeManagerAddress']} {identifier[:8]}"
    sent = time.time()
    look = on_node(_describe_node, identifier).remote(identifier, cpus, gpus, int(objects))
    return _PendingQuery(
        identifier, where, sent, look, on_node(_count_gpus, identifier, num_gpus=_GPU_PEEK).remote() if gpus else None
    )


def _collect(asked: _PendingQuery) -> Node:
    node: Node = answer(asked.where, asked.look)
    node = replace(node, ahead=_clock_skew(node.clock, asked.sent, time.time()))
    if asked.sight is None:
        return node
    try:
        seen, memory = ray.get(asked.sight, timeout=_BUSY_SECONDS)
    except GetTimeoutError:  # others use all of them, so torch sees them
        ray.cancel(asked.sight)
        return replace(node, gpus_seen=1)
    except RayError:
        seen, memory = answer(asked.where, asked.sight)
    return replace(node, gpus_seen=seen, gpu_memory=memory)


def _alive() -> dict[str, dict[str, Any]]:
    """What Ray says of the nodes that live, by identifier."""
    return {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}  # type: ignore[no-untyped-call]


def on_node(task: Any, identifier: str, **resources: float) -> Any:
    """A remote function that runs on one node and no other."""
    strategy = NodeAffinitySchedulingStrategy(identifier, soft=False)
    return task.options(scheduling_strategy=strategy, **{"num_cpus": 0, **resources})


def answer(where: str, reference: Any) -> Any:
    """What a node answers.

    Raises:
        ConfigError: it does not.
    """
    try:
        return ray.get(reference, timeout=_NODE_TIMEOUT_SECONDS)
    except (RayError, TimeoutError) as error:
        cause = getattr(error, "cause", None)  # what was raised there, if it came to that
        if cause is not None:
            raise ConfigError(
                f"Node {where} cannot do what is asked ({first_line(cause)})",
                "Install the same wheel and constraints on every node",
            ) from None
        raise ConfigError(
            f"Node {where} does not answer ({first_line(error)})", "Look at its raylet's log, or take it out"
        ) from None


def _clock_skew(clock: float, sent: float, received: float) -> float:
    """By how much a clock is ahead at least: it was read some time between two instants."""
    return clock - received if clock > received else min(clock - sent, 0.0)
