"""Long recordings for measuring, made from the sample."""

from __future__ import annotations

import subprocess
from pathlib import Path

from erni.media.ffmpeg import find_ffmpeg


def repeat_sample(sample: Path, duration_s: float, recording: Path) -> None:
    """Write the sample over and over until ``duration_s``, in the format ``recording``'s name says."""
    arguments = ["-stream_loop", "-1", "-i", str(sample), "-t", str(duration_s), "-b:a", "32k", str(recording)]
    subprocess.run([find_ffmpeg(None), "-nostdin", "-y", "-loglevel", "error", *arguments], check=True)
