"""Checks every node before the first trial, because what is wrong there would fail each trial, and late.

Nodes that join later are checked by the first trials that start on them, see `search.engine.job.TrialJob.prepare`.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import ray
from rich.markup import escape
from rich.table import Table

from core.data.dataset import Dataset
from core.errors import ConfigError
from search.cluster.nodes import Finding, Node, UnfitNodeError, find_node_problems
from search.cluster.resources import TrialResources
from search.cluster.session import get_result, on_node
from search.cluster.software import Software, installed_software
from search.storage.filesystem import Storage, StorageError

PROBE_FOLDER = ".preflight"
_NAME_A_STORAGE = (
    "Name a storage in the campaign file that every node can write: storage: s3://…, gs://… or a shared folder"
)


def check_cluster(
    nodes: Sequence[Node],
    resources: TrialResources,
    dataset: Any,
    size: int,
    storage: Storage | None,
    expected: Software | None = None,
) -> Table:
    """Check that every node can take part in a campaign, before anything is trained there.

    Args:
        nodes: machines of the cluster that this process has joined.
        resources: device, CPUs and GPUs of a trial.
        dataset: Ray's reference to the data of the trials; they are brought to every node.
        size: size of the data in bytes.
        storage: storage that every node has to reach; None if none has to.
        expected: software that every node must run; by default what this machine runs.

    Returns:
        A table of the nodes, to be shown to the user.

    Raises:
        UnfitNodeError: at least one node cannot take part; the message names the first one, and its remedy.
    """
    expected = expected or installed_software()
    findings = [
        finding for node in nodes for finding in find_node_problems(node, resources.device == "cuda", size, expected)
    ]
    if storage is not None:
        findings += _storage_problems(nodes, storage)
    if not findings:
        findings = _data_problems(nodes, dataset)
    if findings:
        first, *others = findings
        more = "; ".join(f"{finding.node} {finding.what}" for finding in others)
        raise UnfitNodeError(
            f"Node {first.node} {first.what}" + (f" (and {len(others)} more: {more})" if others else ""), first.remedy
        )
    return _nodes_table(nodes, storage)


@ray.remote(max_retries=0)
def _write_probe(storage: Storage, name: str, content: bytes) -> str:
    """Write a file to the storage; return what went wrong, or nothing."""
    try:
        storage.write(name, content)
    except StorageError as error:
        return error.what
    return ""


@ray.remote(max_retries=0)
def _find_missing_probes(storage: Storage, expected: dict[str, bytes]) -> list[str]:
    """Return the names of the files that cannot be read, or have another content than expected."""

    def is_missing(name: str) -> bool:
        try:
            return storage.read(name) != expected[name]
        except (FileNotFoundError, StorageError):
            return True

    return [name for name in expected if is_missing(name)]


def _storage_problems(nodes: Sequence[Node], storage: Storage) -> list[Finding]:
    """Have each node write a file to the storage, then every node read the files of all."""
    folder = f"{PROBE_FOLDER}/{secrets.token_hex(4)}"
    probes = {node.identifier: f"{folder}/{node.identifier}" for node in nodes}
    findings = _write_problems(nodes, storage, probes) or _read_problems(nodes, storage, probes)
    try:
        storage.remove_folder(folder)
    except StorageError as error:
        findings = findings or [Finding("driver", f"cannot clear the storage: {error.what}", _NAME_A_STORAGE)]
    return findings


def _write_problems(nodes: Sequence[Node], storage: Storage, probes: dict[str, str]) -> list[Finding]:
    """Have each node write its probe file, all at the same time.

    Args:
        nodes: nodes of the cluster.
        storage: storage that every node has to reach.
        probes: name of each node's file, by the node's identifier.
    """
    writes = [
        (
            node,
            on_node(_write_probe, node.identifier).remote(storage, probes[node.identifier], node.identifier.encode()),
        )
        for node in nodes
    ]
    return [
        Finding(node.name, f"cannot write to the storage: {message}", _NAME_A_STORAGE)
        for node, reference in writes
        if (message := get_result(node.name, reference))
    ]


def _read_problems(nodes: Sequence[Node], storage: Storage, probes: dict[str, str]) -> list[Finding]:
    """Have each node read the probe files of all nodes; the arguments are those of `_write_problems`."""
    expected = {name: identifier.encode() for identifier, name in probes.items()}
    missing = {
        node.identifier: get_result(node.name, on_node(_find_missing_probes, node.identifier).remote(storage, expected))
        for node in nodes
    }
    return [
        Finding(
            node.name,
            f"does not see what {writer.name} wrote to {storage.display_name}: it is not shared",
            _NAME_A_STORAGE,
        )
        for node in nodes
        for writer in nodes
        if probes[writer.identifier] in missing[node.identifier]
    ]


@ray.remote(max_retries=0)
def _count_rows(dataset: Dataset) -> int:
    return len(dataset.train)


def _data_problems(nodes: Sequence[Node], dataset: Any) -> list[Finding]:
    """Bring the data to every node through Ray's object store, and return the nodes that they do not reach."""
    findings = []
    for node in nodes:
        try:
            get_result(node.name, on_node(_count_rows, node.identifier).remote(dataset))
        except ConfigError as error:
            what = f"does not receive the data: {error.what}"
            findings.append(Finding(node.name, what, "Look at its network and disk"))
    return findings


def _nodes_table(nodes: Sequence[Node], storage: Storage | None) -> Table:
    headings = ("node", "CPUs", "GPUs", "memory free", "disk free", "clock", "software", "storage", "data")
    table = Table(*headings, title="Nodes", title_justify="left")
    for node in nodes:
        gpus = f"{node.gpus:g}" + (f" of {node.gpu_memory / 1e9:.0f} GB" if node.gpu_memory else "")
        table.add_row(
            escape(node.name),
            f"{node.cpus:g}",
            gpus,
            f"{node.free_memory / 1e9:.0f} GB",
            f"{node.free_disk / 1e9:.0f} GB",
            f"{node.clock_skew:+.1f} s",
            "same",
            "shared" if storage else "",
            "there",
        )
    return table
