from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core import logs
from core.logs import JsonLines, PlainLines, handling, without_secrets


class Collector(logging.Handler):
    """Keeps the records that it is handed."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def _record(message: str = "trial %s started", *args: object, **extra: Any) -> logging.LogRecord:
    logger = logging.getLogger("search.test")
    return logger.makeRecord(logger.name, logging.INFO, "file.py", 1, message, args, None, extra=extra)


def test_a_json_line_holds_time_level_logger_message_and_fields() -> None:
    line = JsonLines().format(_record("trial %s started", 3, params={"dropout": 0.5}, path=Path("a/b"), seeds=(1, 2)))
    content = json.loads(line)
    assert datetime.fromisoformat(content.pop("time")).utcoffset() is not None
    assert content == {
        "level": "info",
        "logger": "search.test",
        "message": "trial 3 started",
        "params": {"dropout": 0.5},
        "path": "a/b",
        "seeds": [1, 2],
    }


def test_fields_that_a_library_adds_to_every_record_are_left_out() -> None:
    record = _record("started", trial=3)
    record.__dict__["_ray_timestamp_ns"] = 1  # as Ray does, once it is imported
    assert "_ray_timestamp_ns" not in json.loads(JsonLines().format(record))
    assert PlainLines().format(record) == "info: started  trial=3"


def test_a_json_line_is_one_line_whatever_the_message() -> None:
    line = JsonLines().format(_record("first\nsecond\r\u2028naïve", reason="a\nb"))
    assert len(line.split("\n")) == 1
    assert json.loads(line)["message"] == "first\nsecond\r\u2028naïve"
    assert "naïve" in line


def test_the_traceback_of_an_error_is_kept() -> None:
    logger = logging.getLogger("search.test")
    try:
        raise ZeroDivisionError("by nought")
    except ZeroDivisionError as error:
        info = (type(error), error, error.__traceback__)
    line = JsonLines().format(logger.makeRecord("search.test", logging.ERROR, "file.py", 1, "failed", (), info))
    assert "ZeroDivisionError: by nought" in json.loads(line)["traceback"]


def test_a_plain_line_holds_level_message_and_fields() -> None:
    assert PlainLines().format(_record("trial started", trial=3, attempt=1)) == "info: trial started  trial=3 attempt=1"
    assert PlainLines().format(_record("stop requested")) == "info: stop requested"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://key:secret@bucket/x", "s3://***@bucket/x"),
        ("from mysql://me:p@ss@host/db to file:///tmp", "from mysql://***@host/db to file:///tmp"),
        ("postgres://me:p/w@host/db", "postgres://***@host/db"),
        ("https://b/x?X-Amz-Signature=ab12&part=3&token=cd34", "https://b/x?X-Amz-Signature=***&part=3&token=***"),
        ("http://127.0.0.1:8265/x@y", "http://127.0.0.1:8265/x@y"),
        ("https://b/x?sv=2024&sig=ab%2F12&se=3", "https://b/x?sv=2024&sig=***&se=3"),
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer ***"),
        ("authorization: Basic bWU6cHc=", "authorization: Basic ***"),
        ("sent bearer abc.def-123 twice", "sent bearer *** twice"),
        ("{'password': 'hunter22', 'user': 'me'}", "{'password': '***', 'user': 'me'}"),
        ('{"api_key":"hunter22"}', '{"api_key":"***"}'),
        ("DB_PASSWORD=hunter22 make", "DB_PASSWORD=*** make"),
        ("--db-password hunter22 --name x", "--db-password *** --name x"),
        ("the token was refused, its password as well", "the token was refused, its password as well"),
        ("--token-file where.txt and tokens: 1234567", "--token-file where.txt and tokens: 1234567"),
        ("me@example.org wrote https://host/path", "me@example.org wrote https://host/path"),
    ],
)
def test_credentials_are_hidden_and_nothing_else(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


@pytest.mark.parametrize(
    ("name", "value", "hidden"),
    [
        ("AWS_SECRET_ACCESS_KEY", "abcdef", True),
        ("RAY_AUTH_TOKEN", "abcdef", True),
        ("db_password", "abcdef", True),
        ("SOME_APIKEY", "abcdef", True),
        ("SOME_API_KEY", "abcdef", True),
        ("GOOGLE_APPLICATION_CREDENTIALS", "abcdef", True),
        ("DB_PASS", "abcdef", True),
        ("db_pwd", "abcdef", True),
        ("AZURE_STORAGE_SAS", "abcdef", True),
        ("KEY_PASSPHRASE", "abcdef", True),
        ("PWD", "abcdef", False),
        ("HOME", "abcdef", False),
        ("AWS_SECRET_ACCESS_KEY", "abcde", False),
    ],
)
def test_values_of_secret_environment_variables_are_hidden(
    name: str, value: str, hidden: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert without_secrets(f"the key {value} was refused") == f"the key {'***' if hidden else value} was refused"


@pytest.mark.parametrize("piece", ["?", "&key", "://", "://a:", "token", "--", "--token ", "a-", "bearer ", ": ", "@"])
def test_no_long_text_takes_long(piece: str) -> None:
    # A search whose time grows with the square of the length would take hours here.
    assert isinstance(without_secrets(piece * 300_000), str)


def test_the_value_of_a_field_with_a_secret_name_is_hidden() -> None:
    line = JsonLines().format(_record("connected", options={"db_password": "abc", "user": "me", "token": None}))
    assert json.loads(line)["options"] == {"db_password": "***", "user": "me", "token": None}


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.items() for part in item for text in _texts(part)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []


secrets = st.text(st.characters(exclude_characters="\0*", exclude_categories=["Cs"]), min_size=6, max_size=20)


@given(secret=secrets, around=st.text(max_size=5))
@example(secret='with"quote', around="")
@example(secret="with'both\"quotes", around="")
@example(secret="back\\slash", around="")
def test_a_secret_of_any_characters_reaches_no_log(secret: str, around: str) -> None:
    text = f"{around}{secret}{around}"
    record = _record("%s", text, reason=text, nested={"list": [text], text: 1}, error=OSError(text))
    with mock.patch.dict(os.environ, {"TEST_SECRET": secret}):
        line, plain = JsonLines().format(record), PlainLines().format(record)
    texts = _texts(json.loads(line))
    assert sum("***" in shown for shown in texts) >= 5
    assert not any(secret in shown for shown in texts)
    assert secret not in plain
    assert repr(secret)[1:-1] not in plain


def _state() -> list[tuple[int, list[logging.Handler]]]:
    return [(logger.level, list(logger.handlers)) for logger in map(logging.getLogger, logs.LOGGERS)]


def test_a_handler_gets_all_of_this_program_and_nothing_of_others_while_the_block_lasts() -> None:
    collector = Collector()
    loggers = [logging.getLogger(name) for name in ("core.data", "search.study", "other")]
    with handling(collector):
        for logger in loggers:
            logger.debug("inside")
    for logger in loggers:
        logger.error("outside")
    assert [(record.name, record.msg) for record in collector.records] == [
        ("core.data", "inside"),
        ("search.study", "inside"),
    ]


def test_levels_and_handlers_are_restored_after_an_error_too() -> None:
    logger, first = logging.getLogger("search"), Collector()
    before = _state()
    logger.setLevel(logging.ERROR)
    logger.addHandler(first)
    changed = _state()
    try:
        with pytest.raises(ZeroDivisionError), handling(Collector()):
            raise ZeroDivisionError
        assert _state() == changed
        assert changed != before
    finally:
        logger.setLevel(before[1][0])
        logger.removeHandler(first)


@pytest.mark.parametrize("package", logs.LOGGERS)
def test_what_nobody_listens_to_is_not_printed(package: str) -> None:
    code = f"import logging, {package}; logging.getLogger('{package}.anything').warning('unheard')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


def test_a_secret_that_begins_like_another_is_hidden_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AAA_TOKEN", "abcdef")
    monkeypatch.setenv("ZZZ_TOKEN", "abcdefghij")
    assert without_secrets("it is abcdefghij or abcdef") == "it is *** or ***"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_json_does_not_know_is_null(value: float) -> None:
    content = json.loads(JsonLines().format(_record("ended", value=value)), parse_constant=pytest.fail)
    assert content["value"] is None


def test_a_field_does_not_hide_the_time_or_the_level_of_its_line() -> None:
    content = json.loads(JsonLines().format(_record("ended", level="mine", time="mine")))
    assert (content["level"], content["time"][:2]) == ("info", "20")
