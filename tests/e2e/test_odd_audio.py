"""Recordings that are not what one hopes for: each ends in the right state, with a message that helps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.client import ErniClient

pytestmark = [pytest.mark.stack, pytest.mark.models]

SAMPLE = Path(__file__).parents[2] / "samples" / "standup.flac"
Ffmpeg = Callable[..., None]


def run(client: ErniClient, file: Path, **options: str) -> dict[str, Any]:
    return client.wait(client.submit(file, {"language": "en", **options})["id"])


def transcript(client: ErniClient, job: dict[str, Any]) -> dict[str, Any]:
    return json.loads(client.transcript(job["id"], "json"))


def codes(job: dict[str, Any]) -> set[str]:
    return {warning["code"] for warning in job["warnings"]}


@pytest.mark.parametrize(
    "source",
    ["anullsrc=r=44100:cl=stereo:d=12", "anoisesrc=a=0.003:d=12:c=pink", "anoisesrc=a=0.2:d=12:c=white"],
)
def test_silence_and_noise_give_an_empty_transcript_that_says_so(
    client: ErniClient, ffmpeg: Ffmpeg, tmp_path: Path, source: str
) -> None:
    file = tmp_path / "quiet.wav"
    ffmpeg("-f", "lavfi", "-i", source, file)
    job = run(client, file)
    assert job["status"] == "succeeded"
    assert "no_speech" in codes(job)
    assert transcript(client, job)["segments"] == []
    assert "No speech" in client.transcript(job["id"], "txt").decode()


def test_an_empty_file_is_refused_at_once(client: ErniClient, tmp_path: Path) -> None:
    file = tmp_path / "empty.wav"
    file.touch()
    with pytest.raises(Exception, match="empty"):
        client.submit(file)


def test_a_truncated_m4a_fails_with_advice(client: ErniClient, ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole.m4a", tmp_path / "broken.m4a"
    ffmpeg("-i", SAMPLE, "-t", "20", "-c:a", "aac", whole)
    broken.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    job = run(client, broken)
    assert job["status"] == "failed"
    assert job["error"]["code"] == "unreadable_media"
    assert "incomplete" in job["error"]["message"]


def test_text_named_wav_fails_with_advice(client: ErniClient, tmp_path: Path) -> None:
    file = tmp_path / "minutes.wav"
    file.write_text("The minutes of the meeting.\n" * 100)
    job = run(client, file)
    assert job["status"] == "failed"
    assert job["error"]["code"] == "unreadable_media"


def test_a_video_without_sound_fails_with_advice(client: ErniClient, ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    file = tmp_path / "mute.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc=d=2:s=64x64:r=5", "-c:v", "mpeg4", file)
    job = run(client, file)
    assert job["status"] == "failed"
    assert "sound" in job["error"]["message"]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("surround.wav", ["-af", "pan=5.1|FC=c0", "-ar", "48000"]),
        ("phone.wav", ["-ar", "8000"]),
        ("studio.wav", ["-ar", "192000", "-c:a", "pcm_s24le"]),
        ("memo.mp3", ["-c:a", "libmp3lame", "-b:a", "64k"]),
        ("chat.ogg", ["-c:a", "libopus", "-b:a", "24k"]),
    ],
)
def test_the_same_talk_in_any_dress_gives_its_words(
    client: ErniClient, ffmpeg: Ffmpeg, tmp_path: Path, name: str, arguments: list[str]
) -> None:
    file = tmp_path / name
    ffmpeg("-i", SAMPLE, "-t", "13", *arguments, file)
    job = run(client, file)
    assert job["status"] == "succeeded"
    text = " ".join(segment["text"] for segment in transcript(client, job)["segments"]).lower()
    assert "good morning" in text
    assert "search page" in text
    assert job["duration_s"] == pytest.approx(13, abs=0.2)


def test_the_sound_of_a_video_is_transcribed(client: ErniClient, ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    file = tmp_path / "talk.mp4"
    picture = ["-f", "lavfi", "-i", "testsrc=d=13:s=64x64:r=5"]
    ffmpeg(*picture, "-i", SAMPLE, "-t", "13", "-c:v", "mpeg4", "-c:a", "aac", file)
    job = run(client, file)
    assert job["status"] == "succeeded"
    assert "meeting" in client.transcript(job["id"], "txt").decode()


def test_a_blip_is_neither_an_error_nor_a_speech(client: ErniClient, ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    file = tmp_path / "blip.wav"
    ffmpeg("-ss", "1.0", "-i", SAMPLE, "-t", "0.2", file)
    job = run(client, file)
    assert job["status"] == "succeeded"
    assert len(transcript(client, job)["segments"]) <= 1
