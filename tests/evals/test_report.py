from __future__ import annotations

import io
import json

from rich.console import Console

from evals.borders import BorderErrors
from evals.evaluations import Evaluation
from evals.measuring import Measurement, Speed
from evals.report import render_json, sum_up, tabulate
from evals.seams import SeamErrors
from evals.speaker_metrics import DiarizationErrors, SpeakerCount
from evals.timing import InventedWords, WordTimes
from evals.word_metrics import WordErrors

CHUNKED = Measurement(
    speed=Speed(4.0, 100.0),
    words=WordErrors(200, 10, 6, 4),
    speaker_words=WordErrors(200, 20, 6, 4),
    timed_speaker_words=WordErrors(200, 30, 6, 4),
    turns=DiarizationErrors(80.0, 4.0, 2.0, 1.0),
    turns_with_collar=DiarizationErrors(60.0, 1.2, 0.6, 0.6),
    speakers=SpeakerCount(4, 5, 1),
    invented=InventedWords(7, 20.0),
    word_times=WordTimes((0.04, 0.06, 0.08)),
    seams=SeamErrors(3, 2, 1),
)
WHOLE = Measurement(
    words=WordErrors(200, 10, 6, 3), turns=DiarizationErrors(80.0, 4.0, 2.0, 0.6), seams=SeamErrors(3, 0, 1)
)
JOINS = {"boundary": BorderErrors(50, 5), "overlap": BorderErrors(50, 8), "plain": BorderErrors(50, 9)}
ROW = Evaluation("talk.flac", "", "partial", measured=CHUNKED, joins=JOINS, in_chunks=CHUNKED, whole=WHOLE)


def show(*rows: Evaluation) -> list[str]:
    """The tables' rows as they are printed, cells parted by bars."""
    console = Console(width=250, file=io.StringIO(), record=True)
    for table in tabulate(sum_up(rows)):
        console.print(table)
    lines = console.export_text().splitlines()
    return ["|".join(cell.strip() for cell in line.split("│")[1:-1]) for line in lines if line.startswith("│")]


def test_every_figure_stands_in_its_column() -> None:
    words, _, speakers, _, chunking, _ = show(ROW)
    assert words == "talk.flac (partial)|100|200|10.0%|10 6 4|15.0%|20.0%|7|60|78|0.040"
    assert speakers == "talk.flac (partial)|5/4|1|8.8%|5.0 2.5 1.2|4.0%|2.0 1.0 1.0|50|9|5|8||"
    assert chunking == "talk.flac (partial)|10.0%|9.5%|+0.50|8.8%|8.2%|+0.50|3|2 1|0 1"


def test_the_last_row_sums_up_all() -> None:
    assert show(ROW, ROW)[2].startswith("all|200|400|10.0%|20 12 8|")


def test_what_was_not_measured_is_left_empty() -> None:
    cells = show(Evaluation("talk.flac", status="succeeded", measured=Measurement(words=WordErrors(4, 1, 0, 0))))
    assert cells[0] == "talk.flac||4|25.0%|1 0 0||||||"
    assert len(cells) == 4, "no table about chunking"


def test_a_failed_recording_has_no_row_in_the_tables_but_one_in_the_json() -> None:
    failed = Evaluation("bad.flac", failure="failed: damaged")
    rows = sum_up([failed, ROW])
    assert [line.partition("|")[0] for line in show(failed, ROW)[:2]] == ["talk.flac (partial)", "all"]
    document = render_json(rows)
    assert [(row["name"], row["failure"]) for row in document["rows"]] == [
        ("bad.flac", "failed: damaged"),
        ("talk.flac", None),
        ("all", None),
    ]


def test_json_holds_raw_counts_and_rates() -> None:
    document = json.loads(json.dumps(render_json([ROW])))
    assert document["schema"] == "erni.eval/1"
    row = document["rows"][0]
    assert row["measured"]["words"] == {"expected": 200, "substituted": 10, "deleted": 6, "inserted": 4, "rate": 0.1}
    assert row["measured"]["word_times"] == {
        "errors_s": [0.04, 0.06, 0.08],
        "median_s": 0.06,
        "percentile_95_s": 0.078,
    }
    assert row["measured"]["speed"]["real_time_factor"] == 0.04
    assert row["border_errors"]["overlap"] == {"words": 50, "errors": 8, "rate": 0.16}
    assert row["in_one_piece"]["invented"] is None
    assert row["word_penalty"] == 0.1 - 0.095
