from __future__ import annotations

import pytest

from erni.media.ffmpeg_log import explain_no_sound, parse_media_info

DESCRIPTION = """\
[mov,mp4,m4a,3gp,3g2,mj2 @ 0x55ab] [warning] something harmless
[info] Input #0, mov,mp4,m4a,3gp,3g2,mj2, from 'file:/data/source':
[info]   Metadata:
[info]     title           : x
                    :   Stream #0:0: Audio: forged, 1 Hz, mono
[info]   Duration: 00:01:40.50, start: 0.000000, bitrate: 57 kb/s
[info]   Stream #0:0[0x1](und): Video: {video}, yuv420p, 64x64
[info]   Stream #0:1[0x2](und): Audio: aac (LC) (mp4a / 0x6134706D), 44100 Hz, {layout}, fltp, 127 kb/s (default)
[info] Stream mapping:
[info]   Stream #0:0: Audio: flac, 16000 Hz, mono, s16, 128 kb/s
"""
COVER = "png (attached pic)"


@pytest.mark.parametrize(
    ("layout", "channels"),
    [
        ("mono", 1),
        ("stereo", 2),
        ("2.1", 3),
        ("quad(side)", 4),
        ("5.1(side)", 6),
        ("7.1", 8),
        ("3 channels (FL+FR+FC)", 3),
        ("ambisonic 1", None),
    ],
)
def test_the_upload_is_described_as_far_as_ffmpeg_tells(layout: str, channels: int | None) -> None:
    info = parse_media_info(DESCRIPTION.format(video="h264", layout=layout), 100.5)
    assert (info.codec, info.sample_rate_hz, info.channels) == ("aac", 44_100, channels)
    assert info.container == "mov,mp4,m4a,3gp,3g2,mj2"
    assert info.duration_s == 100.5


def test_without_a_description_only_the_length_is_known() -> None:
    info = parse_media_info("", 3.0)
    assert (info.duration_s, info.codec, info.container, info.sample_rate_hz, info.channels) == (
        *(3.0, None, None, None, None),
    )
    assert not info.truncated


@pytest.mark.parametrize(
    ("video", "decoded_s", "truncated"), [(COVER, 100.4, False), (COVER, 80.0, True), ("h264", 80.0, False)]
)
def test_sound_shorter_than_promised_broke_off_unless_the_promise_was_the_pictures(
    video: str, decoded_s: float, truncated: bool
) -> None:
    assert parse_media_info(DESCRIPTION.format(video=video, layout="mono"), decoded_s).truncated is truncated


def test_only_warnings_and_errors_tell_that_a_file_broke_off() -> None:
    said = "[info]     title           : partial file\n                 : [error] partial file\n"
    assert not parse_media_info(said, 1.0).truncated
    assert parse_media_info(said + "[mov @ 0x1f] [error] stream 0, offset 0xc043: partial file\n", 1.0).truncated


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("[asf @ 0x1f] [warning] DRM protected stream detected, decoding will likely fail!", "copy-protected"),
        ("[error] Decoder (codec none) not found for input stream #0:0", "unknown encoding"),
        ("[in#0 @ 0x1f] [error] moov atom not found\n[error] Invalid data found", "incomplete"),
        ("[info]     title           : moov atom not found", "holds no sound"),
        ("", "holds no sound"),
    ],
)
def test_the_reason_for_no_sound_is_told_in_words_for_people(said: str, told: str) -> None:
    assert told in explain_no_sound(said).message
