from __future__ import annotations

import math
import subprocess
import time
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
import psutil
import pytest
import soundfile

from erni.errors import (
    ConfigError,
    EmptyUpload,
    ErniError,
    JobStopped,
    MediaTooLong,
    StorageFull,
    UnreadableMedia,
)
from erni.media.ffmpeg import Decoder, find_ffmpeg
from erni.model import MediaInfo

MakeMedia = Callable[..., Path]
LONGEST_CODEC_FRAME_S = 0.07  # WMA pads to its frame of 2048 samples and more

CONTAINERS = {
    "wav": (),
    "mp3": (),
    "m4a": (),
    "flac": (),
    "ogg": ("-c:a", "libvorbis"),
    "opus": ("-c:a", "libopus"),
    "aac": (),
    "wma": (),
    "webm": ("-c:a", "libopus"),
    "aiff": (),
}
VIDEO_CONTAINERS = {
    "mp4": ("-c:v", "mpeg4"),
    "mov": ("-c:v", "mpeg4"),
    "mkv": ("-c:v", "mpeg4"),
    "avi": ("-c:v", "mpeg4", "-c:a", "mp2"),
    "webm": ("-c:v", "libvpx", "-c:a", "libopus"),
    "ts": ("-c:v", "mpeg2video", "-r", "25", "-c:a", "mp2"),
}


@dataclass
class Decoding:
    info: MediaInfo
    handed_out: npt.NDArray[np.int16]
    stored: npt.NDArray[np.int16]


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "canonical.flac"


@pytest.fixture
def decoder(ffmpeg: str) -> Decoder:
    return Decoder(ffmpeg, timeout_s=60, max_duration_s=3600)


@pytest.fixture
def decode(decoder: Decoder, destination: Path) -> Callable[[Path], Decoding]:
    """Decodes a file the way an upload is: without an extension."""

    def run(path: Path) -> Decoding:
        upload = path.with_name("source")
        upload.write_bytes(path.read_bytes())
        blocks: list[npt.NDArray[np.int16]] = []
        info = decoder.decode(upload, destination, blocks.append, lambda: None)
        stored, rate_hz = soundfile.read(destination, dtype="int16")
        assert rate_hz == 16_000
        assert soundfile.info(destination).subtype == "PCM_16"
        return Decoding(info, np.concatenate(blocks), stored)

    return run


def running_ffmpegs() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "ffmpeg" in child.name()]


def tone_hz(samples: npt.NDArray[np.int16]) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples[:16_000]))))


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_becomes_the_same_five_seconds(
    make_media: MakeMedia, decode: Callable[[Path], Decoding], name: str
) -> None:
    decoding = decode(make_media(f"recording.{name}", *CONTAINERS[name]))
    assert decoding.info.duration_s == pytest.approx(5.0, abs=LONGEST_CODEC_FRAME_S)
    assert decoding.info.duration_s == decoding.handed_out.size / 16_000
    assert np.array_equal(decoding.handed_out, decoding.stored)
    assert tone_hz(decoding.stored) == pytest.approx(440, abs=2)
    assert not decoding.info.truncated
    assert decoding.info.codec
    assert decoding.info.container


@pytest.mark.parametrize("name", VIDEO_CONTAINERS)
def test_the_sound_of_a_video_is_decoded(make_media: MakeMedia, decode: Callable[[Path], Decoding], name: str) -> None:
    decoding = decode(make_media(f"film.{name}", *VIDEO_CONTAINERS[name], picture=True))
    assert decoding.info.duration_s == pytest.approx(5.0, abs=LONGEST_CODEC_FRAME_S)
    assert np.array_equal(decoding.handed_out, decoding.stored)
    assert not decoding.info.truncated


