"""The parts of JSON and text that golden files show only by example."""

from __future__ import annotations

import json
from dataclasses import replace

from erni.exporting.documents import render_json, render_txt
from erni.model import Coverage, Gap, PieceUse, Segment, Span, SpeakerName, Transcript, Word

UNASKED = {"name": None, "voiceprint": None, "score": None, "margin": None}
EMPTY = Transcript("en", (), (), Coverage(60.0, 0.0, 0.0, 0))


def segment(start_s: float, end_s: float, speaker: str | None, text: str) -> Segment:
    return Segment(start_s, end_s, speaker, (Word(text, start_s, end_s, speaker=speaker),))


def paragraphs(*segments: Segment, gaps: tuple[Gap, ...] = (), speakers: tuple[str, ...] = ()) -> list[str]:
    coverage = replace(EMPTY.coverage, gaps=gaps)
    transcript = replace(EMPTY, segments=segments, coverage=coverage, speakers=speakers)
    return "".join(render_txt(transcript)).rstrip("\n").split("\n\n")


def test_talk_time_and_words_are_counted_per_speaker() -> None:
    segments = (
        segment(0.0, 1.5, "speaker_1", "a"),
        segment(2.0, 3.0, "x", "b"),
        segment(3.0, 4.25, "speaker_1", "c"),
    )
    document = json.loads("".join(render_json(replace(EMPTY, segments=segments, speakers=("speaker_1", "x")))))
    assert document["speakers"] == [
        {"id": "speaker_1", "label": "Speaker 1", **UNASKED, "talk_s": 2.75, "words": 2},
        {"id": "x", "label": "x", **UNASKED, "talk_s": 1.0, "words": 1},
    ]


def test_known_voice_keeps_its_label_beside_its_name() -> None:
    named = replace(
        EMPTY,
        segments=(segment(0.0, 1.0, "speaker_1", "a"), segment(1.0, 2.0, "speaker_2", "b")),
        speakers=("speaker_1", "speaker_2"),
        names=(SpeakerName("speaker_1", "Anna", "f" * 32, 0.93, 0.4), SpeakerName("speaker_2", None, None, 0.2)),
    )
    known, stranger = json.loads("".join(render_json(named)))["speakers"]
    assert known["label"] == "Speaker 1"
    assert {name: known[name] for name in UNASKED} == {
        "name": "Anna",
        "voiceprint": "f" * 32,
        "score": 0.93,
        "margin": 0.4,
    }
    assert {name: stranger[name] for name in UNASKED} == {**UNASKED, "score": 0.2}
    assert "".join(render_txt(named)).split("\n\n")[0] == "[00:00:00] Anna: a"
    assert "Speaker 2: b" in "".join(render_txt(named))


def test_pieces_tell_which_engines_were_given_up() -> None:
    document = json.loads("".join(render_json(replace(EMPTY, pieces=(PieceUse(Span(0.0, 9.0), "b", "m", ("a",)),)))))
    assert document["pieces"] == [{"start_s": 0.0, "end_s": 9.0, "engine": "b", "model": "m", "given_up": ["a"]}]


def test_segments_of_one_turn_are_one_paragraph() -> None:
    assert paragraphs(segment(1.0, 2.0, None, "One."), segment(3.9, 5.0, None, "Two.")) == ["[00:00:01] One. Two."]


def test_long_pause_begins_a_paragraph() -> None:
    assert len(paragraphs(segment(1.0, 2.0, None, "One."), segment(4.0, 5.0, None, "Two."))) == 2


def test_gap_divides_a_turn() -> None:
    gap = Gap(Span(2.0, 2.5), "Lost.")
    assert paragraphs(segment(1.0, 2.0, None, "One."), segment(2.5, 3.0, None, "Two."), gaps=(gap,)) == [
        "[00:00:01] One.",
        "[00:00:02\N{EN DASH}00:00:03: not transcribed: Lost.]",
        "[00:00:02] Two.",
    ]


def test_recording_of_gaps_alone_is_not_called_silent() -> None:
    gap = Gap(Span(0.0, 60.0), "Lost.")
    assert paragraphs(gaps=(gap,)) == ["[00:00:00\N{EN DASH}00:01:00: not transcribed: Lost.]"]


def test_gap_names_the_engines_that_were_tried() -> None:
    gap = Gap(Span(0.0, 60.0), "Lost.", ("whisper", "other"))
    assert paragraphs(gaps=(gap,)) == ["[00:00:00\N{EN DASH}00:01:00: not transcribed: Lost. (tried: whisper, other)]"]


def test_line_break_in_a_word_opens_no_paragraph() -> None:
    assert paragraphs(segment(1.0, 2.0, "a\n\nb", "x\n\ny"), speakers=("a\n\nb",)) == ["[00:00:01] a b: x y"]
