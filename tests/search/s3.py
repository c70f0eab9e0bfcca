"""A server that speaks S3, in a process of its own: it can go away and come back."""

from __future__ import annotations

import os
import socket
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass

from pyarrow import fs

from tests.search.servers import Process, listening

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",  # of nobody: the server takes any
    "AWS_EC2_METADATA_DISABLED": "true",
}
BUCKET = "bucket"


@dataclass
class Server:
    """A server with an empty bucket, which it keeps in memory."""

    process: Process

    @classmethod
    def started(cls) -> Server:
        os.environ.update(CREDENTIALS)
        server = cls(listening([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "{port}"]))
        made = fs.S3FileSystem(
            scheme="http", endpoint_override=f"127.0.0.1:{server.port}", region="us-east-1", allow_bucket_creation=True
        )
        made.create_dir(BUCKET)
        return server

    @property
    def port(self) -> int:
        return self.process.port

    @property
    def place(self) -> str:
        return f"s3://{BUCKET}?scheme=http&region=us-east-1&endpoint_override=127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.process.stop()


class Door:
    """A port that leads to the server and can be closed: to who comes by it, the server is away."""

    def __init__(self, server: Server) -> None:
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
