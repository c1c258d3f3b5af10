from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from erni.errors import ConfigError, StorageError, UnreadableMedia
from erni.media.audio import AUDIO_FORMATS, cut_chunk, read_pcm, read_samples, read_span
from erni.media.ffmpeg import Decoder
from erni.model import Span

Canonical = tuple[Path, npt.NDArray[np.int16]]


@pytest.mark.parametrize("audio_format", ["flac", "wav"])
@pytest.mark.parametrize(
    ("span", "samples"),
    [
        (Span(0, 10), slice(0, 160_000)),
        (Span(1.0000625, 2), slice(16_001, 32_000)),
        (Span(9.5, 10), slice(152_000, 160_000)),
        (Span(9.5, 12), slice(152_000, 160_000)),  # beyond the end there is nothing
    ],
)
def test_a_chunk_holds_exactly_the_samples_of_its_span(
    canonical: Canonical, tmp_path: Path, audio_format: str, span: Span, samples: slice
) -> None:
    path, expected = canonical
    chunk = tmp_path / "chunk"
    cut_chunk(path, span, chunk, audio_format)
    cut, rate_hz = soundfile.read(chunk, dtype="int16")
    assert rate_hz == 16_000
    assert np.array_equal(cut, expected[samples])
    assert np.array_equal(read_pcm(path, span), expected[samples])


def test_a_chunk_longer_than_a_block_is_whole(tmp_path: Path) -> None:
    samples = np.random.default_rng(1).integers(-9_000, 9_000, 16_000 * 150).astype(np.int16)
    soundfile.write(tmp_path / "long.flac", samples, 16_000)
    cut_chunk(tmp_path / "long.flac", Span(1, 149), tmp_path / "chunk.flac", "flac")
    cut, _ = soundfile.read(tmp_path / "chunk.flac", dtype="int16")
    assert np.array_equal(cut, samples[16_000 : 149 * 16_000])


@pytest.mark.parametrize("audio_format", AUDIO_FORMATS)
def test_every_format_can_be_written_and_decodes_to_the_length_of_its_span(
    ffmpeg: str, tmp_path: Path, audio_format: str
) -> None:
    time_s = np.arange(16_000 * 10) / 16_000
    soundfile.write(tmp_path / "canonical.flac", 0.5 * np.sin(2 * np.pi * 440 * time_s), 16_000)
    chunk = tmp_path / f"chunk.{audio_format}"
    cut_chunk(tmp_path / "canonical.flac", Span(2, 7), chunk, audio_format, ffmpeg=ffmpeg)
    decoded = tmp_path / "decoded.flac"
    info = Decoder(ffmpeg, 60, 60).decode(chunk, decoded, lambda _: None, lambda: None)
    assert info.duration_s == pytest.approx(5.0, abs=0.07)
    assert int(np.argmax(np.abs(np.fft.rfft(read_samples(decoded)[:16_000])))) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("audio_format", ["mp3", "ogg", "m4a"])
def test_lossy_formats_are_smaller_than_flac(ffmpeg: str, tmp_path: Path, audio_format: str) -> None:
    noise = np.random.default_rng(1).integers(-9_000, 9_000, 16_000 * 5).astype(np.int16)
    soundfile.write(tmp_path / "canonical.flac", noise, 16_000)
    cut_chunk(tmp_path / "canonical.flac", Span(0, 5), tmp_path / "chunk", audio_format, ffmpeg=ffmpeg)
    assert (tmp_path / "chunk").stat().st_size < (tmp_path / "canonical.flac").stat().st_size / 2


def test_an_unknown_format_names_the_known_ones(canonical: Canonical, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="flac, wav, mp3, ogg, m4a"):
        cut_chunk(canonical[0], Span(0, 1), tmp_path / "chunk", "wma")


def test_an_encoder_that_fails_is_a_wrong_setting(canonical: Canonical, tmp_path: Path) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(ConfigError, match="cannot write mp3"):
        cut_chunk(canonical[0], Span(0, 1), tmp_path / "chunk", "mp3", ffmpeg=str(program))


@pytest.mark.parametrize("audio_format", ["flac", "wav"])
def test_a_chunk_that_cannot_be_written_is_a_matter_of_storage(
    canonical: Canonical, tmp_path: Path, audio_format: str
) -> None:
    with pytest.raises(StorageError, match="space"):
        cut_chunk(canonical[0], Span(0, 1), tmp_path / "missing" / "chunk", audio_format)


def test_samples_are_read_as_numbers_from_minus_one_to_one(canonical: Canonical, tmp_path: Path) -> None:
    path, expected = canonical
    samples = read_samples(path)
    assert samples.dtype == np.float32
    assert np.array_equal(samples, expected / np.float32(32_768))
    part = read_span(path, Span(1, 2))
    assert part.dtype == np.float32
    assert np.array_equal(part, samples[16_000:32_000])


def test_audio_that_is_not_canonical_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "stereo.wav", np.zeros((100, 2)), 16_000)
    soundfile.write(tmp_path / "fast.wav", np.zeros(100), 44_100)
    (tmp_path / "text.wav").write_text("not a sound")
    for name in ("stereo.wav", "fast.wav", "text.wav"):
        with pytest.raises(UnreadableMedia):
            read_samples(tmp_path / name)


def test_pydub_is_loaded_without_its_warnings_even_without_an_ffmpeg_on_path(tmp_path: Path) -> None:
    script = "from erni.media.audio import _load_pydub; _load_pydub()"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
