"""Recordings made on the spot: ffmpeg writes them, so that no binary lies in the tree."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from erni.model import SAMPLE_RATE_HZ

MakeMedia = Callable[..., Path]


def _programs() -> list[str]:
    """The machine's ffmpeg, where it has one, and the one a wheel brings."""
    return [program for program in (shutil.which("ffmpeg"), imageio_ffmpeg.get_ffmpeg_exe()) if program]


@pytest.fixture(params=_programs(), ids=lambda program: Path(program).name)
def ffmpeg(request: pytest.FixtureRequest) -> str:
    program: str = request.param
    return program


@pytest.fixture
def make_media(ffmpeg: str, tmp_path: Path) -> MakeMedia:
    """Runs ffmpeg with the given output arguments behind five seconds of a tone (and a test picture)."""

    def make(name: str, *arguments: str, sound: str | None = "sine=440:d=5:r=44100", picture: bool = False) -> Path:
        inputs = ["-f", "lavfi", "-i", "testsrc=d=5:s=64x64:r=10"] if picture else []
        inputs += ["-f", "lavfi", "-i", sound] if sound else []
        path = tmp_path / name
        subprocess.run([ffmpeg, "-nostdin", "-v", "error", "-y", *inputs, *arguments, path], check=True)
        return path

    return make


@pytest.fixture
def canonical(tmp_path: Path) -> tuple[Path, npt.NDArray[np.int16]]:
    """Ten seconds of canonical audio in which every sample tells its place, and the same samples."""
    samples = (np.arange(10 * SAMPLE_RATE_HZ) % 32749).astype(np.int16)
    path = tmp_path / "canonical.flac"
    soundfile.write(path, samples, SAMPLE_RATE_HZ, subtype="PCM_16", format="FLAC")
    return path, samples
