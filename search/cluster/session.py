"""Joins a running Ray cluster, or starts one of this machine alone for as long as it is needed."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.exceptions import AuthenticationError, GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from core.errors import ConfigError, first_line, one_line
from search.cluster.interruption import interruptible
from search.cluster.nodes import Node, describe_this_machine, inspect_gpus

_NODE_TIMEOUT_SECONDS = 180.0
"""How long a node may take to answer: its first worker loads all of torch, perhaps from a cold disk."""
_GPU_SHARE = 0.001
"""Share of a GPU that a task asks for, so that Ray shows it one: a task without any sees none of its node's GPUs."""
_BUSY_SECONDS = 60.0
"""How long a task waits for its share of a GPU. After that, all GPUs of the node are taken to be in use."""


@contextmanager
def join_cluster(address: str | None) -> Iterator[tuple[Node, ...]]:
    """Join a running Ray cluster for the duration of the block; without an address, use this machine alone.

    Args:
        address: `auto`, or host:port of the cluster's head; None for this machine alone.

    Yields:
        The machines of the cluster.

    Raises:
        ConfigError: no cluster answers there, it denies this machine access, or a node does not answer.
    """
    if address is None:
        yield (describe_this_machine(),)
    else:
        with ray_session(address):
            yield describe_nodes()


@contextmanager
def ray_session(address: str = "local") -> Iterator[None]:
    """Connect to Ray for the duration of the block; inside another such block, use that block's connection.

    Args:
        address: `local` to start Ray on this machine, `auto`, or host:port of a cluster's head.

    Raises:
        ConfigError: no cluster answers there, it denies this machine access, or Ray cannot be started on this machine.
    """
    if ray.is_initialized():
        yield
        return
    # Tune's own tables, log files and per-trial loggers would only repeat what is recorded here.
    os.environ.update(
        RAY_AIR_NEW_OUTPUT="0", TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1", TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S="0"
    )
    if address == "local":
        # By default Ray runs its workers at niceness 15: beside any other work, trials would starve.
        os.environ.setdefault("RAY_worker_niceness", "0")
    # `search.campaign.progress` reports a trial whose process is lost in one line; Tune would print pages.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    local_options: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    try:
        _check_port(address)
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=True,
            **local_options,
        )
    except AuthenticationError as error:
        raise ConfigError(
            f"The cluster at {address} denies this machine access ({_one_line(error)})",
            "Give it the cluster's token: ~/.ray/auth_token or RAY_AUTH_TOKEN_PATH, with RAY_AUTH_MODE=token",
        ) from None
    except (OSError, RuntimeError, ValueError) as error:
        if address == "local":
            raise ConfigError(
                f"Ray cannot be started on this machine ({_one_line(error)})",
                "Name a folder of your own with a short path for its files: RAY_TMPDIR=/tmp/ray_$USER",
            ) from None
        raise ConfigError(
            f"No Ray cluster answers this machine at {address} ({_one_line(error)})",
            "Start one there; if one is running, it may require a token: set RAY_AUTH_MODE=token and copy "
            "~/.ray/auth_token from its head",
        ) from None
    try:
        with interruptible():
            yield
    finally:
        ray.shutdown()


def _check_port(address: str) -> None:
    """Check that something listens at the address: Ray itself would try for minutes.

    Raises:
        OSError: nothing listens there.
        ValueError: the address is not HOST:PORT.
    """
    if address not in ("local", "auto"):
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=10):
            pass


def _one_line(error: Exception) -> str:
    return one_line(error)[:200]


_describe_node = ray.remote(max_retries=0)(describe_this_machine)
_inspect_gpus = ray.remote(max_retries=0)(inspect_gpus)


def describe_nodes() -> tuple[Node, ...]:
    """Ask every node of the cluster to describe itself; a node that leaves the cluster meanwhile is left out.

    Raises:
        ConfigError: a node of the cluster does not answer.
    """
    nodes = []
    # All nodes are asked before the first answer is awaited, so that they work at the same time.
    for query in [_query_node(identifier, entry) for identifier, entry in _living_nodes().items()]:
        try:
            nodes.append(_collect(query))
        except ConfigError:
            if query.identifier in _living_nodes():
                raise
    return tuple(nodes)


