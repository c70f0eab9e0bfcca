"""Every package names what can be imported from it, and naming it loads nothing."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import core
import search

PACKAGES = [
    "core",
    "search",
    *(
        module.name
        for package in (core, search)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if module.ispkg
    ),
]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_of_a_face_is_defined_in_that_package(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__all__
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert f"{value.__module__}.".startswith(f"{package}."), name
            assert value.__doc__, name


@pytest.mark.parametrize("package", PACKAGES)
def test_a_name_that_a_face_lacks_is_an_attribute_error(package: str) -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = importlib.import_module(package).no_such_name


def test_importing_all_packages_loads_no_library_that_takes_long() -> None:
    lazy = [name for name in PACKAGES if name not in ("core.data.features", "search.statistics")]
    code = f"import sys; [__import__(name) for name in {lazy}]; print(*sorted(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"torch", "ray", "optuna", "pandas", "sklearn", "scipy", "pyarrow", "ccxt", "matplotlib"} & set(shown)
