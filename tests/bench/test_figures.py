"""What sections make of their readings: slopes, growth, imports, rows of the table."""

from __future__ import annotations

import io
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import soundfile
from rich.console import Console

from bench.__main__ import result_name
from bench.engine import Call
from bench.memory import growth, not_flat
from bench.overhead import beyond_engines_s
from bench.overhead import summarise as summarise_overhead
from bench.recordings import shuffle_sample
from bench.records import STEPS
from bench.records import measure as measure_records
from bench.scaling import describe
from bench.speed import Recording, compare, take_turns, word_error_rate
from bench.startup import heaviest_imports, parse_imports
from bench.summary import Bound, Row, render_table, summarise
from bench.traffic import Count, blob_kind
from bench.traffic import summarise as summarise_traffic
from erni.jobs import Step, StepKind

SAMPLE = Path(__file__).parent.parent.parent / "samples" / "standup.flac"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def make_step(part: int, start_s: float, end_s: float, engine_s: float) -> Step:
    begun, ended = (NOON + timedelta(seconds=seconds) for seconds in (start_s, end_s))
    return Step("0" * 32, StepKind.TRANSCRIBE, part, "ok", 1, begun, ended, engine_s=engine_s)


def test_scaling_compares_the_records_with_the_latencies_of_the_right_chunks() -> None:
    steps = [make_step(0, 0.0, 2.1, 2.05), make_step(1, 0.1, 1.2, 1.05), make_step(2, 1.3, 2.5, 1.06)]
    calls = [Call(10.0, 1.0, 0.0, 1.0), Call(10.1, 1.01, 0.0, 1.0), Call(20.0, 2.0, 0.0, 2.0)]
    row = describe(2, steps, calls)
    assert (row["chunks"], row["engine_s"], row["actual_s"]) == (3, 4.01, 2.5)
    assert (row["ideal_s"], row["efficiency"]) == (2.0, 0.802)
    assert (row["in_order_s"], row["longest_first_s"]) == (2.01, 2.01)
    assert (row["whole_chunks_s"], row["whole_chunks_efficiency"]) == (2.01, 0.804)
    assert (row["ramp_s"], row["gap_ms"], row["tail_s"], row["beyond_engine_ms"]) == (0.1, 100.0, 0.4, 100.0)


def test_overhead_is_the_line_over_medians_of_equal_jobs() -> None:
    runs = [
        {"chunks": 1, "wall_s": 0.12, "cpu_s": 0.05, "cpu_by_kind": {"redis": 0.01}},
        {"chunks": 1, "wall_s": 0.12, "cpu_s": 0.05, "cpu_by_kind": {"redis": 0.01}},
        {"chunks": 1, "wall_s": 9.0, "cpu_s": 9.0, "cpu_by_kind": {"redis": 0.01}},
        {"chunks": 11, "wall_s": 0.32, "cpu_s": 0.15, "cpu_by_kind": {"redis": 0.06, "api": 0.02}},
    ]
    figures = summarise_overhead(runs)
    assert (figures["job_ms"], figures["chunk_ms"]) == (100.0, 20.0)
    assert (figures["job_cpu_ms"], figures["chunk_cpu_ms"]) == (40.0, 10.0)
    assert figures["chunk_cpu_by_kind_ms"] == {"api": 2.0, "redis": 5.0}


def test_the_slowest_engine_is_no_overhead() -> None:
    timings = {"total_s": 3.0, "transcribe_s": 2.6, "transcribe_engine_s": 2.5, "embed_engine_s": 1.0}
    assert beyond_engines_s(timings) == 0.5
    assert beyond_engines_s({"total_s": 3.0}) == 3.0


def test_what_an_idle_stack_asks_is_no_jobs() -> None:
    idle = Count(0, 10.0, 0.0, {"redis_commands": 20.0}, {"get": 20.0})
    runs = [
        Count(1, 5.0, 60.0, {"redis_commands": 160.0}, {"get": 160.0}),
        Count(10, 20.0, 600.0, {"redis_commands": 1090.0}, {"get": 1090.0}, {"source": 1000}),
    ]
    figures = summarise_traffic(runs, idle)
    # 150 and 1,050 without the idle stack's two per second.
    assert figures["totals"]["redis_commands"] == {"per_chunk": 100.0, "per_job": 50.0}
    assert figures["commands_per_chunk"] == {"get": 100.0}
    assert figures["idle_per_s"] == {"redis_commands": 2.0}
    assert figures["blob_bytes_per_hour"] == {"source": 6000}


@pytest.mark.parametrize(
    ("path", "kind"),
    [("chunks/00003.flac", "chunks/*.flac"), ("chunks/00003.json", "chunks/*.json"), ("audio.flac", "audio.flac")],
)
def test_chunks_blobs_are_one_kind_by_suffix(path: str, kind: str) -> None:
    assert blob_kind(path) == kind


def test_growth_is_measured_from_the_length_that_first_needs_the_process() -> None:
    peaks = {
        "1 min": {"api": 90.0, "worker long": 50.0},
        "10 min": {"api": 100.0, "worker long": 50.0},
        "1 h": {"api": 101.0, "worker long": 200.0, "ffmpeg": 40.0},
        "10 h": {"api": 112.0, "worker long": 210.0, "ffmpeg": 40.0},
    }
    assert growth(peaks) == {"api": 1.12, "worker long": 1.05}
    assert not_flat(peaks) == ["api"]


