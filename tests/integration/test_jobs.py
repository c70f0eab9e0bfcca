"""Campaigns on a cluster with a job server that wants a token, as a laptop sees them."""

from __future__ import annotations

import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from search.results import manifest
from search.results.folder import (
    CONFIG_FILE,
    DRIVER_LOG_FILE,
    JOURNAL_FILE,
    MANIFEST_FILE,
    VERDICT_FILE,
    CampaignFolder,
)
from search.study.trial_record import COMPLETE, STOPPED
from tests.helpers.processes import HANG_SECONDS, environment, owned

pytestmark = pytest.mark.slow
CAMPAIGN = """
name: tiny
trials: 300
max_epochs: 2
concurrency: 1
grace: 1
ask: [mine]
incumbent: quick_experiment
incumbent_epochs: 1
model: quick
device: cpu
data:
  synthetic: {bars: 4500, seed: 3}
"""


def _ports(count: int) -> list[int]:
    """Ports that nobody uses now."""
    with ExitStack() as stack:
        taken = [stack.enter_context(closing(socket.socket())) for _ in range(count)]
        for each in taken:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in taken]


class Tunnel:
    """What `ray dashboard` opens, and a network that can be cut."""

    def __init__(self, target: int) -> None:
        """Listen, and hand what comes to the target's port."""
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: list[socket.socket] = []
        self.down = False
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
                if self.down:
                    here.close()
                    continue
                there = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            self._open += [here, there]
            for one, other in ((here, there), (there, here)):
                threading.Thread(target=_pump, args=(one, other), daemon=True).start()

    def cut(self) -> None:
        """End all connections, and let none in."""
        self.down = True
        for each in self._open:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def close(self) -> None:
        """End it."""
        self.cut()
        self._listener.close()


def _pump(one: socket.socket, other: socket.socket) -> None:
    try:
        while content := one.recv(65536):
            other.sendall(content)
        other.shutdown(socket.SHUT_WR)
    except OSError:
        return