@pytest.mark.parametrize(
    ("arguments", "rate_hz", "channels"),
    [
        (("-ar", "8000", "-ac", "1", "-c:a", "pcm_mulaw"), 8_000, 1),
        (("-ar", "192000", "-ac", "2", "-c:a", "pcm_s24le"), 192_000, 2),
        (("-ar", "11025", "-ac", "1", "-c:a", "pcm_u8"), 11_025, 1),
        (("-ar", "37800", "-ac", "2", "-c:a", "pcm_f32le"), 37_800, 2),
        (("-ar", "48000", "-ac", "6", "-c:a", "pcm_s16le"), 48_000, 6),
    ],
)
def test_any_rate_depth_and_channel_count_is_decoded_and_told(
    make_media: MakeMedia,
    decode: Callable[[Path], Decoding],
    arguments: tuple[str, ...],
    rate_hz: int,
    channels: int,
) -> None:
    decoding = decode(make_media("recording.wav", *arguments))
    assert (decoding.info.sample_rate_hz, decoding.info.channels) == (rate_hz, channels)
    assert decoding.stored.size == pytest.approx(80_000, abs=2)
    assert tone_hz(decoding.stored) == pytest.approx(440, abs=2)


def test_every_channel_of_a_surround_recording_is_heard(
    make_media: MakeMedia, decode: Callable[[Path], Decoding]
) -> None:
    tones = "|".join(f"sin({hz}*2*PI*t)/4" for hz in (300, 400, 500, 0, 700, 800))
    decoding = decode(make_media("recording.flac", sound=f"aevalsrc={tones}:c=5.1:s=48000:d=2"))
    spectrum = np.abs(np.fft.rfft(decoding.stored[:16_000]))
    assert all(spectrum[hz] > 20 * np.median(spectrum) for hz in (300, 400, 500, 700, 800))
    assert np.abs(decoding.stored).max() < 32_767


def test_silence_and_a_blip_are_recordings_too(make_media: MakeMedia, decode: Callable[[Path], Decoding]) -> None:
    silence = decode(make_media("silence.mp3", sound="anullsrc=d=3:r=44100"))
    assert silence.info.duration_s == pytest.approx(3.0, abs=LONGEST_CODEC_FRAME_S)
    assert not silence.stored.any()
    blip = decode(make_media("blip.wav", sound="sine=440:d=0.2:r=16000"))
    assert blip.stored.size == 3_200


def test_a_cover_picture_is_not_a_second_track(make_media: MakeMedia, decode: Callable[[Path], Decoding]) -> None:
    path = make_media("song.mp3", "-map", "0", "-map", "1", "-c:v", "png", "-vf", "select=eq(n\\,0)", picture=True)
    assert decode(path).info.duration_s == pytest.approx(5.0, abs=LONGEST_CODEC_FRAME_S)


def test_tags_are_not_stored_and_equal_sound_gives_equal_bytes(
    make_media: MakeMedia, decode: Callable[[Path], Decoding], destination: Path
) -> None:
    decode(make_media("first.flac", "-metadata", "title=Board meeting"))
    first = destination.read_bytes()
    decode(make_media("second.flac", "-metadata", "title=Another"))
    assert destination.read_bytes() == first
    assert b"Board meeting" not in first


def test_tags_cannot_pose_as_a_description_or_a_complaint(
    make_media: MakeMedia, decode: Callable[[Path], Decoding]
) -> None:
    title = "x\n  Stream #0:0: Audio: forged, 1 Hz, mono\n[error] partial file"
    info = decode(make_media("recording.flac", "-metadata", f"title={title}")).info
    assert (info.codec, info.sample_rate_hz, info.truncated) == ("flac", 44_100, False)


def test_sound_that_begins_late_keeps_its_time(
    make_media: MakeMedia, decode: Callable[[Path], Decoding], ffmpeg: str, tmp_path: Path
) -> None:
    film = make_media("film.mkv", "-c:v", "mpeg4", "-c:a", "pcm_s16le", picture=True)
    late = tmp_path / "late.mkv"
    subprocess.run(
        [
            *(ffmpeg, "-nostdin", "-v", "error", "-i", film, "-itsoffset", "1", "-i", film),
            *("-map", "0:v", "-map", "1:a", "-c", "copy", late),
        ],
        check=True,
    )
    stored = decode(late).stored
    assert stored.size / 16_000 == pytest.approx(6.0, abs=0.05)
    assert not stored[: int(0.9 * 16_000)].any()
    assert stored[int(1.1 * 16_000) :].any()


