"""The text of a preset file: YAML with a comment over each value."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pydantic.fields import FieldInfo

from core import files
from core.config import Config
from core.presets.provenance import Figure
from core.presets.schema import Preset

_HEAD = """\
# A training preset. Train with it:  preset-train --preset {name}
# Written by a program; the same campaign gives the same bytes. Change a copy under another name.
"""


def preset_yaml(preset: Preset) -> str:
    """The text of a preset file, a comment over each value: the same text for the same preset, everywhere."""
    lines = [_HEAD.format(name=preset.name)]
    lines += _commented(preset, "")
    return "".join(lines)


def _commented(settings: Config, indent: str) -> Iterator[str]:
    """Lines of YAML, each value below what it means and where it may lie."""
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        yield f"{indent}# {' '.join(str(field.description).split())}{_range(field)}\n"
        if isinstance(value, Figure):
            ends = ", ".join(f"{key}: {json.dumps(end)}" for key, end in value.model_dump().items())
            yield f"{indent}{name}: {{{ends}}}\n"
        elif isinstance(value, Config):
            yield f"{indent}{name}:\n"
            yield from _commented(value, f"{indent}  ")
        else:
            plain = files.to_yaml({name: settings.model_dump(mode="json", include={name})[name]})
            yield "".join(f"{indent}{line}\n" for line in plain.rstrip("\n").split("\n"))


def _range(field: FieldInfo) -> str:
    """The bounds of a number, in words; empty without any."""
    words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    bounds = [
        f"{word} {getattr(each, key):g}" for each in field.metadata for key, word in words.items() if hasattr(each, key)
    ]
    return f" [{', '.join(bounds)}]" if bounds else ""