@dataclass
class Cluster:
    """A head with a job server, and a laptop that knows its token.

    Attributes:
        folder: by which its processes are known.
        laptop: working folder there.
        home: the head's folder of all that campaigns need.
        port: the job server's.
        token: the cluster's.
    """

    folder: Path
    laptop: Path
    home: Path
    port: int
    token: str

    def command(self, *args: str, port: int | None = None) -> list[str]:
        """A command line of the laptop's, with all that names the cluster."""
        named = ["--address", f"http://127.0.0.1:{port or self.port}", "--python", sys.executable]
        return [sys.executable, "-m", "search", *args, *named, "--remote-results", str(self.home / "results")]

    def environment(self, **changes: str) -> dict[str, str]:
        """The laptop's: its token, none of the cluster's."""
        found = {**environment(self.folder), "HOME": str(self.laptop), "RAY_AUTH_MODE": "token", **changes}
        return {key: value for key, value in found.items() if key not in ("RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS")}

    def run(self, *args: str, code: int = 0, **changes: str) -> str:
        """What a command says, which has to end with this exit code."""
        done = subprocess.run(
            self.command(*args), cwd=self.laptop, env=self.environment(**changes), capture_output=True, text=True,
            timeout=HANG_SECONDS,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        assert self.token not in done.stdout + done.stderr
        return done.stdout + done.stderr

    def together(self, *commands: tuple[list[str], int]) -> list[str]:
        """What commands say that run at the same time, each of which has to end with its exit code."""
        with ThreadPoolExecutor(len(commands)) as pool:
            return [each.result() for each in [pool.submit(self.run, *args, code=code) for args, code in commands]]

    @contextmanager
    def started(self, *args: str, port: int | None = None) -> Iterator[subprocess.Popen[str]]:
        """A command that runs, its output as one pipe."""
        with subprocess.Popen(
            self.command(*args, port=port), cwd=self.laptop, env=self.environment(), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        ) as process:  # fmt: skip
            yield process


def _head(folder: Path, scratch: Path, token: Path) -> int:
    """Start a head as `ray up` does; returns the port of its job server."""
    gcs, dashboard, agent, grpc, client = _ports(5)
    ports: Sequence[str] = [
        f"--port={gcs}", f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}",
        f"--dashboard-agent-grpc-port={grpc}", f"--ray-client-server-port={client}",
    ]  # fmt: skip
    program = shutil.which("ray", path=str(Path(sys.executable).parent)) or "ray"
    # A session's folder holds sockets, whose paths must be short.
    done = subprocess.run(
        [program, "start", "--head", "--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", "--num-cpus=2",
         "--disable-usage-stats", f"--temp-dir={scratch}", "--object-store-memory=100000000", *ports],
        env={**environment(folder), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token),
             "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
        cwd=folder, capture_output=True, text=True, timeout=HANG_SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return dashboard


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    scratch = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
    try:
        with owned(tmp_path_factory.mktemp("jobs")) as folder:
            laptop, home = folder / "laptop", folder / "the head's"
            for each in (laptop / ".ray", laptop / "presets", home):
                each.mkdir(parents=True)
            text = secrets.token_hex(32)
            for place in (folder / "token", laptop / ".ray" / "auth_token"):
                place.touch(mode=0o600)
                place.write_text(text)
            shipped = Path(__file__).parents[2] / "core" / "presets" / "quick_experiment.yaml"
            mine = shipped.read_text().replace("name: quick_experiment", "name: mine")
            (laptop / "presets" / "mine.yaml").write_text(mine)
            (laptop / "campaign.yaml").write_text(CAMPAIGN)
            yield Cluster(folder, laptop, home, _head(folder, scratch, folder / "token"), text)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _until(process: subprocess.Popen[str], part: str) -> str:
    """Read a process's output up to a line that has this in it."""
    assert process.stdout is not None
    told = ""
    for line in process.stdout:
        told += line
        if part in line:
            return told
    raise AssertionError(f"{part!r} was never said:\n{told}")


def _rest(process: subprocess.Popen[str]) -> str:
    """What a process says until it ends, which it has to do well."""
    assert process.stdout is not None
    told = process.stdout.read()  # `communicate` would lose what was read ahead
    assert process.wait(timeout=HANG_SECONDS) == 0, told
    return told


@dataclass
class Told:
    """What the commands said, in the order in which they were given."""

    left: str
    again: str
    status: str
    early: str
    attached: str
    resume: str
    fetched: str


@pytest.fixture(scope="module")
def told(cluster: Cluster) -> Told:
    """A campaign is launched, left by Ctrl-C, looked after, attached to through a network that is cut, and stopped."""
    with cluster.started("launch", "campaign.yaml") as process:
        _until(process, "campaign tiny: 300 trials")
        process.send_signal(signal.SIGINT)
        left = _rest(process)
    journal = cluster.home / "results" / "tiny" / JOURNAL_FILE
    deadline = time.monotonic() + HANG_SECONDS
    while not (journal.is_file() and '"ended":true' in journal.read_text()):
        assert time.monotonic() < deadline, "no trial ended"
        time.sleep(0.2)
    again, status, early = cluster.together(
        (["launch", "campaign.yaml"], 2), (["status", "tiny"], 0), (["fetch-results", "tiny"], 0)
    )
    assert not (cluster.laptop / "results" / "tiny" / MANIFEST_FILE).exists()
    tunnel = Tunnel(cluster.port)
    with cluster.started("attach", "tiny", port=tunnel.port) as process:
        attached = _until(process, "#0 ")
        tunnel.cut()
        attached += _until(process, "the connection is lost")
        cluster.run("stop", "tiny")
        tunnel.down = False
        attached += _until(process, "connected again") + _rest(process)
    tunnel.close()
    # Fewer trials than there were: refused, on the head.
    resume, fetched = cluster.together((["resume", "tiny", "--trials", "1"], 2), (["fetch-results", "tiny"], 0))
    return Told(left, again, status, early, attached, resume, fetched)


def test_a_detached_campaign_continues_and_its_output_arrives_once_despite_a_lost_connection(
    told: Told, cluster: Cluster
) -> None:
    assert "The campaign continues on the cluster. To watch it: preset-search attach tiny --address" in told.left
    lines = told.attached.splitlines()
    for beginning in ("campaign tiny: 300 trials", "#0 ", "#1 ", "Trials: ", "Stopped. next: preset-search resume"):
        assert sum(line.startswith(beginning) for line in lines) == 1, told.attached
    trials = CampaignFolder(cluster.home / "results" / "tiny").read_trials()
    ended = trials["status"].isin([COMPLETE, STOPPED]).sum()
    assert sum(line.startswith("#") for line in lines) == ended
    assert "results: preset-search fetch-results tiny --address" in told.attached
    assert "Running entrypoint" not in told.attached


def test_a_running_campaign_is_not_launched_again_and_can_be_watched_and_stopped(told: Told) -> None:
    assert "A job of campaign tiny has not ended" in told.again
    assert "campaign tiny: running" in told.status
    assert "of 300 still to do" in told.status
    assert "these are its results so far" in told.early


def test_an_error_on_the_head_is_shown_here_with_its_exit_code(told: Told) -> None:
    assert "error: The campaign already has" in told.resume


def test_fetched_results_replace_the_earlier_ones_and_work_here(told: Told, cluster: Cluster) -> None:
    assert "wrote results/tiny" in told.fetched
    here, there = (folder / "results" / "tiny" for folder in (cluster.laptop, cluster.home))
    manifest.check_manifest(CampaignFolder(here))
    assert {path.name: path.read_bytes() for path in here.iterdir()} == {
        path.name: path.read_bytes() for path in there.iterdir() if path.is_file() and path.name != DRIVER_LOG_FILE
    }
    assert yaml.safe_load((here / CONFIG_FILE).read_text())["config"]["ask"] == ["mine"]
    assert (cluster.home / "presets" / "mine.yaml").is_file()
    command = [sys.executable, "-m", "search", "status", "tiny"]
    done = subprocess.run(command, cwd=cluster.laptop, env=cluster.environment(), capture_output=True, text=True)
    assert "campaign tiny: stopped" in done.stdout
    assert "next: preset-search resume tiny\n" in done.stdout


def test_a_wrong_token_none_and_no_server_are_one_line_each(cluster: Cluster) -> None:
    wrong = cluster.run("status", "tiny", code=2, RAY_AUTH_TOKEN=secrets.token_hex(32))
    assert "The job server rejects the token. Copy ~/.ray/auth_token" in wrong
    assert "requires a token" in cluster.run("status", "tiny", code=2, RAY_AUTH_MODE="disabled")
    (free,) = _ports(1)
    done = subprocess.run(
        cluster.command("attach", "tiny", port=free), env=cluster.environment(), capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "Open the tunnel: ray dashboard cluster.yaml" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_token_is_nowhere_on_the_head_but_in_its_file(told: Told, cluster: Cluster) -> None:
    for root in (cluster.home, cluster.laptop / "results"):
        for path in root.rglob("*"):
            assert not path.is_file() or cluster.token.encode() not in path.read_bytes()
    assert (cluster.folder / "token").stat().st_mode & 0o077 == 0


def test_a_stopped_campaign_is_resumed_and_confirmed_on_the_cluster(told: Told, cluster: Cluster) -> None:
    asked = len(CampaignFolder(cluster.home / "results" / "tiny").read_trials())
    with cluster.started("resume", "tiny", "--trials", str(asked)) as process:
        assert "Ended by: trials" in _rest(process), told.resume
    with cluster.started("confirm", "tiny", "--top", "1", "--seeds", "1", "--folds", "2") as process:
        confirmed = _rest(process)
    assert "results: preset-search fetch-results tiny --address" in confirmed
    cluster.run("fetch-results", "tiny")
    here = cluster.laptop / "results" / "tiny"
    manifest.check_manifest(CampaignFolder(here))
    assert (here / VERDICT_FILE).read_bytes() == (cluster.home / "results" / "tiny" / VERDICT_FILE).read_bytes()
    assert "has read its test span" in cluster.run("resume", "tiny", "--trials", "400", code=2)
