from __future__ import annotations

import random
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erni.chunking import PAD_S, ChunkLimits, plan_chunks
from erni.errors import ConfigError
from erni.model import Chunk, Plan, Span

LIMITS = ChunkLimits(target_s=60, max_s=90, overlap_s=2, min_silence_s=0.2)
SAMPLE_S = 1 / 16_000


def phrases(length_s: float, speech_s: float, silence_s: float, start_s: float = 0.0) -> list[Span]:
    """Speech and silence by turns for ``length_s``, ending with speech."""
    spans = []
    at_s = start_s
    while at_s < start_s + length_s - 1e-9:
        spans.append(Span(at_s, min(at_s + speech_s, start_s + length_s)))
        at_s += speech_s + silence_s
    return spans


def audio_lengths(plan: Plan) -> list[float]:
    return [chunk.audio.duration_s for chunk in plan.chunks]


def samples(time_s: float) -> int:
    count = time_s * 16_000
    assert count == pytest.approx(round(count), abs=1e-5), "times are whole samples"
    return round(count)


def test_no_speech_gives_no_chunks() -> None:
    assert plan_chunks(600, [], LIMITS) == Plan(600, (), ())


def test_a_blip_is_one_chunk_with_silence_around_it() -> None:
    plan = plan_chunks(100, [Span(50.0, 50.2)], LIMITS)
    assert plan.chunks == (Chunk(0, own=Span(0, 100), audio=Span(49.85, 50.35)),)


def test_padding_stays_within_the_recording() -> None:
    plan = plan_chunks(30, [Span(0.05, 29.95)], LIMITS)
    assert plan.chunks[0].audio == Span(0, 30)