def test_imports_are_summed_by_package_and_the_heaviest_named() -> None:
    log = (
        "import time: self [us] | cumulative | imported package\n"
        "import time:   1000000 |    3000000 |   torch.nn\n"
        "import time:   2000000 |    2000000 | torch\n"
        "something else\n"
        "import time:    500000 |     500000 | celery\n"
        "import time:     10000 |      10000 | json\n"
        "import time:     20000 |      20000 | re\n"
    )
    spent = parse_imports(log)
    assert spent == Counter(torch=3_000_000, celery=500_000, re=20_000, json=10_000)
    assert heaviest_imports(spent) == {"all": 3.53, "torch": 3.0, "celery": 0.5, "re": 0.02}


def test_the_records_are_changed_as_often_as_is_said(tmp_path: Path) -> None:
    figures = measure_records(tmp_path)
    with closing(sqlite3.connect(tmp_path / "bench-records.db")) as connection:
        (count,) = connection.execute("SELECT count(*) FROM job_steps WHERE status = 'ok'").fetchone()
    assert count == STEPS
    assert figures["per_s"] > 0


def test_contestants_take_turns() -> None:
    order: list[str] = []

    def runner(name: str) -> object:
        def run(_: Path) -> dict[str, object]:
            order.append(name)
            return {"total_s": 1.0}

        return run

    taken = take_turns({"erni": runner("erni"), "batched": runner("batched")}, Path("a.wav"), 2)  # type: ignore[dict-item]  # close enough
    assert order == ["erni", "batched", "erni", "batched"]
    assert {name: len(runs) for name, runs in taken.items()} == {"erni": 2, "batched": 2}


def test_of_each_contestant_the_best_run_is_compared() -> None:
    taken = {
        "erni": [
            {"total_s": 4.0, "text": "no", "cpu": {}},
            {"total_s": 2.0, "text": "a b c d", "cpu": {"redis": 1.0}, "join_s": 0.5},
        ],
        "sequential": [{"total_s": 3.0, "text": "a b c"}, {"total_s": 6.0, "text": ""}],
    }
    row = compare(Recording(Path("x.wav"), "A, b c d.", 100.0), taken)
    assert row["rtf"] == {"erni": 0.02, "sequential": 0.03}
    assert row["times_faster"] == {"sequential": 1.5}
    assert row["wer"] == {"erni": 0.0, "sequential": 0.25}
    assert row["parts"]["erni"] == {"total_s": 2.0, "join_s": 0.5}
    assert row["cpu_s"] == {"redis": 1.0}


def test_without_a_reference_there_is_no_error_rate() -> None:
    assert word_error_rate("", "anything") is None


def test_the_shuffled_sample_is_as_long_as_asked_and_the_same_every_time(tmp_path: Path) -> None:
    for name in ("first.flac", "second.flac"):
        shuffle_sample(SAMPLE, 200.0, tmp_path / name)
    samples, rate = soundfile.read(tmp_path / "first.flac", dtype="int16")
    assert len(samples) == 200 * rate
    assert (tmp_path / "first.flac").read_bytes() == (tmp_path / "second.flac").read_bytes()


def test_the_shuffled_sample_does_not_repeat_itself(tmp_path: Path) -> None:
    shuffle_sample(SAMPLE, 400.0, tmp_path / "shuffled.wav")
    samples, rate = soundfile.read(tmp_path / "shuffled.wav", dtype="int16")
    minutes = [samples[start : start + 60 * rate].tobytes() for start in range(0, 360 * rate, 60 * rate)]
    assert len(set(minutes)) == 6


def test_a_longer_shuffled_sample_begins_differently(tmp_path: Path) -> None:
    for length_s in (70.0, 80.0):
        shuffle_sample(SAMPLE, length_s, tmp_path / f"{length_s:.0f}.wav")
    starts = [soundfile.read(tmp_path / name, frames=60 * 16_000)[0].tobytes() for name in ("70.wav", "80.wav")]
    assert starts[0] != starts[1]


@pytest.mark.parametrize(
    ("sign", "value", "verdict"), [(">=", 0.95, "kept"), (">=", 0.949, "MISSED"), ("<=", 0.96, "MISSED")]
)
def test_a_row_says_whether_it_keeps_its_bound(sign: str, value: float, verdict: str) -> None:
    assert Row("scaling", "efficiency", value, Bound(sign, 0.95)).verdict == verdict  # type: ignore[arg-type]  # both occur
    assert Row("scaling", "efficiency", value).verdict == ""


def test_the_table_has_the_sections_that_ran_with_their_bounds() -> None:
    figures = {
        "machine": "any",
        "scaling": {
            "slots": [
                {"slots": 8, "efficiency": 0.9, "whole_chunks_efficiency": 0.97},
                {"slots": 16, "efficiency": 0.9, "whole_chunks_efficiency": 0.96},
            ]
        },
    }
    rows = summarise(figures)
    assert [(row.figure, row.verdict) for row in rows] == [
        ("efficiency, 8 slots", ""),
        ("of what whole chunks allow, 8 slots", ""),
        ("efficiency, 16 slots", "MISSED"),
        ("of what whole chunks allow, 16 slots", ""),
    ]
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(render_table(rows))
    assert ">= 0.95" in console.export_text()


def test_results_are_named_by_date_and_machine() -> None:
    name = result_name(NOON)
    assert name.startswith("2026-01-01T1200-")
    assert name.endswith(".json")
