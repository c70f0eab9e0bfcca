"""A server that speaks S3, in a process of its own: it can go away and come back."""

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

GCS_BUCKET = "bucket"


@dataclass
class GcsServer:
    """A server with an empty bucket."""

    process: Process

    @classmethod
    def started(cls, folder: Path) -> GcsServer:
        """Start it; the key of an account that is nobody's goes into `folder`: the server takes any."""
        key = folder / "account.json"
        key.write_text(json.dumps(_account()))
        os.environ["GOOGLE_APPLICATION_CREDENTIALS"] = str(key)
        program = "from gcp_storage_emulator.__main__ import main; main()"
        arguments = ["start", "--host=127.0.0.1", "--port={port}", f"--default-bucket={GCS_BUCKET}", "--in-memory"]
        return cls(listening([sys.executable, "-c", program, *arguments]))

    @property
    def place(self) -> str:
        return f"gs://{GCS_BUCKET}?scheme=http&endpoint_override=127.0.0.1:{self.process.port}"


def _account() -> dict[str, str]:
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
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


CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",  # of nobody: the server takes any
    "AWS_EC2_METADATA_DISABLED": "true",
}
S3_BUCKET = "bucket"


@dataclass
class S3Server:
    """A server with an empty bucket, which it keeps in memory."""

    process: Process

    @classmethod
    def started(cls) -> S3Server:
        os.environ.update(CREDENTIALS)
        server = cls(listening([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "{port}"]))
        made = fs.S3FileSystem(
            scheme="http", endpoint_override=f"127.0.0.1:{server.port}", region="us-east-1", allow_bucket_creation=True
        )
        made.create_dir(S3_BUCKET)
        return server

    @property
    def port(self) -> int:
        return self.process.port

    @property
    def place(self) -> str:
        return f"s3://{S3_BUCKET}?scheme=http&region=us-east-1&endpoint_override=127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.process.stop()


class Door:
    """A port that leads to the server and can be closed: to who comes by it, the server is away."""

    def __init__(self, server: S3Server) -> None:
        self._server = server
        self._open: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self.port = 0
        self.open()

    @property
    def place(self) -> str:
        return self._server.place.replace(f":{self._server.port}", f":{self.port}")

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._let_in, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        assert self._listener is not None
        for each in [self._listener, *self._open]:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._open.clear()

    def _let_in(self, listener: socket.socket) -> None:
        while True:
            try:
                outside, _ = listener.accept()
            except OSError:
                return
            inside = socket.create_connection(("127.0.0.1", self._server.port))
            self._open += [outside, inside]
            for source, target in ((outside, inside), (inside, outside)):
                threading.Thread(target=_carry, args=(source, target), daemon=True).start()


def _carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while content := source.recv(1 << 16):
            target.sendall(content)
        target.shutdown(socket.SHUT_WR)