def test_a_hole_in_the_sound_keeps_its_length(make_media: MakeMedia, decode: Callable[[Path], Decoding]) -> None:
    path = make_media("muted.webm", "-af", "aselect='not(between(t,2,3))'", "-c:a", "libopus")
    stored = decode(path).stored
    assert stored.size / 16_000 == pytest.approx(5.0, abs=0.05)
    assert np.abs(stored[int(2.2 * 16_000) : int(2.8 * 16_000)]).max() < 10


@pytest.mark.parametrize("name", ["mp3", "webm", "aac", "mkv"])
def test_recordings_pasted_together_lose_nothing(
    make_media: MakeMedia, decode: Callable[[Path], Decoding], name: str
) -> None:
    path = make_media(f"part.{name}", *({"webm": ("-c:a", "libopus")}.get(name, ())))
    twice = path.with_name("twice")
    twice.write_bytes(path.read_bytes() * 2)
    assert decode(twice).info.duration_s == pytest.approx(10.0, abs=0.1)


def test_sound_that_changes_its_rate_midway_loses_and_gains_nothing(
    make_media: MakeMedia, decode: Callable[[Path], Decoding]
) -> None:
    first, second = (
        make_media("first.mp3", "-ar", "44100"),
        make_media("second.mp3", "-ar", "32000", "-ac", "2"),
    )
    both = first.with_name("both")
    both.write_bytes(first.read_bytes() + second.read_bytes())
    assert decode(both).info.duration_s == pytest.approx(10.0, abs=0.2)


def test_no_bytes_are_an_empty_upload(decoder: Decoder, tmp_path: Path, destination: Path) -> None:
    source = tmp_path / "source"
    source.touch()
    with pytest.raises(EmptyUpload, match="empty"):
        decoder.decode(source, destination, lambda _: None, lambda: None)


@pytest.mark.parametrize("content", [b"Dear all, please find attached the minutes.\n" * 200, b"\0" * 5000, b"x"])
def test_what_is_not_media_is_refused_whatever_its_name(
    decoder: Decoder, tmp_path: Path, destination: Path, content: bytes
) -> None:
    for name in ("source", "letter.wav", "letter.mp3"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnreadableMedia, match="Check that it plays"):
            decoder.decode(tmp_path / name, destination, lambda _: None, lambda: None)
        assert not destination.exists()


def test_a_video_without_sound_is_told_so(make_media: MakeMedia, decode: Callable[[Path], Decoding]) -> None:
    with pytest.raises(UnreadableMedia, match="no sound track"):
        decode(make_media("silent.mp4", "-c:v", "mpeg4", sound=None, picture=True))


def test_an_image_is_refused(make_media: MakeMedia, decode: Callable[[Path], Decoding]) -> None:
    with pytest.raises(UnreadableMedia, match="not accepted"):
        decode(make_media("picture.png", "-frames:v", "1", sound=None, picture=True))


def test_a_recording_without_a_single_sample_holds_no_sound(
    decoder: Decoder, tmp_path: Path, destination: Path
) -> None:
    source = tmp_path / "source"
    with wave.open(str(source), "wb") as sound:
        sound.setparams((1, 2, 16_000, 0, "NONE", ""))
    with pytest.raises(UnreadableMedia):
        decoder.decode(source, destination, lambda _: None, lambda: None)


def test_an_encrypted_file_asks_for_an_unprotected_one(
    make_media: MakeMedia, decode: Callable[[Path], Decoding]
) -> None:
    """Without a random start of the cipher, because of some files a part of the noise can be decoded by chance."""
    key = ("-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "a1b2c3d4e5f60718" * 2, "-fflags", "+bitexact")
    path = make_media("film.m4a", *key, "-encryption_kid", "0" * 32, sound="anoisesrc=d=30:seed=1")
    with pytest.raises(UnreadableMedia, match="copy-protected"):
        decode(path)


def test_an_mp4_without_its_index_asks_for_another_upload(
    make_media: MakeMedia, decode: Callable[[Path], Decoding]
) -> None:
    path = make_media("recording.m4a")
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(UnreadableMedia, match=r"incomplete.*[Uu]pload it again"):
        decode(path)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("wav", ()),
        ("mp3", ()),
        ("flac", ()),
        ("webm", ("-c:a", "libopus")),
        ("m4a", ("-movflags", "+faststart")),
    ],
)
def test_of_a_file_that_breaks_off_the_beginning_is_kept(
    make_media: MakeMedia, decode: Callable[[Path], Decoding], name: str, arguments: tuple[str, ...]
) -> None:
    path = make_media(f"recording.{name}", *arguments, sound="anoisesrc=d=5:r=44100:a=0.3:seed=1")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    decoding = decode(path)
    assert decoding.info.truncated
    assert decoding.info.duration_s == pytest.approx(3.0, abs=0.3)
    assert np.array_equal(decoding.handed_out, decoding.stored)