@dataclass(frozen=True)
class _NodeQuery:
    """The tasks that describe a node, while they run.

    Attributes:
        identifier: Ray's identifier of the node.
        name: name of the node, for messages.
        sent_at: seconds since 1970, by this machine's clock, when the tasks were sent.
        description: Ray's reference to the node's description.
        gpus: Ray's reference to what torch sees of the node's GPUs; None if the node offers none.
    """

    identifier: str
    name: str
    sent_at: float
    description: Any
    gpus: Any


def _query_node(identifier: str, entry: dict[str, Any]) -> _NodeQuery:
    """Send a node the tasks that describe it.

    Args:
        identifier: Ray's identifier of the node.
        entry: the node's entry in `ray.nodes()`.
    """
    cpus, gpus, object_store = (entry["Resources"].get(name, 0.0) for name in ("CPU", "GPU", "object_store_memory"))
    sent_at = time.time()
    return _NodeQuery(
        identifier=identifier,
        name=f"{entry['NodeManagerAddress']} {identifier[:8]}",
        sent_at=sent_at,
        description=on_node(_describe_node, identifier).remote(identifier, cpus, gpus, int(object_store)),
        gpus=on_node(_inspect_gpus, identifier, num_gpus=_GPU_SHARE).remote() if gpus else None,
    )


def _collect(query: _NodeQuery) -> Node:
    """Wait for a node's answers and return them as one record.

    Raises:
        ConfigError: the node does not answer.
    """
    node: Node = get_result(query.name, query.description)
    node = replace(node, clock_skew=_clock_skew(node.clock, query.sent_at, time.time()))
    if query.gpus is None:
        return node
    try:
        visible_gpus, gpu_memory = ray.get(query.gpus, timeout=_BUSY_SECONDS)
    except GetTimeoutError:  # other tasks use all GPUs, so torch sees them
        ray.cancel(query.gpus)
        return replace(node, visible_gpus=1)
    except RayError:
        visible_gpus, gpu_memory = get_result(query.name, query.gpus)
    return replace(node, visible_gpus=visible_gpus, gpu_memory=gpu_memory)


def _living_nodes() -> dict[str, dict[str, Any]]:
    """Return Ray's entries of the nodes that are alive, by their identifiers."""
    return {entry["NodeID"]: entry for entry in ray.nodes() if entry["Alive"]}  # type: ignore[no-untyped-call]


def on_node(task: Any, identifier: str, **resources: float) -> Any:
    """Return a remote function that runs on one node and on no other.

    Args:
        task: a Ray remote function.
        identifier: Ray's identifier of the node.
        **resources: options such as `num_gpus`; without `num_cpus`, the function needs none.
    """
    strategy = NodeAffinitySchedulingStrategy(identifier, soft=False)
    return task.options(scheduling_strategy=strategy, **{"num_cpus": 0, **resources})


def get_result(node_name: str, reference: Any) -> Any:
    """Wait for the result of a task that runs on a node.

    Args:
        node_name: name of the node, for messages.
        reference: Ray's reference to the result.

    Raises:
        ConfigError: the task fails, or there is no result in time.
    """
    try:
        return ray.get(reference, timeout=_NODE_TIMEOUT_SECONDS)
    except (RayError, TimeoutError) as error:
        cause = getattr(error, "cause", None)  # what the task raised, if it ran at all
        if cause is not None:
            raise ConfigError(
                f"Node {node_name} fails a check ({first_line(cause)})",
                "Install the same wheel and constraints on every node",
            ) from None
        raise ConfigError(
            f"Node {node_name} does not answer ({first_line(error)})",
            "Look at its raylet's log, or remove it from the cluster",
        ) from None


def _clock_skew(clock: float, sent_at: float, received_at: float) -> float:
    """Return by how much a node's clock is ahead of this machine's, at least; negative if it is behind.

    The node read its clock at an unknown moment between the question and the answer. A reading between the two proves
    no difference; a later or an earlier one proves at least its distance from them.

    Args:
        clock: the node's reading, in seconds since 1970.
        sent_at: when the question was sent, in seconds since 1970 by this machine's clock.
        received_at: when the answer had arrived; likewise.
    """
    if clock > received_at:
        return clock - received_at
    if clock < sent_at:
        return clock - sent_at
    return 0.0
