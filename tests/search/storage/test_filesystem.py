from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search.storage.filesystem import Storage, StorageError
from tests.helpers.object_stores import GcsServer, S3Server


@pytest.fixture(scope="module")
def server() -> S3Server:
    return S3Server.start()


@pytest.fixture(scope="module")
def gcs_server(tmp_path_factory: pytest.TempPathFactory) -> GcsServer:
    return GcsServer.start(tmp_path_factory.mktemp("gcs"))


@pytest.fixture(params=["folder", "server", "gcs_server"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return Storage(str(tmp_path / "storage"))
    return Storage(request.getfixturevalue(request.param).location).subfolder(tmp_path.name)


def test_a_written_file_is_read_listed_and_removed(storage: Storage) -> None:
    assert storage.list_files() == []
    storage.write("7/1/2.pt", b"two")
    storage.write("7/1/2.pt", b"other")
    storage.write("7/2/empty", b"")
    storage.write("70/1/2.pt", b"another trial")
    assert storage.list_files() == ["7/1/2.pt", "7/2/empty", "70/1/2.pt"]
    assert storage.list_files("7") == ["7/1/2.pt", "7/2/empty"]
    assert storage.subfolder("7").list_files() == ["1/2.pt", "2/empty"]
    assert (storage.read("7/1/2.pt"), storage.subfolder("7").read("2/empty")) == (b"other", b"")
    storage.remove("7/2/empty")
    storage.remove("7/2/empty")
    storage.remove_folder("7")
    storage.remove_folder("7")
    assert storage.list_files() == ["70/1/2.pt"]
    with pytest.raises(FileNotFoundError):
        storage.read("7/1/2.pt")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=4096))
def test_bytes_come_back_as_they_were(storage: Storage, content: bytes) -> None:
    storage.write("file", content)
    assert storage.read("file") == content


def test_a_storage_can_be_sent_to_another_process(storage: Storage) -> None:
    storage.write("file", b"here")
    assert pickle.loads(pickle.dumps(storage)).read("file") == b"here"


@pytest.mark.costly
def test_a_server_that_is_down_is_one_line() -> None:
    server = S3Server.start()
    storage = Storage(server.location)
    storage.write("file", b"")
    server.stop()
    for use in (
        lambda: storage.write("file", b""),
        lambda: storage.read("file"),
        lambda: storage.list_files(),
        lambda: storage.remove("file"),
        lambda: storage.remove_folder("file"),
    ):
        with pytest.raises(StorageError, match=r"^s3://bucket/\S* cannot be \w+ \(") as error:
            use()
        assert "\n" not in str(error.value)
        assert "endpoint_override" not in str(error.value)


def test_a_file_that_is_being_written_is_not_listed(tmp_path: Path) -> None:
    (tmp_path / ".2.half.pt").write_bytes(b"")
    assert Storage(str(tmp_path)).list_files() == []


def test_a_folder_name_may_contain_a_question_mark(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "what?")).subfolder("5")
    storage.subfolder("1").write("file", b"here")
    assert storage.list_files() == ["1/file"]
    assert storage.display_name.endswith("what?/5")


def test_a_missing_bucket_is_a_storage_error(server: S3Server, gcs_server: GcsServer) -> None:
    for store in (server, gcs_server):
        with pytest.raises(StorageError, match="nowhere/file cannot be written"):
            Storage(store.location.replace("bucket", "nowhere")).write("file", b"")