def test_a_wav_written_to_a_pipe_is_not_taken_for_broken(
    make_media: MakeMedia, decode: Callable[[Path], Decoding], ffmpeg: str
) -> None:
    path = make_media("recording.wav")
    piped = subprocess.check_output([ffmpeg, "-nostdin", "-v", "error", "-i", path, "-f", "wav", "pipe:1"])
    path.write_bytes(piped)
    decoding = decode(path)
    assert not decoding.info.truncated
    assert decoding.stored.size == 80_000


@pytest.mark.parametrize(
    "playlist",
    [
        "ffconcat version 1.0\nfile secret.wav\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:{secret}\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nsecret.wav\n#EXT-X-ENDLIST\n",
        (
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet>'
            "<Representation><BaseURL>file:{secret}</BaseURL></Representation></AdaptationSet></Period></MPD>"
        ),
        '<svg xmlns="http://www.w3.org/2000/svg"><image href="file:{secret}"/></svg>',
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
    ],
    ids=["concat", "hls-absolute", "hls-relative", "dash", "svg", "sdp"],
)
@pytest.mark.parametrize("name", ["source", "source.m3u8", "source.wav"])
def test_an_upload_that_names_another_file_reads_nothing_of_it(
    make_media: MakeMedia, decoder: Decoder, destination: Path, playlist: str, name: str
) -> None:
    secret = make_media("secret.wav")
    upload = secret.with_name(name)
    upload.write_text(playlist.format(secret=secret))
    heard: list[npt.NDArray[np.int16]] = []
    with pytest.raises(UnreadableMedia):
        decoder.decode(upload, destination, heard.append, lambda: None)
    assert not heard
    assert not destination.exists()


def test_the_playlist_attack_works_on_an_unguarded_ffmpeg(make_media: MakeMedia, ffmpeg: str) -> None:
    """Else the test above would prove nothing."""
    secret = make_media("secret.wav")
    upload = secret.with_name("source")
    upload.write_text("ffconcat version 1.0\nfile secret.wav\n")
    heard = subprocess.check_output([ffmpeg, "-nostdin", "-v", "error", "-i", upload, "-f", "s16le", "pipe:1"])
    assert len(heard) == secret.stat().st_size - 78


