"""A server that speaks Google Cloud Storage, in a process of its own."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.search.servers import Process, listening

BUCKET = "bucket"


@dataclass
class Server:
    """A server with an empty bucket."""

    process: Process

    @classmethod
    def started(cls, folder: Path) -> Server:
        """Start it; the key of an account that is nobody's goes into `folder`: the server takes any."""
        key = folder / "account.json"
        key.write_text(json.dumps(_account()))
        os.environ["GOOGLE_APPLICATION_CREDENTIALS"] = str(key)
        program = "from gcp_storage_emulator.__main__ import main; main()"
        arguments = ["start", "--host=127.0.0.1", "--port={port}", f"--default-bucket={BUCKET}", "--in-memory"]
        return cls(listening([sys.executable, "-c", program, *arguments]))

    @property
    def place(self) -> str:
        return f"gs://{BUCKET}?scheme=http&endpoint_override=127.0.0.1:{self.process.port}"


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
