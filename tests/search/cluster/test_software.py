from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import core
import search
from core.data import cache
from core.files import source_digest
from search.cluster.software import SOURCES, installed_software

PACKAGES = sorted(
    str(path.parent.relative_to(root.parent))
    for root in SOURCES
    for path in root.rglob("__init__.py")
    if "__pycache__" not in path.parts
)


def test_the_sources_are_this_programs_own_packages_from_their_roots() -> None:
    assert (Path(str(core.__file__)).parent, Path(str(search.__file__)).parent) == SOURCES
    assert installed_software().source == source_digest(*SOURCES)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_change_in_any_package_gives_another_hash(tmp_path: Path, package: str) -> None:
    copies = []
    for root in SOURCES:
        shutil.copytree(root, tmp_path / root.name, ignore=shutil.ignore_patterns("__pycache__"))
        copies.append(tmp_path / root.name)
    before = source_digest(*copies)
    assert before == source_digest(*SOURCES)
    digests = {before}
    for changed in (tmp_path / package).glob("__init__.py*"):
        changed.write_text(changed.read_text() + "\n")
        digests.add(source_digest(*copies))
    assert len(digests) == 1 + len(list((tmp_path / package).glob("__init__.py*")))


def test_prepared_datasets_are_kept_by_the_whole_of_core(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[Path] = []
    monkeypatch.setattr(cache, "source_digest", lambda *packages: hashed.extend(packages) or "digest")
    assert cache._source_digest.__wrapped__() == "digest"
    assert hashed == [Path(str(core.__file__)).parent]


def test_another_source_is_a_difference_where_all_versions_are_the_same() -> None:
    mine = installed_software()
    assert mine.differences(mine) == []
    assert "another source of preset-search" in mine.differences(replace(mine, source="0" * 64))[0]
    other = replace(mine, versions={**mine.versions, "torch": "1.0"}, source="0" * 64)
    assert mine.differences(other) == [f"torch 1.0 (the driver has {mine.versions['torch']})"]
