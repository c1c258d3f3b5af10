"""How long captions are shown and whose they are."""

from __future__ import annotations

from erni.exporting.captions import Caption, build_captions
from erni.model import Coverage, Gap, Segment, Span, Transcript, Word


def transcript(
    *lines: tuple[float, float, str | None, str], duration_s: float = 60.0, gaps: tuple[Gap, ...] = ()
) -> Transcript:
    """Lines of start, end, speaker and text; the words share the time of their line."""
    segments = []
    for start_s, end_s, speaker, text in lines:
        parts = text.split()
        step_s = (end_s - start_s) / len(parts)
        words = tuple(
            Word(part, start_s + index * step_s, start_s + (index + 1) * step_s, speaker=speaker)
            for index, part in enumerate(parts)
        )
        segments.append(Segment(start_s, end_s, speaker, words))
    speakers = sorted({speaker for _, _, speaker, _ in lines if speaker})
    return Transcript("en", tuple(segments), tuple(speakers), Coverage(duration_s, 0.0, 0.0, 0, gaps))


def captions(
    *lines: tuple[float, float, str | None, str], duration_s: float = 60.0, gaps: tuple[Gap, ...] = ()
) -> list[Caption]:
    return list(build_captions(transcript(*lines, duration_s=duration_s, gaps=gaps), name_speakers=True))


def times(*lines: tuple[float, float, str | None, str], duration_s: float = 60.0) -> list[tuple[int, int]]:
    return [(caption.start_ms, caption.end_ms) for caption in captions(*lines, duration_s=duration_s)]


def test_short_word_is_shown_for_a_second() -> None:
    assert times((3.0, 3.2, None, "Yes.")) == [(3000, 4000)]


def test_fast_speech_is_shown_until_it_can_be_read() -> None:
    text = "Thirty-four characters of text, ok"
    assert times((0.0, 1.0, None, text)) == [(0, 2000)]


def test_slow_speech_is_shown_until_it_is_spoken() -> None:
    assert times((0.0, 5.0, None, "Well, no.")) == [(0, 5000)]


def test_last_caption_ends_with_the_recording() -> None:
    assert times((9.7, 9.9, None, "Bye."), duration_s=10.2) == [(9700, 10_200)]


def test_caption_gives_way_to_the_next() -> None:
    assert times((0.0, 1.2, "a", "Who wants to go first today?"), (1.3, 3.0, "b", "I do.")) == [
        (0, 1300),
        (1300, 3000),
    ]


def test_gap_too_short_to_see_is_closed() -> None:
    assert times((0.0, 2.0, "a", "One."), (2.05, 4.0, "b", "Two."))[0] == (0, 2050)


def test_gap_of_two_frames_is_kept() -> None:
    assert times((0.0, 2.0, "a", "One."), (2.08, 4.0, "b", "Two."))[0] == (0, 2000)


def test_next_caption_waits_half_a_second_at_most() -> None:
    assert times((0.0, 0.2, "a", "Yes."), (0.3, 2.0, "b", "No.")) == [(0, 800), (800, 2000)]


def test_people_talking_at_once_never_share_the_screen() -> None:
    shown = times((0.0, 4.0, "a", "All of it."), (0.0, 4.0, "b", "None of it."), (0.1, 4.0, "c", "Some."))
    assert shown == [(0, 500), (500, 700), (700, 4000)]


def test_speakers_are_named_when_they_change() -> None:
    shown = captions(
        (0.0, 1.0, "speaker_1", "One."), (9.0, 10.0, "speaker_1", "Two."), (20.0, 21.0, "speaker_2", "Three.")
    )
    assert [caption.lines for caption in shown] == [("Speaker 1: One.",), ("Two.",), ("Speaker 2: Three.",)]


def test_only_speaker_is_not_named() -> None:
    assert captions((0.0, 1.0, "speaker_1", "Alone."))[0].lines == ("Alone.",)


def test_word_without_speaker_is_not_read_as_the_previous_speakers() -> None:
    shown = captions((0.0, 1.0, "speaker_1", "One."), (9.0, 10.0, None, "Two."))
    assert shown[1].lines == ("Unknown speaker: Two.",)


def test_nothing_is_named_where_speakers_are_not_told_apart() -> None:
    assert captions((0.0, 1.0, None, "One."))[0].speaker is None


def test_no_words_are_no_captions() -> None:
    assert captions() == []


def gap(start_s: float, end_s: float) -> Gap:
    return Gap(Span(start_s, end_s), "Lost.")


def test_gap_is_shown_where_it_begins_for_as_long_as_a_caption_may_be() -> None:
    shown = captions((0.0, 1.0, None, "One."), (50.0, 51.0, None, "Two."), gaps=(gap(10.0, 45.5),))
    assert [(caption.start_ms, caption.lines) for caption in shown] == [
        (0, ("One.",)),
        (10_000, ("[not transcribed: 00:00:10\N{EN DASH}00:00:46]",)),
        (50_000, ("Two.",)),
    ]
    assert shown[1].end_ms == 17_000
    assert shown[1].gap == gap(10.0, 45.5)


def test_short_gap_is_shown_until_it_can_be_read() -> None:
    shown = captions((0.0, 1.0, None, "One."), (50.0, 51.0, None, "Two."), gaps=(gap(10.0, 10.2),))
    assert (shown[1].start_ms, shown[1].end_ms) == (10_000, 12_117)


def test_speaker_is_named_again_after_a_gap() -> None:
    lines = [(0.0, 1.0, "a", "One."), (2.0, 3.0, "b", "Two."), (20.0, 21.0, "b", "Three.")]
    shown = captions(*lines, gaps=(gap(5.0, 20.0),))
    assert [caption.lines[0] for caption in shown] == [
        "a: One.",
        "b: Two.",
        "[not transcribed: 00:00:05\N{EN DASH}00:00:20]",
        "b: Three.",
    ]


def test_gaps_at_both_ends_are_shown() -> None:
    shown = captions((10.0, 11.0, None, "One."), gaps=(gap(30.0, 60.0), gap(0.0, 10.0)))
    assert [(caption.start_ms, caption.gap is None) for caption in shown] == [
        (0, False),
        (10_000, True),
        (30_000, False),
    ]
