"""Servers that tests talk to, each in a process of its own."""

from __future__ import annotations

import atexit
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass
class Process:
    """A server that listens on a port of this machine."""

    port: int
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


def listening(command: Sequence[str]) -> Process:
    """Start a server, whose command line says `{port}`, and wait until it listens; it ends with the tests."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [part.replace("{port}", str(port)) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    server = Process(port, process)
    atexit.register(server.stop)
    deadline = time.monotonic() + 60
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return server
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
