"""Finds what is to be measured: the audio of a folder, each with its reference and language. Opens no audio."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from erni.errors import InputError
from erni.options import ISO_639_1
from evals.references import Reference, load_reference

_AUDIO: Final = "aac aif aiff amr flac m4a mka mkv mov mp3 mp4 oga ogg opus wav weba webm wma"
AUDIO_SUFFIXES: Final = frozenset(f".{name}" for name in _AUDIO.split())
_LANGUAGE_IN_NAME: Final = re.compile(r"(?:\.|-)([a-z]{2})(?:-\d+)?")


@dataclass(frozen=True, slots=True)
class Recording:
    """``name`` is the path within the folder; ``folder`` its first part, empty for what lies at the top.

    ``language`` is what the recording is submitted with, ``None`` to have it found out.
    """

    path: Path
    name: str
    folder: str
    language: str | None
    reference: Reference


def find_recordings(top: Path, language: str | None) -> list[Recording]:
    """All recordings below a folder, in order of their names. ``language`` holds for all; else names may say it.

    Raises:
        InputError: there is no audio, or a recording has no readable reference.
    """
    top = top.resolve()
    paths = sorted(path for path in top.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file())
    if not paths:
        raise InputError(f"{top} holds no audio. Name a folder with recordings and their references.")
    _check_stems(paths)
    return [_load_recording(path, top, language) for path in paths]


def language_in_name(stem: str) -> str | None:
    """``talk.de`` and ``talk-de-001`` say that they are German; other names say nothing."""
    match = _LANGUAGE_IN_NAME.search(stem)
    if match is None or match.end() != len(stem) or match[1] not in ISO_639_1:
        return None
    return match[1]


def _load_recording(path: Path, top: Path, language: str | None) -> Recording:
    relative = path.relative_to(top)
    return Recording(
        path=path,
        name=relative.as_posix(),
        folder=relative.parts[0] if len(relative.parts) > 1 else "",
        language=language or language_in_name(path.stem),
        reference=load_reference(path, top),
    )


def _check_stems(paths: Sequence[Path]) -> None:
    """References are found by stem, so it must be clear whose they are."""
    seen: dict[Path, Path] = {}
    for path in paths:
        other = seen.setdefault(path.with_suffix(""), path)
        if other != path:
            raise InputError(f"{other} and {path.name} would share their references. Rename one of them.")
