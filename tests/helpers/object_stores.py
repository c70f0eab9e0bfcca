"""Servers of S3 and Google Cloud Storage for tests, each in a process of its own."""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pyarrow import fs

from tests.helpers.processes import HANG_SECONDS

GCS_BUCKET = "bucket"
S3_BUCKET = "bucket"
S3_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",  # the server accepts any
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass
class Process:
    """A server process that listens on a port of this machine."""

    port: int
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """End the process at once."""
        self.process.kill()
        self.process.wait()


def start_process(command: Sequence[str]) -> Process:
    """Start a server and wait until it listens; it ends with the tests.

    Args:
        command: the server's command line, with `{port}` in place of the port.
    """
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    process = subprocess.Popen(
        [part.replace("{port}", str(port)) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    server = Process(port, process)
    atexit.register(server.stop)
    deadline = time.monotonic() + HANG_SECONDS
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return server
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@dataclass
class GcsServer:
    """A server of Google Cloud Storage with an empty bucket."""

    process: Process

    @classmethod
    def start(cls, folder: Path) -> GcsServer:
        """Start the server, and write into `folder` the key of a made-up account, which the server accepts."""
        key = folder / "account.json"
        key.write_text(json.dumps(_made_up_account()))
        os.environ["GOOGLE_APPLICATION_CREDENTIALS"] = str(key)
        program = "from gcp_storage_emulator.__main__ import main; main()"
        arguments = ["start", "--host=127.0.0.1", "--port={port}", f"--default-bucket={GCS_BUCKET}", "--in-memory"]
        return cls(start_process([sys.executable, "-c", program, *arguments]))

    @property
    def location(self) -> str:
        """Return the URI of the bucket."""
        return f"gs://{GCS_BUCKET}?scheme=http&endpoint_override=127.0.0.1:{self.process.port}"


def _made_up_account() -> dict[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {
        "type": "service_account",
        "project_id": "nobody",
        "private_key_id": "0" * 40,
        "private_key": private,
        "client_email": "nobody@example.com",
        "client_id": "0",
        "token_uri": "http://127.0.0.1:1/token",
    }


@dataclass
class S3Server:
    """A server of S3 with an empty bucket, which it keeps in memory."""

    process: Process

    @classmethod
    def start(cls) -> S3Server:
        """Start the server, create its bucket, and give this process credentials for it."""
        os.environ.update(S3_CREDENTIALS)
        process = start_process([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "{port}"])
        client = fs.S3FileSystem(
            scheme="http", endpoint_override=f"127.0.0.1:{process.port}", region="us-east-1", allow_bucket_creation=True
        )
        client.create_dir(S3_BUCKET)
        return cls(process)

    @property
    def port(self) -> int:
        """Return the port on which the server listens."""
        return self.process.port

    @property
    def location(self) -> str:
        """Return the URI of the bucket."""
        return f"s3://{S3_BUCKET}?scheme=http&region=us-east-1&endpoint_override=127.0.0.1:{self.port}"

    def stop(self) -> None:
        """End the server at once."""
        self.process.stop()


class Tunnel:
    """A port that leads to a server and can be closed: whoever connects through it then finds the server down."""

    def __init__(self, server: S3Server) -> None:
        """Open a tunnel to `server`."""
        self._server = server
        self._connections: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self.port = 0
        self.open()

    @property
    def location(self) -> str:
        """Return the URI of the server's bucket through the tunnel."""
        return self._server.location.replace(f":{self._server.port}", f":{self.port}")

    def open(self) -> None:
        """Accept connections, on the same port as before."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        """Cut all connections and accept no more."""
        assert self._listener is not None
        for connection in [self._listener, *self._connections]:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._connections.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._server.port))
            self._connections += [client, server]
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=_forward, args=(source, target), daemon=True).start()


def _forward(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while content := source.recv(1 << 16):
            target.sendall(content)
        target.shutdown(socket.SHUT_WR)
