"""What the vendors hear, for real and by script."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from erni.errors import UnreadableMedia
from erni.media.ffmpeg import find_ffmpeg
from erni.model import SAMPLE_RATE_HZ
from vendors.listening import LocalListening, ScriptedListening

SAMPLE = Path(__file__).parents[2] / "samples" / "standup.flac"
CLIP_S = 13.0


@pytest.fixture(scope="module")
def listening() -> LocalListening:
    return LocalListening()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 13 s of the sample, two speakers, as Opus."""
    folder = tmp_path_factory.mktemp("clip")
    samples, _ = soundfile.read(SAMPLE, dtype="int16", stop=int(CLIP_S * SAMPLE_RATE_HZ))
    soundfile.write(folder / "clip.wav", samples, SAMPLE_RATE_HZ)
    files = ("-i", str(folder / "clip.wav"), "-c:a", "libopus", str(folder / "clip.ogg"))
    subprocess.run([find_ffmpeg(None), "-v", "error", *files], check=True)
    return folder / "clip.ogg"


@pytest.mark.models
def test_a_compressed_file_is_heard(listening: LocalListening, clip: Path) -> None:
    assert listening.duration_s(clip) == pytest.approx(CLIP_S, abs=0.1)
    words = listening.transcribe(clip, "en").words
    assert "good morning" in " ".join(word.text for word in words).lower()


@pytest.mark.models
def test_a_language_the_recogniser_lacks_is_not_insisted_on(listening: LocalListening, clip: Path) -> None:
    assert listening.transcribe(clip, "de").language == "en"


@pytest.mark.models
def test_as_many_speakers_are_told_apart_as_were_asked_for(listening: LocalListening, clip: Path) -> None:
    assert len({turn.speaker for turn in listening.diarize(clip, 2).turns}) == 2


@pytest.mark.models
def test_silence_has_neither_speakers_nor_voices(listening: LocalListening, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silence.flac", np.zeros(5 * SAMPLE_RATE_HZ, np.int16), SAMPLE_RATE_HZ)
    assert listening.diarize(tmp_path / "silence.flac").turns == ()
    assert len(listening.embed(tmp_path / "silence.flac").windows) == 0


def test_what_is_no_sound_is_said_to_be_unreadable(listening: LocalListening, tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(b"no sound at all")
    with pytest.raises(UnreadableMedia):
        listening.duration_s(tmp_path / "a.flac")


def test_a_scripted_ear_names_words_for_their_audio_and_covers_it(clip: Path) -> None:
    words = ScriptedListening().transcribe(clip).words
    assert len({word.text.split("-")[0] for word in words}) == 1
    assert words[-1].end_s == pytest.approx(CLIP_S, abs=0.4)
    assert [turn.speaker for turn in ScriptedListening().diarize(clip, 3).turns] == [
        "SPEAKER_00",
        "SPEAKER_01",
        "SPEAKER_02",
    ]