@pytest.mark.parametrize("name", ["-version", "http:~x.wav", "a b;'$(touch x).wav", "concat:a|b", "%03d.wav"])
def test_a_name_is_never_an_option_a_protocol_or_a_pattern(
    make_media: MakeMedia, decoder: Decoder, destination: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = make_media("recording.wav")
    monkeypatch.chdir(recording.parent)
    source = recording.rename(recording.parent / name).relative_to(recording.parent)
    assert decoder.decode(source, destination, lambda _: None, lambda: None).duration_s == pytest.approx(5.0)


def test_a_recording_beyond_the_limit_is_refused_with_the_limit_named(
    make_media: MakeMedia, ffmpeg: str, destination: Path
) -> None:
    source = make_media("recording.flac", sound="sine=440:d=120:r=16000")
    decoder = Decoder(ffmpeg, timeout_s=60, max_duration_s=36)
    with pytest.raises(MediaTooLong, match=r"0\.01 hours \(36 s\)"):
        decoder.decode(source, destination, lambda _: None, lambda: None)
    assert not destination.exists()
    assert running_ffmpegs() == []


def test_a_recording_of_just_the_limit_is_accepted(make_media: MakeMedia, ffmpeg: str, destination: Path) -> None:
    source = make_media("recording.flac", sound="sine=440:d=12:r=16000")
    decoder = Decoder(ffmpeg, timeout_s=60, max_duration_s=12)
    assert decoder.decode(source, destination, lambda _: None, lambda: None).duration_s == 12


def test_decoding_that_takes_too_long_is_ended(make_media: MakeMedia, ffmpeg: str, destination: Path) -> None:
    source = make_media("recording.flac", sound="sine=440:d=600:r=16000")
    decoder = Decoder(ffmpeg, timeout_s=0.3, max_duration_s=3600)
    with pytest.raises(UnreadableMedia, match=r"longer than 0\.3 s"):
        decoder.decode(source, destination, lambda _: time.sleep(0.1), lambda: None)
    assert not destination.exists()
    assert running_ffmpegs() == []


def test_a_stopped_job_ends_the_process_and_leaves_nothing(
    make_media: MakeMedia, decoder: Decoder, destination: Path
) -> None:
    source = make_media("recording.flac", sound="sine=440:d=600:r=16000")
    heard: list[int] = []

    def stop_after_two_blocks() -> None:
        if len(heard) == 2:
            raise JobStopped("cancelled")

    with pytest.raises(JobStopped):
        decoder.decode(source, destination, lambda block: heard.append(block.size), stop_after_two_blocks)
    assert heard == [160_000, 160_000]
    assert not destination.exists()
    assert running_ffmpegs() == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_is_told_as_such(make_media: MakeMedia, decoder: Decoder, destination: Path) -> None:
    source = make_media("recording.flac", sound="anoisesrc=d=60:r=16000")
    destination.symlink_to("/dev/full")
    with pytest.raises(StorageFull) as caught:
        decoder.decode(source, destination, lambda _: None, lambda: None)
    assert caught.value.retryable
    assert not destination.is_symlink()


def test_a_file_that_makes_ffmpeg_talk_without_end_does_not_block(
    make_media: MakeMedia, decode: Callable[[Path], Decoding]
) -> None:
    path = make_media("recording.mp3", "-b:a", "320k", sound="anoisesrc=d=120:r=44100:seed=1")
    content = bytearray(path.read_bytes())
    noise = np.random.default_rng(1)
    for place in noise.integers(4096, len(content), 30_000):
        content[place] = int(noise.integers(256))
    path.write_bytes(content)
    decoding = decode(path)
    # Damaged frames claim other rates and times, so the length is only about right.
    assert math.isclose(decoding.info.duration_s, 120, rel_tol=0.3)
    assert decoding.info.codec == "mp3"


def test_the_configured_ffmpeg_wins(ffmpeg: str) -> None:
    assert find_ffmpeg(ffmpeg) == ffmpeg


def test_a_configured_ffmpeg_that_is_not_there_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Correct or unset"):
        find_ffmpeg(str(tmp_path / "ffmpeg"))


def test_without_one_on_path_the_wheel_brings_ffmpeg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_ffmpeg(None) == imageio_ffmpeg.get_ffmpeg_exe()


def test_messages_never_quote_what_ffmpeg_said(decoder: Decoder, tmp_path: Path, destination: Path) -> None:
    source = tmp_path / "Minutes of the secret meeting"
    source.write_bytes(b"x" * 1000)
    with pytest.raises(ErniError) as caught:
        decoder.decode(source, destination, lambda _: None, lambda: None)
    assert "secret" not in caught.value.message


def test_the_header_tells_the_length_before_anything_is_decoded(make_media: MakeMedia, decoder: Decoder) -> None:
    source = make_media("recording.mp3", sound="sine=440:d=120:r=16000")
    assert decoder.promised_duration_s(source) == pytest.approx(120.0, abs=0.2)


@pytest.mark.parametrize("content", [b"", b"no media"])
def test_a_header_that_says_nothing_promises_nothing(decoder: Decoder, tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "recording.mp3"
    source.write_bytes(content)
    assert decoder.promised_duration_s(source) == 0.0
