"""Encoding of recordings for their upload, with real ffmpeg."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from erni.engines.uploads import Uploads
from erni.errors import ConfigError, JobStopped, StorageError
from erni.model import SAMPLE_RATE_HZ

DURATION_S = 20.0


def go_on() -> None:
    """A checkpoint that never stops."""


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    path = tmp_path / "canonical.flac"
    samples = np.random.default_rng(0).normal(0, 3000, int(DURATION_S * SAMPLE_RATE_HZ)).astype(np.int16)
    soundfile.write(path, samples, SAMPLE_RATE_HZ)
    return path


@pytest.mark.parametrize("audio_format", ["ogg", "mp3", "m4a", "wav"])
def test_a_recording_is_encoded_whole(audio: Path, audio_format: str, tmp_path: Path) -> None:
    with Uploads(directory=tmp_path).encoded(audio, audio_format, go_on) as file:
        assert file.suffix == f".{audio_format}"
        assert file.stat().st_size > 1000
        if audio_format != "m4a":  # libsndfile does not read it
            assert soundfile.info(file).duration == pytest.approx(DURATION_S, abs=0.2)
    assert [path.name for path in tmp_path.iterdir()] == [audio.name], "nothing is left behind"


def test_opus_is_much_smaller(audio: Path) -> None:
    with Uploads().encoded(audio, "ogg", go_on) as file:
        assert file.stat().st_size < 0.3 * audio.stat().st_size


def test_flac_is_not_copied(audio: Path) -> None:
    with Uploads().encoded(audio, "flac", go_on) as file:
        assert file == audio


def test_an_unknown_format_is_a_wrong_setting(audio: Path) -> None:
    with pytest.raises(ConfigError, match="aiff"), Uploads().encoded(audio, "aiff", go_on):
        pass


def test_a_stopped_job_leaves_no_file(audio: Path, tmp_path: Path) -> None:
    def stop() -> None:
        raise JobStopped("cancelled")

    with pytest.raises(JobStopped), Uploads(directory=tmp_path).encoded(audio, "ogg", stop):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [audio.name]


def test_audio_that_is_none_is_a_fault_of_storage(tmp_path: Path) -> None:
    broken = tmp_path / "canonical.flac"
    broken.write_bytes(b"not audio")
    with pytest.raises(StorageError), Uploads().encoded(broken, "ogg", go_on):
        pass
