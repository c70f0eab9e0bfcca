"""The base of all settings: immutable, strict, each field documented where it is declared.

Only declared settings exist: unknown keys are refused, and so are values of the wrong type (`"3"` is not `3`).
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from core.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
Name = Annotated[str, StringConstraints(pattern=rf"^{_NAME.pattern}$")]
_TAG = re.compile(r"<\w+>")
C = TypeVar("C", bound=BaseModel)


class Config(BaseModel):
    """Base of all settings: immutable, strict about types, closed to unknown keys."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


def parse(cls: type[C], content: dict[str, Any], where: str) -> C:
    """Create a config from plain YAML or JSON content.

    Args:
        cls: the config class to create.
        content: the settings by name: mappings, lists, numbers, strings, dates.
        where: the source of the content, such as a file name, for the message.

    Raises:
        ConfigError: a key is unknown or missing, or a value does not fit; the message names every such place.
    """
    try:
        # In JSON mode, pydantic is strict about types, yet turns lists into tuples and strings into paths.
        text = json.dumps(content, default=str)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: {error}", "Use plain keys and values, without YAML references") from None
    try:
        return cls.model_validate_json(text)
    except ValidationError as error:
        problems = "; ".join(_problem(cls, item) for item in error.errors())
        raise ConfigError(f"{where}: {problems}", "Fix these settings") from None


def _problem(cls: type[BaseModel], item: Any) -> str:
    """Return one error of pydantic in words, with a suggestion where a key is misspelled."""
    # The tag of a union, such as <range>, is no part of what the file says.
    place = ".".join(str(part) for part in item["loc"] if not _TAG.fullmatch(str(part)))
    if item["type"] == "extra_forbidden":
        suggestions = difflib.get_close_matches(str(item["loc"][-1]), _keys(cls), n=1)
        return f"unknown key {place!r}" + (f" (did you mean {suggestions[0]!r}?)" if suggestions else "")
    if item["type"] == "missing":
        return f"{place!r} is missing"
    message = str(item["msg"]).removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    return f"{place!r}: {message}" if place else message


def _keys(cls: type[BaseModel]) -> set[str]:
    """Return every key that a config class or a config inside it knows."""
    keys = set(cls.model_fields)
    for field in cls.model_fields.values():
        for inner in _types_in(field.annotation):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                keys |= _keys(inner)
    return keys


def _types_in(annotation: Any) -> Iterator[Any]:
    """Yield an annotation, and all that it is made of."""
    yield annotation
    for part in get_args(annotation):
        yield from _types_in(part)


def is_name(text: str) -> bool:
    """Return whether a text can be the name of a preset or campaign."""
    return _NAME.fullmatch(text) is not None


def check_name(name: str, what: str = "preset") -> str:
    """Return a name if it can be a file name on every system; a path never can.

    Args:
        name: the name of a preset or campaign.
        what: `preset` or `campaign`, for the message.

    Raises:
        ConfigError: the name holds other characters than letters, digits, '-' and '_', or is too long.
    """
    if not is_name(name):
        raise ConfigError(
            f"{name!r} cannot be the name of a {what}",
            "Use up to 64 letters, digits, '-' and '_', beginning with a letter or digit",
        )
    return name


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one mapping, with names in which dots separate the levels.

    Args:
        settings: the settings by name, some of which may be mappings.
        prefix: what all names begin with.

    >>> flatten({"model": {"size": "quick"}, "seed": 0})
    {'model.size': 'quick', 'seed': 0}
    """
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
