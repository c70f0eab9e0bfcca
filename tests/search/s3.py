"""A server that speaks S3, in a process of its own: it can go away and come back."""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass

from pyarrow import fs

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",  # of nobody: the server takes any
    "AWS_EC2_METADATA_DISABLED": "true",
}
BUCKET = "bucket"


@dataclass
class Server:
    """A server with an empty bucket; it keeps its files in memory, so while it is away it is stopped, not ended."""

    port: int
    process: subprocess.Popen[bytes]

    @classmethod
    def started(cls) -> Server:
        os.environ.update(CREDENTIALS)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        server = cls(port, process)
        atexit.register(server.stop)
        deadline = time.monotonic() + 60
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        endpoint = f"127.0.0.1:{port}"
        made = fs.S3FileSystem(
            scheme="http", endpoint_override=endpoint, region="us-east-1", allow_bucket_creation=True
        )
        made.create_dir(BUCKET)
        return server

    @property
    def place(self) -> str:
        return f"s3://{BUCKET}?scheme=http&region=us-east-1&endpoint_override=127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
