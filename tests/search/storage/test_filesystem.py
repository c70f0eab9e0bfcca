from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import ConfigError
from search.storage.filesystem import Storage, StorageError, check_place
from tests.helpers.object_stores import GcsServer, S3Server


@pytest.fixture(scope="module")
def server() -> S3Server:
    return S3Server.started()


@pytest.fixture(scope="module")
def gcs_server(tmp_path_factory: pytest.TempPathFactory) -> GcsServer:
    return GcsServer.started(tmp_path_factory.mktemp("gcs"))


@pytest.fixture(params=["folder", "server", "gcs_server"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return Storage(str(tmp_path / "storage"))
    return Storage(request.getfixturevalue(request.param).place).at(tmp_path.name)


def test_what_is_written_is_read_listed_and_removed(storage: Storage) -> None:
    assert storage.names() == []
    storage.write("7/1/2.pt", b"two")
    storage.write("7/1/2.pt", b"other")
    storage.write("7/2/empty", b"")
    storage.write("70/1/2.pt", b"another trial")
    assert storage.names() == ["7/1/2.pt", "7/2/empty", "70/1/2.pt"]
    assert storage.names("7") == ["7/1/2.pt", "7/2/empty"]
    assert storage.at("7").names() == ["1/2.pt", "2/empty"]
    assert (storage.read("7/1/2.pt"), storage.at("7").read("2/empty")) == (b"other", b"")
    storage.remove("7/2/empty")
    storage.remove("7/2/empty")
    storage.clear("7")
    storage.clear("7")
    assert storage.names() == ["70/1/2.pt"]
    with pytest.raises(FileNotFoundError):
        storage.read("7/1/2.pt")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=4096))
def test_bytes_come_back_as_they_were(storage: Storage, content: bytes) -> None:
    storage.write("file", content)
    assert storage.read("file") == content


def test_another_process_gets_the_same_storage(storage: Storage) -> None:
    storage.write("file", b"here")
    assert pickle.loads(pickle.dumps(storage)).read("file") == b"here"


def test_a_server_that_is_down_is_said_in_one_line() -> None:
    server = S3Server.started()
    storage = Storage(server.place)
    storage.write("file", b"")
    server.stop()
    for ask in (
        lambda: storage.write("file", b""),
        lambda: storage.read("file"),
        lambda: storage.names(),
        lambda: storage.remove("file"),
        lambda: storage.clear("file"),
    ):
        with pytest.raises(StorageError, match=r"^s3://bucket/\S* cannot be \w+ \(") as error:
            ask()
        assert "\n" not in str(error.value)
        assert "endpoint_override" not in str(error.value)


def test_what_is_being_written_is_not_listed(tmp_path: Path) -> None:
    (tmp_path / ".2.half.pt").write_bytes(b"")
    assert Storage(str(tmp_path)).names() == []


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("s3://key:secret@bucket/folder", "names credentials"),
        ("s3://key@bucket", "names credentials"),
        ("ftp://host/folder", "ftp:// is not known"),
        ("s3://bucket?endpoint_override=key:secret@host", "names credentials"),
        ("s3://bucket?scheme=ftp", "cannot be reached by ftp"),
        ("gs://bucket?region=eu", "unknown option. There are: scheme, endpoint_override"),
        ("s3:///folder", "no bucket and folder"),
        ("s3://bucket?access_key=AKIA", "unknown option"),
        ("s3://bucket?AKIA", "unknown option"),
        ("s3://bucket/run#2", "no bucket and folder that every store takes"),
        ("s3://bucket//run", "no bucket and folder that every store takes"),
        ("s3://bucket/../run", "no bucket and folder that every store takes"),
        ("s3://bucket:80/run", "no bucket and folder that every store takes"),
    ],
)
def test_a_place_that_cannot_be_used_is_refused_and_secrets_are_not_repeated(place: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        check_place(place)
    assert "secret" not in str(error.value)
    assert "AKIA" not in str(error.value)


def test_a_folder_is_made_absolute_and_options_stay_behind_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert check_place("~/shared") == "/home/someone/shared"
    assert check_place("shared") == str(Path.cwd() / "shared")
    assert check_place("gs://bucket/folder/") == "gs://bucket/folder"
    assert Storage("s3://bucket/a?region=eu").at("b").place == "s3://bucket/a/b?region=eu"


def test_a_folder_may_be_named_like_options(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "what?")).at("5")
    storage.at("1").write("file", b"here")
    assert storage.names() == ["1/file"]
    assert storage.shown.endswith("what?/5")


def test_a_bucket_that_is_not_there_is_a_storage_that_does_not_answer(server: S3Server, gcs_server: GcsServer) -> None:
    for each in (server, gcs_server):
        with pytest.raises(StorageError, match="nowhere/file cannot be written"):
            Storage(each.place.replace("bucket", "nowhere")).write("file", b"")
