"""What is made sure of on every node before the first trial, for it would fail in each of them, and late.

Nodes that join later are looked at by the trials that start there, see `search.engine.job.TrialJob.prepare`.
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
from search.cluster.nodes import Finding, Node, UnfitNodeError, examine
from search.cluster.resources import TrialResources
from search.cluster.session import answer, on_node
from search.cluster.software import Software, software
from search.storage.filesystem import Storage, StorageError

FOLDER = ".preflight"


def check_cluster(
    nodes: Sequence[Node],
    resources: TrialResources,
    dataset: Any,
    size: int,
    storage: Storage | None,
    expected: Software | None = None,
) -> Table:
    """Check every node before anything is trained there; returns what was found as a table.

    Args:
        nodes: of the cluster that this process has joined.
        resources: what a trial gets.
        dataset: what trials see, in the object store; it is brought to every node.
        size: its bytes.
        storage: that every node has to reach; None if none has to.
        expected: the software that every node must run; by default what this machine runs.

    Raises:
        UnfitNodeError: at least one node cannot take part; the message names node and cure.
    """
    expected = expected or software()
    findings = [
        *(finding for node in nodes for finding in examine(node, resources.device == "cuda", size, expected)),
        *(_storage_findings(nodes, storage) if storage is not None else []),
    ]
    findings += [] if findings else _data_findings(nodes, dataset)
    if findings:
        first, others = findings[0], len(findings) - 1
        raise UnfitNodeError(
            f"Node {first.node}: {first.what}" + (f" (and {others} more: {_told(findings[1:])})" if others else ""),
            first.cure,
        )
    return _table(nodes, storage)


def _told(findings: Sequence[Finding]) -> str:
    return "; ".join(f"{finding.node}: {finding.what}" for finding in findings)


@ray.remote(max_retries=0)
def _leave(storage: Storage, name: str, content: bytes) -> str:
    """Write a file; says what went wrong."""
    try:
        storage.write(name, content)
    except StorageError as error:
        return str(error)
    return ""


@ray.remote(max_retries=0)
def _find(storage: Storage, expected: dict[str, bytes]) -> list[str]:
    """Which of the files, by name, are not there as they were written."""

    def is_there(name: str) -> bool:
        try:
            return storage.read(name) == expected[name]
        except (FileNotFoundError, StorageError):
            return False

    return [name for name in expected if not is_there(name)]


def _storage_findings(nodes: Sequence[Node], storage: Storage) -> list[Finding]:
    """Let each node write a file, and every other one read it."""
    probe = secrets.token_hex(4)
    names = {node.identifier: f"{FOLDER}/{probe}/{node.identifier}" for node in nodes}
    written = [
        (node, on_node(_leave, node.identifier).remote(storage, names[node.identifier], node.identifier.encode()))
        for node in nodes
    ]
    cure = "Name a storage in the campaign file that every node can write: storage: s3://…, gs://… or a shared folder"
    found = [Finding(node.name, said, cure) for node, asked in written if (said := answer(node.name, asked))]
    if not found:
        content = {name: identifier.encode() for identifier, name in names.items()}
        missing = {
            node.identifier: answer(node.name, on_node(_find, node.identifier).remote(storage, content))
            for node in nodes
        }
        found = [
            Finding(
                node.name,
                f"does not see what {writer.name} wrote to {storage.shown}: it is not shared",
                cure,
            )
            for node in nodes
            for writer in nodes
            if names[writer.identifier] in missing[node.identifier]
        ]
    try:
        storage.clear(f"{FOLDER}/{probe}")
    except StorageError as error:
        found = found or [Finding("driver", str(error), cure)]
    return found


@ray.remote(max_retries=0)
def _rows(dataset: Dataset) -> int:
    return len(dataset.train)


def _data_findings(nodes: Sequence[Node], dataset: Any) -> list[Finding]:
    """Bring the data to every node, through the object store."""
    found = []
    for node in nodes:
        try:
            answer(node.name, on_node(_rows, node.identifier).remote(dataset))
        except ConfigError as error:
            found.append(Finding(node.name, f"the data do not reach it: {error.what}", "Look at its network and disk"))
    return found


def _table(nodes: Sequence[Node], storage: Storage | None) -> Table:
    """The nodes, as they are."""
    headings = ("node", "CPUs", "GPUs", "memory free", "disk free", "clock", "software", "storage", "data")
    table = Table(*headings, title="Nodes", title_justify="left")
    for node in nodes:
        gpus = f"{node.gpus:g}" + (f" of {node.gpu_memory / 1e9:.0f} GB" if node.gpu_memory else "")
        free = [f"{amount / 1e9:.0f} GB" for amount in (node.memory, node.disk)]
        table.add_row(
            escape(node.name),
            f"{node.cpus:g}",
            gpus,
            *free,
            f"{node.ahead:+.1f} s",
            "same",
            "shared" if storage else "",
            "there",
        )
    return table