@pytest.mark.parametrize("length_s", [62, 118, 122, 179, 181, 300, 3601])
def test_chunks_are_of_even_length(length_s: float) -> None:
    plan = plan_chunks(length_s, phrases(length_s, 2.7, 0.3), LIMITS)
    count = -(-length_s // 60)
    assert len(plan.chunks) == count
    assert all(chunk.own.duration_s == pytest.approx(length_s / count, rel=0.1) for chunk in plan.chunks)


def test_speech_of_the_target_length_is_one_chunk() -> None:
    assert len(plan_chunks(60, phrases(60, 2.7, 0.3), LIMITS).chunks) == 1


def test_a_cut_is_in_the_middle_of_a_silence() -> None:
    plan = plan_chunks(70, [Span(0, 34), Span(36, 70)], LIMITS)
    assert [chunk.own for chunk in plan.chunks] == [Span(0, 35), Span(35, 70)]
    assert [chunk.audio for chunk in plan.chunks] == [Span(0, 34 + PAD_S), Span(36 - PAD_S, 70)]


def test_a_longer_silence_is_preferred_to_a_nearer_one() -> None:
    speech = [Span(0, 34.8), Span(35.1, 45), Span(46, 70)]
    assert plan_chunks(70, speech, LIMITS).chunks[0].own.end_s == 45.5


def test_padding_keeps_off_the_neighbours_speech() -> None:
    plan = plan_chunks(70, [Span(0, 34.9), Span(35.1, 70)], LIMITS)
    first, second = plan.chunks
    assert first.audio.end_s == second.audio.start_s == 35.0
    assert not first.overlaps_next


def test_speech_without_a_silence_is_cut_with_overlap() -> None:
    plan = plan_chunks(120, [Span(0, 120)], LIMITS)
    assert [chunk.own for chunk in plan.chunks] == [Span(0, 60), Span(60, 120)]
    assert [chunk.audio for chunk in plan.chunks] == [Span(0, 61), Span(59, 120)]
    assert [chunk.overlaps_next for chunk in plan.chunks] == [True, False]


def test_a_breath_is_preferred_to_the_middle_of_a_word_but_overlaps() -> None:
    plan = plan_chunks(120, [Span(0, 55), Span(55.1, 120)], LIMITS)
    first, second = plan.chunks
    assert first.own.end_s == pytest.approx(55.05)
    assert first.overlaps_next
    assert first.audio.end_s - second.audio.start_s == pytest.approx(2)


def test_without_an_overlap_a_hard_cut_shares_nothing() -> None:
    plan = plan_chunks(120, [Span(0, 120)], ChunkLimits(60, 90, 0, 0.2))
    assert [chunk.audio for chunk in plan.chunks] == [Span(0, 60), Span(60, 120)]
    assert not any(chunk.overlaps_next for chunk in plan.chunks)


def test_a_long_silence_separates_chunks() -> None:
    speech = phrases(40, 2.7, 0.3) + phrases(40, 2.7, 0.3, start_s=50)
    plan = plan_chunks(90, speech, ChunkLimits(100, 120, 2, 0.2))
    assert [chunk.own for chunk in plan.chunks] == [Span(0, 45), Span(45, 90)]
    assert sum(audio_lengths(plan)) < 81


def test_a_long_silence_stays_inside_where_that_saves_an_encoder_window() -> None:
    plan = plan_chunks(60, [Span(0, 10), Span(16, 17), Span(25, 29), Span(45, 46)], LIMITS)
    assert [chunk.audio for chunk in plan.chunks] == [Span(0, 29 + PAD_S), Span(45 - PAD_S, 46 + PAD_S)]


def test_a_target_beyond_the_maximum_is_lowered() -> None:
    plan = plan_chunks(100, phrases(100, 2.7, 0.3), ChunkLimits(60, 25, 2, 0.2))
    assert max(audio_lengths(plan)) <= 25
    assert len(plan.chunks) == 5


def test_speech_given_untidily_is_put_in_order() -> None:
    plan = plan_chunks(10, [Span(5, 7), Span(-1, 2), Span(6, 8), Span(9, 12), Span(3, 3)], LIMITS)
    assert plan.speech == (Span(0, 2), Span(5, 8), Span(9, 10))


def test_the_audio_format_is_passed_on() -> None:
    assert plan_chunks(10, [Span(0, 1)], LIMITS, "mp3").audio_format == "mp3"


@pytest.mark.parametrize(
    ("target_s", "max_s", "overlap_s", "min_silence_s"),
    [
        (0, 90, 2, 0.2),
        (60, -1, 2, 0.2),
        (60, 90, -1, 0.2),
        (60, 90, 30, 0.2),
        (3, 90, 2, 0.2),
        (60, 90, 2, 0),
        (60, 90, 2, 20),
    ],
)
def test_limits_that_cannot_be_kept_are_a_wrong_setting(
    target_s: float, max_s: float, overlap_s: float, min_silence_s: float
) -> None:
    with pytest.raises(ConfigError):
        ChunkLimits(target_s, max_s, overlap_s, min_silence_s)


@st.composite
def recordings(draw: st.DrawFn) -> tuple[float, list[Span]]:
    """Silences and speech by turns, from far too short to far too long."""
    lengths = st.one_of(st.floats(0.001, 1), st.floats(0.1, 10), st.floats(10, 300))
    at_s = draw(st.floats(0, 5))
    speech = []
    for silence_s, speech_s in draw(st.lists(st.tuples(lengths, lengths), max_size=60)):
        speech.append(Span(at_s + silence_s, at_s + silence_s + speech_s))
        at_s = speech[-1].end_s
    return at_s + draw(st.floats(0, 5)), speech


@st.composite
def limits(draw: st.DrawFn) -> ChunkLimits:
    max_s = draw(st.floats(1, 200))
    overlap_s = draw(st.floats(0, max_s / 8))
    target_s = draw(st.floats(max(0.5, 2 * overlap_s), 250))
    min_silence_s = draw(st.floats(0.01, min(max_s / 8, target_s / 4)))
    return ChunkLimits(target_s, max_s, overlap_s, min_silence_s, draw(st.floats(0.5, 30)))


@given(recordings(), limits())
def test_every_sample_of_speech_is_in_exactly_one_chunk_and_heard_by_it(
    recording: tuple[float, list[Span]], limits: ChunkLimits
) -> None:
    duration_s, speech = recording
    plan = plan_chunks(duration_s, speech, limits)
    if not plan.speech:
        assert plan.chunks == ()
        return
    assert plan.chunks[0].own.start_s == 0
    assert samples(plan.chunks[-1].own.end_s) == round(duration_s * 16_000)
    for before, after in pairwise(plan.chunks):
        assert before.own.end_s == after.own.start_s
    for chunk in plan.chunks:
        heard = [Span(max(s.start_s, chunk.own.start_s), min(s.end_s, chunk.own.end_s)) for s in plan.speech]
        heard = [span for span in heard if span.duration_s > 0]
        assert heard
        assert samples(chunk.audio.start_s) <= samples(heard[0].start_s)
        assert samples(heard[-1].end_s) <= samples(chunk.audio.end_s)


@given(recordings(), limits())
def test_no_audio_is_longer_than_the_maximum(recording: tuple[float, list[Span]], limits: ChunkLimits) -> None:
    plan = plan_chunks(*recording, limits)
    assert all(0 < length_s <= limits.max_s + 1e-9 for length_s in audio_lengths(plan))
    assert [chunk.index for chunk in plan.chunks] == list(range(len(plan.chunks)))
    assert all(chunk.audio.end_s <= round(plan.duration_s * 16_000) / 16_000 for chunk in plan.chunks)


@given(recordings(), limits())
def test_a_cut_is_either_in_a_silence_and_shares_nothing_or_overlaps(
    recording: tuple[float, list[Span]], limits: ChunkLimits
) -> None:
    plan = plan_chunks(*recording, limits)
    for before, after in pairwise(plan.chunks):
        cut_s = before.own.end_s
        silence_s = min(
            min((s.start_s for s in plan.speech if s.end_s > cut_s), default=cut_s) - cut_s,
            cut_s - max((s.end_s for s in plan.speech if s.start_s < cut_s), default=cut_s),
        )
        shared_s = before.audio.end_s - after.audio.start_s
        if before.overlaps_next:
            assert silence_s <= limits.min_silence_s / 2 + 2 * SAMPLE_S
            half_s = limits.overlap_s / 2
            to_share_s = min(half_s, cut_s) + min(half_s, plan.duration_s - cut_s)
            assert shared_s == pytest.approx(to_share_s, abs=3 * SAMPLE_S)
        else:
            assert shared_s <= 1e-9
            least_s = min(limits.min_silence_s, limits.max_inner_silence_s)
            assert silence_s >= least_s / 2 - 2 * SAMPLE_S or limits.overlap_s < 2 * SAMPLE_S


@given(st.lists(st.tuples(st.floats(0.2, 1.5), st.floats(0.5, 20)), min_size=1, max_size=200))
def test_no_cut_is_hard_where_silences_are_within_reach(pieces: list[tuple[float, float]]) -> None:
    speech, at_s = [], 0.0
    for silence_s, speech_s in pieces:
        speech.append(Span(at_s + silence_s + SAMPLE_S, at_s + silence_s + SAMPLE_S + speech_s))
        at_s = speech[-1].end_s
    plan = plan_chunks(at_s, speech, LIMITS)
    assert not any(chunk.overlaps_next for chunk in plan.chunks)
    spoken_s = speech[-1].end_s - speech[0].start_s
    assert len(plan.chunks) <= spoken_s // 30 + 2


def test_a_hundred_thousand_spans_are_planned_in_seconds_and_always_alike() -> None:
    rng = random.Random(1)  # noqa: S311  made-up speech, no secret
    speech, at_s = [], 0.0
    for _ in range(100_000):
        start_s = at_s + rng.expovariate(2)
        at_s = start_s + rng.expovariate(0.5)
        speech.append(Span(start_s, at_s))
    began = time.perf_counter()
    plan = plan_chunks(at_s, speech, LIMITS)
    assert time.perf_counter() - began < 10
    assert plan == plan_chunks(at_s, speech, LIMITS)
