"""How the end of vendors' own jobs is noticed: whether what a caller asks for can be had. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Set

from erni.capabilities import DiarizerCapabilities
from erni.errors import InvalidOption
from erni.jobs import JobOptions


def check_completion(
    options: JobOptions, diarizers: Mapping[str, DiarizerCapabilities], callers: Set[str]
) -> JobOptions:
    """The same options; ``callers`` are the vendors that can call this installation.

    Raises:
        InvalidOption: webhooks are asked for, and a vendor whose own job would do a part of it cannot call.
    """
    if options.completion != "webhook":
        return options
    if not callers:
        raise InvalidOption(
            "Vendors cannot call this installation; the operator has to set ERNI_WEBHOOKS__PUBLIC_URL, or use poll.",
            field="completion",
        )
    if mute := sorted(_vendors(options, diarizers) - callers):
        raise InvalidOption(
            f"Webhooks of {mute[0]} cannot be verified here; the operator has to set"
            f" ERNI_{mute[0].upper()}__WEBHOOK_SECRET, or use poll.",
            field="completion",
        )
    return options


def _vendors(options: JobOptions, diarizers: Mapping[str, DiarizerCapabilities]) -> set[str]:
    """Whose own jobs do parts of this one; transcribers of chunks are answered at once."""
    if options.method == "replicate":
        return {_vendor(options.engine)}
    return {_vendor(name) for name in options.diarizers if name in diarizers and diarizers[name].terms is not None}


def _vendor(engine: str) -> str:
    return engine.partition("/")[0]
