from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from search.cluster.address import enable_ray_token, is_job_server


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "restored after the test")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ray").mkdir()
    return tmp_path


def _mode(address: str | None) -> str | None:
    assert enable_ray_token(address) == address
    return os.environ.get("RAY_AUTH_MODE")


def test_the_token_of_this_machine_is_presented_to_a_cluster_that_is_joined(home: Path) -> None:
    assert _mode("auto") is None
    (home / ".ray" / "auth_token").write_text("token")
    assert _mode(None) is None
    assert _mode("http://127.0.0.1:8265") is None  # the client of a job server finds the token itself
    assert _mode("auto") == "token"


def test_a_token_in_the_environment_is_enough(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "token")
    assert _mode("10.0.0.1:6379") == "token"


def test_a_mode_that_is_set_already_stays(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "token")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert _mode("auto") == "disabled"


def test_a_job_server_is_known_by_its_address() -> None:
    assert is_job_server("http://127.0.0.1:8265")
    assert is_job_server("https://ray.example")
    assert not any(is_job_server(address) for address in (None, "auto", "10.0.0.1:6379"))


def test_ray_is_not_imported_before_the_address_is_known() -> None:
    command = "import sys, search.cli.app; sys.exit('ray' in sys.modules)"
    subprocess.run([sys.executable, "-c", command], check=True)
