"""Renders a preset as the text of its file: YAML with a comment above each value."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pydantic.fields import FieldInfo

from core import files
from core.config import Config
from core.presets.provenance import Figure
from core.presets.schema import Preset

_HEAD = """\
# A training preset. To train with it: preset-train --preset {name}
# Generated file: the same campaign always gives the same bytes. To change settings, edit a copy under another name.
"""


def preset_yaml(preset: Preset) -> str:
    """Return the text of a preset file, with a comment above each value; equal presets give equal texts everywhere."""
    lines = [_HEAD.format(name=preset.name)]
    lines += _commented_lines(preset, "")
    return "".join(lines)


def _commented_lines(settings: Config, indent: str) -> Iterator[str]:
    """Yield the lines of some settings, each value below a comment on its meaning and its bounds."""
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if name not in settings.model_dump(include={name}):
            continue  # not given, and left out of files then
        yield f"{indent}# {' '.join(str(field.description).split())}{_range(field)}\n"
        if isinstance(value, Figure):
            ends = ", ".join(f"{key}: {json.dumps(end)}" for key, end in value.model_dump().items())
            yield f"{indent}{name}: {{{ends}}}\n"
        elif isinstance(value, Config):
            yield f"{indent}{name}:\n"
            yield from _commented_lines(value, f"{indent}  ")
        else:
            text = files.to_yaml({name: settings.model_dump(mode="json", include={name})[name]})
            yield "".join(f"{indent}{line}\n" for line in text.rstrip("\n").split("\n"))


def _range(field: FieldInfo) -> str:
    """Return the bounds of a number in words, such as ` [above 0, at most 1]`; empty if it has none."""
    words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    bounds = [
        f"{word} {getattr(bound, key):g}"
        for bound in field.metadata
        for key, word in words.items()
        if hasattr(bound, key)
    ]
    return f" [{', '.join(bounds)}]" if bounds else ""
