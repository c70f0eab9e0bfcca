"""Tells apart what `--address` may name: a Ray cluster to join, or a job server that runs the command.

Without an address a command runs on this machine alone.
"""

from __future__ import annotations

import os
from pathlib import Path


def is_job_server(address: str | None) -> bool:
    """Return whether an address is that of a job server, not of a Ray cluster itself."""
    return address is not None and address.startswith(("http://", "https://"))


def enable_ray_token(address: str | None) -> str | None:
    """Let Ray present this machine's token to the cluster that it is about to join.

    `ray start` uses a token wherever it finds one, but `ray.init` with an address does so only where RAY_AUTH_MODE
    says so. Ray reads the variable when it is imported, so this must be called before.

    Args:
        address: the cluster's address; nothing is done without one, or for a job server.

    Returns:
        The address, unchanged, as a callback of a command-line option has to.
    """
    if address is not None and not is_job_server(address):
        token_file = os.environ.get("RAY_AUTH_TOKEN_PATH", str(Path.home() / ".ray" / "auth_token"))
        if "RAY_AUTH_TOKEN" in os.environ or Path(token_file).is_file():
            os.environ.setdefault("RAY_AUTH_MODE", "token")
    return address
