"""What is dumped is what is loaded, and nothing else is loaded."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erni import codec
from erni.envelopes import SCHEMA_VERSIONS
from erni.errors import DocumentDamaged
from erni.model import (
    SAMPLE_RATE_HZ,
    Chunk,
    Coverage,
    Diarization,
    EngineUse,
    Gap,
    Notice,
    Plan,
    Recognition,
    Seam,
    Segment,
    Span,
    Transcript,
    Turn,
    Word,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
exact_s = st.floats(0, 1e5)
milliseconds = st.integers(0, 10**8).map(lambda ms: round(ms / 1000, 3))
confidences = st.none() | st.integers(0, 10_000).map(lambda share: round(share / 10_000, 4))
timings = st.sampled_from(["exact", "aligned", "estimated"])
exact_spans = st.builds(Span, exact_s, exact_s)
spans = st.builds(Span, milliseconds, milliseconds)
words = st.builds(Word, texts, milliseconds, milliseconds, confidences, timings, st.none() | texts)
notices = st.builds(Notice, texts, texts, st.none() | spans)


def tuples(items: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(items, max_size=4).map(tuple)


plans = st.builds(
    Plan,
    exact_s,
    tuples(exact_spans),
    tuples(st.builds(Chunk, st.integers(0, 99), exact_spans, exact_spans, st.booleans())),
    texts,
)
recognitions = st.builds(
    Recognition,
    texts,
    texts,
    st.none() | texts,
    tuples(words),
    tuples(notices),
    milliseconds,
    st.none() | st.floats(0, 1),
)
diarizations = st.builds(
    Diarization, texts, texts, tuples(st.builds(Turn, milliseconds, milliseconds, texts)), milliseconds
)
coverages = st.builds(
    Coverage,
    milliseconds,
    milliseconds,
    milliseconds,
    st.integers(0, 10**6),
    tuples(st.builds(Gap, spans, texts, tuples(texts))),
    tuples(st.builds(Seam, milliseconds, st.sampled_from(["silence", "overlap"]), st.integers(0, 9), tuples(texts))),
)
engine_uses = st.builds(
    EngineUse,
    st.sampled_from(["transcriber", "diarizer"]),
    texts,
    texts,
    st.sampled_from(["demo", "production"]),
)
transcripts = st.builds(
    Transcript,
    st.none() | texts,
    tuples(st.builds(Segment, milliseconds, milliseconds, st.none() | texts, tuples(words))),
    tuples(texts),
    coverages,
    tuples(engine_uses),
    tuples(notices),
)


@given(plans)
def test_plan_comes_back_bit_for_bit(plan: Plan) -> None:
    assert codec.load_plan(codec.dump_plan(plan)) == plan


@given(st.integers(0, 48 * 3600 * SAMPLE_RATE_HZ))
def test_plan_times_still_name_the_same_sample(sample: int) -> None:
    plan = Plan(sample / SAMPLE_RATE_HZ, (), ())
    loaded = codec.load_plan(codec.dump_plan(plan))
    assert round(loaded.duration_s * SAMPLE_RATE_HZ) == sample


@given(recognitions)
def test_recognition_comes_back(recognition: Recognition) -> None:
    assert codec.load_recognition(codec.dump_recognition(recognition)) == recognition


@given(diarizations)
def test_diarization_comes_back(diarization: Diarization) -> None:
    assert codec.load_diarization(codec.dump_diarization(diarization)) == diarization


@given(transcripts)
def test_transcript_comes_back(transcript: Transcript) -> None:
    assert codec.load_transcript(codec.dump_transcript(transcript)) == transcript


def test_recognition_without_a_languages_confidence_is_read() -> None:
    document = json.loads(codec.dump_recognition(Recognition("e", "m", "de", (), language_confidence=0.9)))
    del document["body"]["language_confidence"]
    assert codec.load_recognition(json.dumps(document).encode()) == Recognition("e", "m", "de", ())


def test_word_times_are_kept_to_the_millisecond() -> None:
    word = Word("so", 1.23456, 2.00049, 0.987654)
    loaded = codec.load_recognition(codec.dump_recognition(Recognition("e", "m", None, (word,))))
    assert loaded.words == (Word("so", 1.235, 2.0, 0.9877),)


def test_half_a_surrogate_pair_does_not_cost_the_document() -> None:
    recognition = Recognition("e", "m", None, (Word("ok\ud83d", 0.0, 1.0),))
    assert codec.load_recognition(codec.dump_recognition(recognition)).words[0].text == "ok?"


LOADERS: dict[str, Callable[[bytes], object]] = {
    "plan": codec.load_plan,
    "recognition": codec.load_recognition,
    "diarization": codec.load_diarization,
    "transcript": codec.load_transcript,
}


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe{}", b"[]", b"null", b'{"kind": null}', b'{"kind":"plan"}'])
def test_what_is_no_document_is_called_damaged(kind: str, content: bytes) -> None:
    with pytest.raises(DocumentDamaged, match=f"stored {kind} is damaged"):
        LOADERS[kind](content)


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize("body", [None, {}, [], {"words": 3}])
def test_document_with_missing_content_is_called_damaged(kind: str, body: object) -> None:
    content = json.dumps({"kind": kind, "schema_version": 1, "body": body}).encode()
    with pytest.raises(DocumentDamaged, match="content is incomplete"):
        LOADERS[kind](content)


@pytest.mark.parametrize("kind", LOADERS)
def test_document_of_a_newer_version_asks_for_an_upgrade(kind: str) -> None:
    newer = SCHEMA_VERSIONS[kind] + 1
    content = json.dumps({"kind": kind, "schema_version": newer, "body": {}}).encode()
    with pytest.raises(DocumentDamaged, match=f"schema version {newer}.*Upgrade"):
        LOADERS[kind](content)


def test_document_of_another_kind_is_refused() -> None:
    with pytest.raises(DocumentDamaged, match="holds a plan"):
        codec.load_transcript(codec.dump_plan(Plan(1.0, (), ())))


def test_transcript_is_one_json_document_with_a_line_for_each_segment() -> None:
    segment = Segment(0.0, 1.0, "speaker_1", (Word("one\ntwo", 0.0, 1.0),))
    stored = codec.dump_transcript(Transcript("en", (segment, segment), ("speaker_1",), Coverage(1.0, 1.0, 1.0, 2)))
    assert len(json.loads(stored)["body"]["segments"]) == 2
    assert len(stored.splitlines()) == 4


@given(transcripts)
def test_transcript_on_one_line_is_read_too(transcript: Transcript) -> None:
    """As it was written before segments had lines of their own."""
    on_one_line = json.dumps(json.loads(codec.dump_transcript(transcript))).encode()
    assert codec.load_transcript(on_one_line) == transcript


def test_transcript_that_breaks_off_between_two_segments_is_damaged() -> None:
    segment = Segment(0.0, 1.0, None, (Word("one", 0.0, 1.0),))
    stored = codec.dump_transcript(Transcript("en", (segment, segment), (), Coverage(1.0, 1.0, 1.0, 2)))
    for behind in (stored.index(b",\n") + 2, stored.rindex(b"\n"), len(stored) - 1):
        with pytest.raises(DocumentDamaged):
            codec.load_transcript(stored[:behind])


@given(transcripts)
def test_transcript_read_from_a_file_is_the_transcript(transcript: Transcript) -> None:
    assert codec.read_transcript(io.BytesIO(codec.dump_transcript(transcript))) == transcript


def test_two_readers_of_one_file_do_not_disturb_each_other() -> None:
    segments = tuple(Segment(float(at), at + 1.0, None, (Word(f"w{at}", at, at + 1.0),)) for at in range(3))
    stored = codec.dump_transcript(Transcript("en", segments, (), Coverage(3.0, 3.0, 3.0, 3)))
    read = codec.read_transcript(io.BytesIO(stored)).segments
    assert list(zip(read, read, strict=True)) == list(zip(segments, segments, strict=True))
    assert read[-1] == segments[-1]
    assert read[1:] == segments[1:]


def test_damage_to_a_segment_is_told_when_it_is_read() -> None:
    segments = (Segment(0.0, 1.0, None, (Word("one", 0.0, 1.0),)),) * 2
    stored = codec.dump_transcript(Transcript("en", segments, (), Coverage(1.0, 1.0, 1.0, 2)))
    for damage in (stored.replace(b'["one"', b'["one'), stored.replace(b"[0.0,1.0,null,[", b"[0.0,[")):
        read = codec.read_transcript(io.BytesIO(damage))
        with pytest.raises(DocumentDamaged, match="one of its segments"):
            list(read.segments)


def test_places_of_words_are_kept_segment_by_segment() -> None:
    words = tuple(Word(text, 0.0, 0.0, timing="estimated") for text in ("one", "two", "three"))
    places = (Span(0.0, 4.7), Span(0.0, 4.7), Span(4.7, 8.0))
    stored = codec.dump_recognition(Recognition("e", "m", None, words, places=places))
    assert tuple(codec.load_recognition(stored).places) == places
    assert json.loads(stored)["body"]["places"] == [[2, 0.0, 4.7], [1, 4.7, 8.0]]


def test_a_recognition_from_before_there_were_places_has_none() -> None:
    document = json.loads(codec.dump_recognition(Recognition("e", "m", None, (Word("one", 0.0, 1.0),))))
    del document["body"]["places"]
    assert codec.load_recognition(json.dumps(document).encode()).places == ()


def test_a_recognition_with_places_for_some_of_its_words_is_damaged() -> None:
    recognition = Recognition("e", "m", None, (Word("one", 0.0, 1.0), Word("two", 1.0, 2.0)), places=(Span(0, 1),))
    with pytest.raises(DocumentDamaged):
        codec.load_recognition(codec.dump_recognition(recognition))


def test_word_said_in_two_chunks_is_one_string() -> None:
    stored = codec.dump_recognition(Recognition("e", "m", None, (Word("".join(["a", "gain"]), 0.0, 1.0),)))
    first, second = codec.load_recognition(stored), codec.load_recognition(stored)
    assert first.words[0].text is second.words[0].text
