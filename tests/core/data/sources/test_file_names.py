"""Names tell which files hold data, and what is in the files of other programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.data.sources.file_names import list_files, parse_file_name
from core.errors import DataError


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_a_folder_means_the_files_below_it_but_no_checksums_locks_and_hidden_files(tmp_path: Path) -> None:
    held = ("2024/BTCUSDT-5m-2024-12.zip", "BTCUSDT-5m-2025-01.zip")
    _touch(tmp_path, *held, *(f"{name}.CHECKSUM" for name in held))
    _touch(tmp_path, ".DS_Store", ".cache/x.csv", "binance_BTCUSDT_5m.parquet.lock")
    listed = list_files([tmp_path])
    assert listed.files == tuple(tmp_path / name for name in held)
    assert len(listed.ignored) == 5
    assert listed.describe_ignored() == (
        f"Ignored {tmp_path}/.DS_Store and 4 more: checksums, locks and hidden files hold no bars."
    )


def test_checksums_are_ignored_among_named_files_and_in_globs_too(tmp_path: Path) -> None:
    _touch(tmp_path, "a.zip", "a.zip.CHECKSUM", "b.zip")
    (tmp_path / "b.zip.checksum").write_bytes(b"x")
    assert list_files([tmp_path / "a.zip", tmp_path / "a.zip.CHECKSUM"]).files == (tmp_path / "a.zip",)
    listed = list_files([tmp_path / "*zip*"])
    assert listed.files == (tmp_path / "a.zip", tmp_path / "b.zip")
    assert listed.describe_ignored().startswith(f"Ignored {tmp_path}/a.zip.CHECKSUM and 1 more: ")
    assert list_files([tmp_path / "a.zip"]).describe_ignored() == ""


def test_a_hidden_file_that_is_named_itself_is_read(tmp_path: Path) -> None:
    _touch(tmp_path, ".hidden/.x.csv")
    assert list_files([tmp_path / ".hidden" / ".x.csv"]).files == (tmp_path / ".hidden" / ".x.csv",)


def test_a_folder_or_a_name_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no file of bars"):
        list_files([tmp_path])
    _touch(tmp_path, "a.zip.CHECKSUM")
    with pytest.raises(DataError, match="has no file of bars"):
        list_files([tmp_path])
    with pytest.raises(DataError, match="CHECKSUM holds no bars"):
        list_files([tmp_path / "a.zip.CHECKSUM"])


@pytest.mark.parametrize(
    "name",
    [
        "BTC_USDT_USDT-5m-mark.feather",
        "futures/BTC_USDT_USDT-8h-funding_rate.json.gz",
        "markPriceKlines/BTCUSDT/5m/BTCUSDT-5m-2025-01.zip",
    ],
)
def test_prices_at_which_nothing_was_traded_are_ignored_in_folders_and_refused_alone(tmp_path: Path, name: str) -> None:
    _touch(tmp_path, "BTC_USDT_USDT-5m-futures.feather", "BTC_USDT_USDT-5m-futures.feather.lock", name)
    listed = list_files([tmp_path])
    assert listed.files == (tmp_path / "BTC_USDT_USDT-5m-futures.feather",)
    assert "locks and hidden files hold no bars. Ignored" in listed.describe_ignored()
    assert f"{name}: marks, indices and rates of funding are no prices at which" in listed.describe_ignored()
    with pytest.raises(DataError, match=r"holds no traded prices by its name"):
        list_files([tmp_path / name])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("BTCUSDT-5m-2025-01.zip", ("binance", "BTCUSDT", "5m")),
        ("1000SATSUSDT-60m-2025-01-31.csv", ("binance", "1000SATSUSDT", "1h")),
        ("BTCUSD_PERP-5m-2025-01.zip", ("binancecoinm", "BTCUSD", "5m")),
        ("BTC_USDT-5m.feather", (None, "BTCUSDT", "5m")),
        ("BTC_USDT_USDT-1h-futures.feather", (None, "BTCUSDT", "1h")),
        ("ETH_BTC-1d.json.gz", (None, "ETHBTC", "1d")),
        ("Binance_BTCUSDT_1h.csv", ("binance", "BTCUSDT", "1h")),
        ("Bitstamp_BTCUSD_d.csv", ("bitstamp", "BTCUSD", "1d")),
        ("Binance_BTCUSDT_minute.csv", ("binance", "BTCUSDT", "1m")),
        ("kraken_BTCUSD_15m.csv.gz", ("kraken", "BTCUSD", "15m")),
        ("bitstampUSD.csv", None),
        ("BTCUSDT.parquet", None),
        ("BTCUSDT-5m-2025-01.txt", None),
        ("", None),
    ],
)
def test_the_name_of_a_file_may_tell_what_it_holds(name: str, expected: tuple[str | None, str, str] | None) -> None:
    found = parse_file_name(name)
    assert (None if found is None else (found.exchange, found.symbol, found.interval)) == expected
