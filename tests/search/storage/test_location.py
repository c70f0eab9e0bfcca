"""Which locations are accepted, and how they are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ConfigError
from search.storage.filesystem import Storage
from search.storage.location import resolve_location


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("s3://key:secret@bucket/folder", "contains credentials"),
        ("s3://key@bucket", "contains credentials"),
        ("ftp://host/folder", "ftp:// is not supported"),
        ("s3://bucket?endpoint_override=key:secret@host", "contains credentials"),
        ("s3://bucket?scheme=ftp", "cannot be reached over ftp"),
        ("gs://bucket?region=eu", "unknown option. Use only: scheme, endpoint_override"),
        ("s3:///folder", "not a bucket and folder"),
        ("s3://bucket?access_key=AKIA", "unknown option"),
        ("s3://bucket?AKIA", "unknown option"),
        ("s3://bucket/run#2", "not a bucket and folder that every object store accepts"),
        ("s3://bucket//run", "not a bucket and folder that every object store accepts"),
        ("s3://bucket/../run", "not a bucket and folder that every object store accepts"),
        ("s3://bucket:80/run", "not a bucket and folder that every object store accepts"),
    ],
)
def test_an_unusable_location_is_refused_and_secrets_are_not_repeated(location: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        resolve_location(location)
    assert "secret" not in str(error.value)
    assert "AKIA" not in str(error.value)


def test_a_folder_is_made_absolute_and_options_stay_behind_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert resolve_location("~/shared") == "/home/someone/shared"
    assert resolve_location("shared") == str(Path.cwd() / "shared")
    assert resolve_location("gs://bucket/folder/") == "gs://bucket/folder"
    assert Storage("s3://bucket/a?region=eu").subfolder("b").location == "s3://bucket/a/b?region=eu"
