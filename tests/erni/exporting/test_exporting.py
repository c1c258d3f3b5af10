"""All formats: golden files byte for byte, and what must hold for any transcript."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from erni.errors import UnknownFormat
from erni.exporting import FORMATS, render
from erni.model import Coverage, Gap, Notice, Seam, Segment, Span, Transcript, Word

GOLDEN = Path(__file__).parents[2] / "data" / "golden"
DOCS = Path(__file__).parents[3] / "docs"
MAX_LINE_CHARS = 42
CLOCK = r"(\d{2,}):([0-5]\d):([0-5]\d)"

short_words = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=14) | st.sampled_from(
    ["end.", "clause,", "<b>", "&amp;", "-->", "7", "WEBVTT", "NOTE", "字幕。", "שלום"]
)
long_words = st.text(st.characters(categories=["L", "M"]), min_size=43, max_size=200)
speaker_ids = st.none() | st.sampled_from(["speaker_1", "speaker_2", "speaker_3"])
gap_list = st.lists(st.builds(Gap, st.builds(Span, st.floats(0, 300), st.floats(300, 400)), short_words), max_size=3)


@st.composite
def transcripts(draw: st.DrawFn, spoken: st.SearchStrategy[str] = short_words) -> Transcript:
    """Words that mostly follow one another, sometimes overlap and sometimes lie at the wrong place."""
    time_s = 0.0
    segments: list[Segment] = []
    for _ in range(draw(st.integers(0, 5))):
        speaker = draw(speaker_ids)
        words: list[Word] = []
        for text in draw(st.lists(spoken, min_size=1, max_size=25)):
            start_s = max(0.0, time_s + draw(st.sampled_from([0.0, 0.0, 0.0, 0.02, 0.4, 3.0, -0.5])))
            time_s = start_s + draw(st.sampled_from([0.0, 0.1, 0.3, 0.3, 1.0, 20.0]))
            words.append(Word(text, start_s, time_s, draw(st.none() | st.floats(0, 1)), speaker=speaker))
        start_s, end_s = min(word.start_s for word in words), max(word.end_s for word in words)
        segments.append(Segment(start_s, end_s, speaker, tuple(words)))
    speakers = sorted({segment.speaker for segment in segments if segment.speaker})
    count = sum(len(segment.words) for segment in segments)
    coverage = Coverage(time_s, time_s, time_s, count, tuple(draw(gap_list)), (Seam(time_s, "overlap", 1, ("a",)),))
    notice = Notice("code", "message", draw(st.none() | st.just(Span(1.0, 2.0))))
    return Transcript("en", tuple(segments), tuple(speakers), coverage, (), (notice,))


def text_of(transcript: Transcript, format_name: str) -> str:
    return b"".join(render(transcript, format_name).parts).decode("utf-8")


def to_ms(hours: str, minutes: str, seconds: str, milliseconds: str) -> int:
    return ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + int(milliseconds)


def parse_srt(text: str) -> list[tuple[int, int, list[str]]]:
    """An independent reader: start and end in milliseconds, and lines."""
    cues = []
    for number, block in enumerate(text.split("\n\n") if text else [], start=1):
        head, times, *lines = block.strip("\n").split("\n")
        assert head == str(number)
        match = re.fullmatch(rf"{CLOCK},(\d{{3}}) --> {CLOCK},(\d{{3}})", times)
        assert match is not None
        cues.append((to_ms(*match.groups()[:4]), to_ms(*match.groups()[4:]), lines))
    return cues


def parse_vtt(text: str) -> list[tuple[int, int, list[str]]]:
    """An independent reader: voice tags taken off, comments passed over."""
    head, *blocks = text.rstrip("\n").split("\n\n")
    assert head == "WEBVTT"
    cues = []
    for block in blocks:
        if block.startswith("NOTE "):
            assert "-->" not in block
            assert "\n" not in block
            continue
        times, *lines = block.split("\n")
        match = re.fullmatch(rf"{CLOCK}\.(\d{{3}}) --> {CLOCK}\.(\d{{3}})", times)
        assert match is not None
        lines[0] = re.sub(r"^<v [^<>\n]+>", "", lines[0])
        assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", "".join(lines))
        cues.append((to_ms(*match.groups()[:4]), to_ms(*match.groups()[4:]), [html.unescape(x) for x in lines]))
    return cues


def tells_of_gap(lines: list[str]) -> bool:
    return re.fullmatch(rf"\[not transcribed: {CLOCK}–{CLOCK}\]", " ".join(lines)) is not None


def spoken_words(cues: list[tuple[int, int, list[str]]]) -> list[str]:
    """Words in order; a label opens the first line of a cue."""
    lines = [
        re.sub(r"^(Speaker \d|Unknown speaker):( |$)", "", line) if index == 0 else line
        for _, _, cue_lines in cues
        if not tells_of_gap(cue_lines)
        for index, line in enumerate(cue_lines)
    ]
    return " ".join(lines).split()


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("kind", ["rich", "empty"])
def test_export_equals_its_golden_file(
    kind: str, format_name: str, rich_transcript: Transcript, empty_transcript: Transcript
) -> None:
    transcript = {"rich": rich_transcript, "empty": empty_transcript}[kind]
    rendered = render(transcript, format_name)
    assert b"".join(rendered.parts) == (GOLDEN / f"{kind}.{rendered.extension}").read_bytes()


def test_every_golden_file_belongs_to_a_format() -> None:
    expected = {f"{kind}.{row.extension}" for kind in ("rich", "empty") for row in FORMATS.values()}
    assert {path.name for path in GOLDEN.iterdir()} == expected


def test_unknown_format_is_refused_with_the_known_ones(empty_transcript: Transcript) -> None:
    with pytest.raises(UnknownFormat, match="'docx'; choose one of json, srt, vtt, txt") as caught:
        render(empty_transcript, "docx")
    assert caught.value.field == "format"


def test_half_a_surrogate_pair_does_not_cost_the_transcript() -> None:
    word = Word("ok\ud83d", 0.0, 1.0)
    transcript = Transcript("en", (Segment(0.0, 1.0, None, (word,)),), (), Coverage(1.0, 1.0, 1.0, 1))
    for format_name in FORMATS:
        assert "ok?" in text_of(transcript, format_name)


@given(transcripts())
def test_every_word_is_in_every_format_once_and_in_order(transcript: Transcript) -> None:
    expected = [word.text for word in transcript.words]
    assert spoken_words(parse_srt(text_of(transcript, "srt"))) == expected
    assert spoken_words(parse_vtt(text_of(transcript, "vtt"))) == expected
    document = json.loads(text_of(transcript, "json"))
    assert [word["text"] for segment in document["segments"] for word in segment["words"]] == expected
    assert document["text"].split() == expected
    assert document["coverage"]["words"] == len(expected)


@given(transcripts())
def test_every_gap_is_in_every_format_once(transcript: Transcript) -> None:
    gaps = len(transcript.coverage.gaps)
    assert sum(tells_of_gap(lines) for _, _, lines in parse_srt(text_of(transcript, "srt"))) == gaps
    assert sum(tells_of_gap(lines) for _, _, lines in parse_vtt(text_of(transcript, "vtt"))) == gaps
    assert text_of(transcript, "vtt").count("\nNOTE 00:0") == gaps
    assert len(json.loads(text_of(transcript, "json"))["coverage"]["gaps"]) == gaps


@given(transcripts())
def test_every_word_is_in_the_text_once_and_in_order(transcript: Transcript) -> None:
    head = re.compile(rf"\[{CLOCK}\] ?((Speaker \d|Unknown speaker):)? ")
    paragraphs = text_of(transcript, "txt").rstrip("\n").split("\n\n")
    spoken = [head.sub("", paragraph, count=1) for paragraph in paragraphs if head.match(paragraph)]
    assert " ".join(spoken).split() == [word.text for word in transcript.words]
    not_transcribed = [paragraph for paragraph in paragraphs if re.match(rf"\[{CLOCK}–{CLOCK}: ", paragraph)]
    assert len(not_transcribed) == len(transcript.coverage.gaps)


def test_a_caption_that_begins_inside_a_cut_word_keeps_to_its_lines() -> None:
    words = tuple(Word("A" * length, 0.0, 0.0) for length in (127, 85))
    segment = Segment(0.0, 0.0, None, words)
    transcript = Transcript("en", (segment,), (), Coverage(0.0, 0.0, 0.0, 2))
    for _, _, lines in parse_vtt(text_of(transcript, "vtt")):
        assert all(0 < len(line) <= 42 for line in lines)


@given(transcripts(short_words | long_words))
def test_words_too_long_for_a_line_lose_no_character(transcript: Transcript) -> None:
    expected = "".join(word.text for word in transcript.words)
    for parse, format_name in ((parse_srt, "srt"), (parse_vtt, "vtt")):
        assert "".join(spoken_words(parse(text_of(transcript, format_name)))) == expected


@given(transcripts(short_words | long_words))
def test_captions_are_small_short_and_apart(transcript: Transcript) -> None:
    for cues in (parse_srt(text_of(transcript, "srt")), parse_vtt(text_of(transcript, "vtt"))):
        previous_end_ms = 0
        for start_ms, end_ms, lines in cues:
            assert 1 <= len(lines) <= 2
            assert all(0 < len(line) <= MAX_LINE_CHARS for line in lines)
            assert 120 <= end_ms - start_ms <= 7_000
            assert start_ms == previous_end_ms or start_ms - previous_end_ms >= 80 or previous_end_ms == 0
            assert start_ms >= previous_end_ms
            previous_end_ms = end_ms


def closed(schema: Any) -> Any:
    """The schema with no room for fields it does not name."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {name: closed(part) for name, part in schema.items()}
    return parts | {"additionalProperties": False} if schema.get("type") == "object" else parts


SCHEMA = json.loads((DOCS / "transcript.schema.json").read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(closed(SCHEMA))


def test_schema_itself_is_valid() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("kind", ["rich", "empty"])
def test_golden_json_fits_the_published_schema(kind: str) -> None:
    VALIDATOR.validate(json.loads((GOLDEN / f"{kind}.json").read_text(encoding="utf-8")))


@given(transcripts())
def test_any_json_fits_the_published_schema(transcript: Transcript) -> None:
    VALIDATOR.validate(json.loads(text_of(transcript, "json")))


def test_schema_refuses_a_document_that_lacks_a_field() -> None:
    document = json.loads((GOLDEN / "rich.json").read_text(encoding="utf-8"))
    del document["segments"][0]["words"][0]["timing"]
    assert [error.message for error in VALIDATOR.iter_errors(document)] == ["'timing' is a required property"]


def test_every_field_of_the_schema_is_documented() -> None:
    page = (DOCS / "transcript.md").read_text(encoding="utf-8")
    objects = [SCHEMA, *SCHEMA["$defs"].values()]
    fields = {name for part in objects for name in part.get("properties", {})}
    assert {name for name in fields if f"`{name}`" not in page} == set()
