"""What ffmpeg says on its standard error, understood. Pure: text in, values out."""

from __future__ import annotations

import re
from typing import Final

from erni.errors import UnreadableMedia
from erni.model import MediaInfo

# With ``-loglevel level+info`` each line carries its level. Two blanks of indentation mark a stream; the tags
# an uploader can write freely are indented further, so that they can pose neither as one nor as a complaint.
_CONTAINER: Final = re.compile(r"^\[info\] Input #0, (?P<container>.+), from 'file:", re.MULTILINE)
_DURATION: Final = re.compile(r"^\[info\]   Duration: (\d+):(\d\d):(\d\d\.\d+),", re.MULTILINE)
_STREAM: Final = re.compile(r"^\[info\]   Stream #0:\d+\S*: (?P<kind>\w+): (?P<rest>.*)$", re.MULTILINE)
_AUDIO: Final = re.compile(r"^(?P<codec>\w+).*?, (?P<rate>\d+) Hz, (?P<layout>[^,]+)")

_COMPLAINT: Final = re.compile(r"^(?:\[[^\[\]]+ @ 0x[0-9a-f]+\] )*\[(?:warning|error|fatal)\] .*$", re.MULTILINE)

_BROKEN_OFF: Final = ("partial file", "File ended prematurely", "Packet corrupt", "corrupt input packet")
_ENDLESS_WAV: Final = "Ignoring maximum wav data size"
_UNDECODABLE: Final = "Invalid data found"
LEAST_DECODED: Final = 0.1
"""Of the length its header promises; below this a file with undecodable packets is refused, above it is shortened."""
_GUESSED_DURATION: Final = "Estimating duration from bitrate"

_PLAYS = "Check that it plays, or send it as MP3 or WAV."
_NO_SOUND_REASONS: Final = (
    ("moov atom not found", "The file is incomplete: its index, written last, is missing. Upload it again."),
    ("matches no streams", "The file has no sound track. Send a recording with sound."),
    ("DRM protected", "The file is copy-protected. Send an unprotected copy."),
    ("codec none", f"The sound is in an unknown encoding or copy-protected. {_PLAYS}"),
    ("Format not on whitelist", "This kind of file is not accepted. Send the recording itself, as MP3, WAV or MP4."),
    (_UNDECODABLE, f"This is not a sound or video file, or it is damaged or copy-protected. {_PLAYS}"),
)
"""ffmpeg's words, and ours for people; the first that is found counts."""


def is_noise(text: str, duration_s: float) -> bool:
    """Whether so little could be decoded that it is chance: of a copy-protected file, up to one frame in twenty
    looks like sound.
    """
    return _UNDECODABLE in _complaints(text) and duration_s < LEAST_DECODED * promised_duration_s(text)


def explain_no_sound(text: str) -> UnreadableMedia:
    """Why nothing could be decoded, from what ffmpeg said."""
    complaints = _complaints(text)
    for sign, message in _NO_SOUND_REASONS:
        if sign in complaints:
            return UnreadableMedia(message)
    return UnreadableMedia("The file holds no sound. Check that it plays, and send it again.")


def parse_media_info(text: str, duration_s: float) -> MediaInfo:
    """What the upload was. Fields ffmpeg did not tell are ``None``; ``duration_s`` is what was decoded."""
    description = _input_description(text)
    container = _CONTAINER.search(description)
    audio = next((_AUDIO.match(stream["rest"]) for stream in _streams(description, "Audio")), None)
    return MediaInfo(
        duration_s=duration_s,
        codec=audio["codec"] if audio else None,
        container=container["container"] if container else None,
        sample_rate_hz=int(audio["rate"]) if audio else None,
        channels=_count_channels(audio["layout"]) if audio else None,
        truncated=_is_truncated(text, duration_s),
    )


def _count_channels(layout: str) -> int | None:
    """ffmpeg's channel layout as a number: ``stereo``, ``5.1(side)``, ``3 channels``."""
    name = layout.split("(", maxsplit=1)[0].strip()
    if count := re.match(r"(\d+) channels", name):
        return int(count[1])
    if mains_and_subwoofers := re.fullmatch(r"(\d+)\.(\d+)", name):
        return int(mains_and_subwoofers[1]) + int(mains_and_subwoofers[2])
    return {"mono": 1, "stereo": 2, "downmix": 2, "quad": 4, "hexagonal": 6, "octagonal": 8}.get(name)


def _is_truncated(text: str, duration_s: float) -> bool:
    complaints = _complaints(text)
    # A WAV written to a pipe has no length in its header, and its last packet is always "corrupt".
    if _ENDLESS_WAV in complaints:
        return False
    if any(sign in complaints for sign in _BROKEN_OFF):
        return True
    missing_s = promised_duration_s(text) - duration_s
    return missing_s > max(0.5, 0.01 * duration_s)


def promised_duration_s(text: str) -> float:
    """Length of the sound according to the file's header, 0 where it does not tell.

    ffmpeg prints one duration for the whole file: beside video it says nothing about the sound.
    """
    description = _input_description(text)
    pictures = sum("(attached pic)" in video["rest"] for video in _streams(description, "Video"))
    is_only_sound = len(_streams(description)) - pictures == 1
    duration = _DURATION.search(description)
    if duration is None or not is_only_sound or _GUESSED_DURATION in _complaints(text):
        return 0.0
    hours, minutes, seconds = duration.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _streams(description: str, kind: str | None = None) -> list[re.Match[str]]:
    return [stream for stream in _STREAM.finditer(description) if kind in (None, stream["kind"])]


def _input_description(text: str) -> str:
    """The part about the input; the description of the outputs follows below it and looks alike."""
    return text.split("\n[info] Stream mapping:", 1)[0]


def _complaints(text: str) -> str:
    """Warnings and errors only: other lines quote tags."""
    return "\n".join(_COMPLAINT.findall(text))
