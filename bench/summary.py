"""One table over all sections: figure, value, the bound it is held to, and whether it keeps it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from operator import ge, le
from typing import Any, Final, Literal

from rich.table import Table

Figures = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Bound:
    """What a value must not go below (``>=``) or above (``<=``)."""

    sign: Literal["<=", ">="]
    limit: float

    def holds(self, value: float) -> bool:
        compare: Callable[[float, float], bool] = ge if self.sign == ">=" else le
        return compare(value, self.limit)

    def __str__(self) -> str:
        return f"{self.sign} {self.limit:g}"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    section: str
    figure: str
    value: float
    bound: Bound | None = None

    @property
    def verdict(self) -> str:
        if self.bound is None:
            return ""
        return "kept" if self.bound.holds(self.value) else "MISSED"


RTF: Final = Bound("<=", 0.045)
TIMES_FASTER: Final = Bound(">=", 1.5)
EFFICIENCY: Final[Mapping[int, Bound]] = {16: Bound(">=", 0.95), 32: Bound(">=", 0.9)}
"""By number of slots."""
GROWTH: Final = Bound("<=", 1.1)
UPLOAD_RATIO: Final = Bound("<=", 1.5)
REPEAT_CALLS: Final = Bound("<=", 0)
WITHIN_LIMITS: Final = Bound("<=", 1.15)
NONE: Final = Bound("<=", 0)


def summarise(figures: Figures) -> list[Row]:
    """The rows of the sections that ran, in the order of the table."""
    return [row for section, read in SECTIONS.items() if section in figures for row in read(figures[section])]


def render_table(rows: list[Row]) -> Table:
    """For a terminal."""
    table = Table("section", "figure", "value", "bound", "")
    for row in rows:
        table.add_row(row.section, row.figure, f"{row.value:g}", str(row.bound or ""), row.verdict)
    return table


def _read_speed(recordings: list[Figures]) -> Iterator[Row]:
    for recording in recordings:
        name = recording["recording"]
        yield Row("speed", f"{name}: Erni, x real time", recording["rtf"]["erni"], RTF)
        for baseline, ratio in recording["times_faster"].items():
            bound = TIMES_FASTER if baseline == "sequential" else None
            yield Row("speed", f"{name}: times faster than {baseline}", ratio, bound)
        for who, rate in recording["wer"].items():
            if rate is not None:
                yield Row("speed", f"{name}: word error rate, {who}", rate)


def _read_scaling(figures: Figures) -> Iterator[Row]:
    for row in figures["slots"]:
        yield Row("scaling", f"efficiency, {row['slots']} slots", row["efficiency"], EFFICIENCY.get(row["slots"]))
        yield Row("scaling", f"of what whole chunks allow, {row['slots']} slots", row["whole_chunks_efficiency"])


def _read_overhead(figures: Figures) -> Iterator[Row]:
    yield Row("overhead", "10 s clip beyond its engines, median s", figures["median_s"])
    for name in ("job_ms", "chunk_ms", "job_cpu_ms", "chunk_cpu_ms"):
        yield Row("overhead", name.replace("_", " "), figures[name])


def _read_traffic(figures: Figures) -> Iterator[Row]:
    for name, line in figures["totals"].items():
        yield Row("traffic", f"{name.replace('_', ' ')} per chunk", line["per_chunk"])
        yield Row("traffic", f"{name.replace('_', ' ')} per job", line["per_job"])


def _read_records(figures: Figures) -> Iterator[Row]:
    yield Row("records", "SQLite: changes in a second", figures["per_s"])


def _read_uploads(figures: Figures) -> Iterator[Row]:
    for kind in ("raw", "multipart"):
        yield Row("uploads", f"10 MB {kind} / bare handler", figures[kind]["ratio"], UPLOAD_RATIO)
    yield Row("uploads", "100 KB, ten at once, 95th percentile ms", figures["small_p95_ms"])
    yield Row("uploads", "status, 95th percentile ms", figures["status_p95_ms"])


def _read_cache(figures: Figures) -> Iterator[Row]:
    yield Row("cache", "repeat, median s", figures["repeat"]["median_s"])
    yield Row("cache", "engine calls of the repeats", figures["repeat"]["engine_calls"], REPEAT_CALLS)
    yield Row("cache", "hit rate of the mixed load", figures["mixed_load"]["hit_rate"])


def _read_memory(figures: Figures) -> Iterator[Row]:
    longest = list(figures["lengths"])[-1]
    for kind, ratio in figures["growth"].items():
        yield Row("memory", f"{kind}: peak MB at {longest}", figures["lengths"][longest]["peak_mb"][kind])
        yield Row("memory", f"{kind}: growth up to {longest}", ratio, GROWTH)


def _read_fairness(figures: Figures) -> Iterator[Row]:
    for phase, ratio in figures["ratios"].items():
        yield Row("fairness", f"one-minute job beside a long one's {phase}, x alone", ratio)


def _read_startup(figures: Figures) -> Iterator[Row]:
    for name, row in figures["alone"].items():
        yield Row("startup", f"{name}: seconds until ready", row["ready_s"])
        yield Row("startup", f"{name}: processor seconds", row["cpu_s"])
    yield Row("startup", "whole stack: seconds until ready", figures["stack"]["ready_s"])


def _read_vendor(figures: Figures) -> Iterator[Row]:
    for name in ("told", "found", "three"):
        row = figures[name]
        bound = WITHIN_LIMITS if name == "told" else None
        yield Row("vendor", f"{name}: time / what the vendor's limits allow", row["ratio"], bound)
        yield Row("vendor", f"{name}: chunks lost", row["lost"], NONE if name != "three" else None)
        yield Row("vendor", f"{name}: chunks paid twice", row["paid_twice"], NONE if name != "three" else None)


def _read_endurance(figures: Figures) -> Iterator[Row]:
    for name, row in figures["memory"].items():
        yield Row("endurance", f"{name}: MB at the end / in the middle", round(row["end_mb"] / row["middle_mb"], 3))


SECTIONS: Final[dict[str, Callable[[Any], Iterator[Row]]]] = {
    "speed": _read_speed,
    "scaling": _read_scaling,
    "vendor": _read_vendor,
    "overhead": _read_overhead,
    "traffic": _read_traffic,
    "records": _read_records,
    "uploads": _read_uploads,
    "cache": _read_cache,
    "memory": _read_memory,
    "fairness": _read_fairness,
    "startup": _read_startup,
    "endurance": _read_endurance,
}
"""Every section and what of it stands in the table."""
