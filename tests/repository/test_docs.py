"""The documents keep their word: no gap left open, no link into nothing, every file and name where they say it is."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

from core.config import parse
from core.files import read_yaml
from search.config import CampaignConfig

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/architecture.md",
    "docs/cluster.md",
    "docs/experiments.md",
    "docs/extending.md",
    "results/README.md",
    "tests/README.md",
]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for top in ("core", "search", "tests", "benchmarks")
    for path in (ROOT / top).rglob("*.py")
}
each_document = pytest.mark.parametrize("name", DOCUMENTS)


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _defined_names(path: Path) -> set[str]:
    """Return the names of all functions, classes, methods and assigned variables of a module."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


@each_document
def test_no_placeholder_is_left_and_every_link_leads_somewhere(name: str) -> None:
    text = _text(name)
    assert re.findall(r"@[A-Z]+@", text) == []
    for target, anchor in re.findall(r"\]\(([^)#:]*)(#[^)]*)?\)", text):
        path = (ROOT / name).parent / target if target else ROOT / name
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), flags=re.M)
            anchors = {"#" + re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, f"{target}{anchor}"


@each_document
def test_every_path_and_module_that_is_named_exists(name: str) -> None:
    text = _text(name)
    for path in re.findall(r"`((?:core|search|tests|docs|examples|benchmarks)/[\w./*-]*)`", text):
        assert list(ROOT.glob(path)), path
    for target in re.findall(r"`(?:OMP_NUM_THREADS=\d )?make ([a-z-]+)`", text):
        assert re.search(rf"^{target}:", _text("Makefile"), flags=re.M), f"make {target}"
    for dotted in re.findall(r"`((?:core|search|tests|benchmarks)(?:\.\w+)+)`", text):
        parts = dotted.split(".")
        module = next(
            ".".join(parts[:count]) for count in range(len(parts), 0, -1) if ".".join(parts[:count]) in MODULES
        )
        rest = parts[module.count(".") + 1 :]
        assert set(rest) <= _defined_names(MODULES[module]), dotted


@each_document
def test_names_are_defined_in_the_files_in_which_they_are_said_to_be(name: str) -> None:
    for dotted, path in re.findall(r"`([A-Za-z_][\w.]*)`\s+(?:in\s+|\()`([\w/]+\.py)`", _text(name)):
        if dotted.endswith((".pt", ".json", ".parquet", ".log", ".yaml")):
            continue
        assert set(dotted.split(".")) <= _defined_names(ROOT / path), f"{dotted} in {path}"


def test_the_readmes_settings_are_ones_that_can_be_read(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", _text("README.md"), flags=re.S)
    file = tmp_path / "readme.yaml"
    for block in blocks:
        file.write_text(block if "name:" in block.split("data:")[0] else f"name: x\n{block}", encoding="utf-8")
        parse(CampaignConfig, read_yaml(file), "README.md")


def _blocks(document: str, heading: str, language: str = "") -> list[str]:
    """Return the fenced blocks of a language below a heading of the second level."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", document, flags=re.M | re.S)
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", section, flags=re.M | re.S)
    return [text for name, text in blocks if name == language]


ARCHITECTURE = _text("docs/architecture.md")


def test_every_module_has_its_line_in_the_tree_and_every_line_its_file() -> None:
    listed: dict[str, str] = {}
    folders: list[str] = []
    (block,) = _blocks(ARCHITECTURE, "The tree")
    for line in block.splitlines():
        name, _, about = line.strip().partition(" ")
        depth = (len(line) - len(line.lstrip())) // 2
        folders = [*folders[:depth], name]
        assert "".join(folders) not in listed, line
        listed["".join(folders)] = about.strip()
    assert all(listed.values()), [path for path, about in listed.items() if not about]
    assert [path for path in listed if not list(ROOT.glob(path))] == []
    sources = [path.relative_to(ROOT) for name, path in MODULES.items() if name.partition(".")[0] in ("core", "search")]
    modules = {str(path) for path in sources if path.name != "__init__.py"}
    assert {path for path in listed if path.endswith(".py")} == modules
    assert {path for path in listed if path.endswith("/")} == {f"{path.parent}/" for path in sources}


def _package(module: str) -> str:
    return ".".join(module.split(".")[:2])


def _package_imports() -> set[tuple[str, str]]:
    """Return which package of core and search imports which other one; `core` and `search` themselves aside."""
    imports = set()
    for name, path in MODULES.items():
        if name.split(".")[0] not in ("core", "search") or name.endswith("__main__"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            targets: list[str] = []
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                targets = [f"{node.module}.{alias.name}" for alias in node.names]
            imports |= {
                (_package(name), _package(target)) for target in targets if target.split(".")[0] in ("core", "search")
            }
    packages = {_package(name) for name in MODULES if name.count(".") >= 1}
    return {(source, target) for source, target in imports if source != target and {source, target} <= packages}


def _reachable(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the pairs that a way along arrows joins."""
    ways = set(arrows)
    while more := {(a, d) for a, b in ways for c, d in arrows if b == c} - ways:
        ways |= more
    return ways


def test_the_diagram_shows_how_packages_import_each_other() -> None:
    (diagram,) = _blocks(ARCHITECTURE, "Packages", "mermaid")
    arrows = set(re.findall(r"^    ([\w.]+) --> ([\w.]+)$", diagram, flags=re.M))
    imports = _package_imports()
    assert len(imports) > 100
    assert arrows - imports == set(), "arrows without an import"
    assert imports - _reachable(arrows) == set(), "imports without a way along the arrows"
    assert all(source != target for source, target in _reachable(arrows)), "a circle"


def test_the_layers_are_those_that_import_linter_enforces() -> None:
    contracts = tomllib.loads(_text("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    enforced = {}
    for contract in contracts:
        if contract["type"] == "layers":
            (container,) = contract.get("containers", [contract["layers"][0].split(".")[0]])
            enforced[container] = [layer.replace(f"{container}.", "") for layer in contract["layers"]]
    shown: dict[str, list[str]] = {}
    (block,) = _blocks(ARCHITECTURE, "Packages")
    for line in filter(None, block.splitlines()):
        container, layer = line[:13].strip(), line[13:].strip()
        if container:
            shown[container] = []
        shown[list(shown)[-1]].append(layer)
    assert shown == enforced
