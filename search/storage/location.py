"""Where a storage may lie, as a campaign file names it; checking a name needs none of the libraries that reach it."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from core.errors import ConfigError

URI_OPTIONS = {"s3": ("region", "scheme", "endpoint_override"), "gs": ("scheme", "endpoint_override")}
"""Options that a URI of each scheme may have after its question mark."""
_PORTABLE_NAME = re.compile(r"[A-Za-z0-9_=-][A-Za-z0-9._=-]*")


def resolve_location(location: str) -> str:
    """Check a storage location of a campaign file, and make it absolute.

    Args:
        location: a folder, or a URI of the scheme `s3` or `gs`, which may have options.

    Returns:
        The absolute path of the folder, or the URI without a slash at its end.

    Raises:
        ConfigError: the URI has an unknown scheme or option, names no bucket, or contains a secret.
    """
    if "://" not in location:
        return str(Path(location).expanduser().absolute())
    parts = urlsplit(location)
    if parts.scheme not in URI_OPTIONS:
        raise ConfigError(
            f"storage {parts.scheme}:// is not supported", "Name a folder, s3://BUCKET/… or gs://BUCKET/…"
        )
    if "@" in location:
        raise ConfigError(
            "storage contains credentials, which would be written into every file of the campaign",
            "Give them to the machines instead, by an instance profile or the environment",
        )
    folders = parts.path.rstrip("/").split("/")[1:]
    if not all(_PORTABLE_NAME.fullmatch(part) for part in (parts.netloc, *folders)) or parts.fragment:
        raise ConfigError(
            "storage is not a bucket and folder that every object store accepts",
            "Write it as s3://BUCKET/FOLDER, in letters, digits and . _ - = only",
        )
    options, known_options = dict(parse_qsl(parts.query, keep_blank_values=True)), URI_OPTIONS[parts.scheme]
    if not set(options) <= set(known_options):  # the option is not repeated: it may be a secret
        raise ConfigError("storage has an unknown option", f"Use only: {', '.join(known_options)}")
    if options.get("scheme", "https") not in ("http", "https"):
        raise ConfigError(f"storage cannot be reached over {options['scheme']}", "Write scheme=https or scheme=http")
    return location.rstrip("/")
