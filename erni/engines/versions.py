"""Which release of an engine's library is installed here: part of what decides its answers."""

from __future__ import annotations

import functools
from importlib.metadata import PackageNotFoundError, version


@functools.cache
def installed_version(package: str) -> str:
    """The package's version, or ``absent``: the API describes engines whose libraries only workers have."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
