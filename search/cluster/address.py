"""Which cluster a command means: this machine, a Ray cluster that it joins, or one whose job server runs it."""

from __future__ import annotations

import os
from pathlib import Path


def is_job_server(address: str | None) -> bool:
    """Whether an address is a job server's, not a Ray cluster's own."""
    return address is not None and address.startswith(("http://", "https://"))


def like_ray_start(address: str | None) -> str | None:
    """Have Ray, which must not be imported yet, show the token that a cluster started here asks for.

    `ray start` asks for a token where it finds one; `ray.init` with an address shows none unless it is told to.
    """
    if address is not None and not is_job_server(address):
        token = os.environ.get("RAY_AUTH_TOKEN_PATH", str(Path.home() / ".ray" / "auth_token"))
        if "RAY_AUTH_TOKEN" in os.environ or Path(token).is_file():
            os.environ.setdefault("RAY_AUTH_MODE", "token")
    return address
