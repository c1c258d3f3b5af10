"""The catalogue as shipped, and an operator's changes to it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from erni.capabilities import MOST_BYTES_PER_S
from erni.catalogue import Row, load_catalogue
from erni.errors import ConfigError
from erni.media.audio import AUDIO_FORMATS

END = date(2027, 2, 26)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "own.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def openai_rows() -> dict[str, Row]:
    return {row.model: row for row in load_catalogue(None, 1.0).of("openai", "transcriber")}


def test_every_row_names_its_source_and_no_model_comes_twice() -> None:
    rows = load_catalogue(None, 1.0).rows
    assert all(row.source and row.seen_on >= date(2026, 1, 1) for row in rows)
    assert len({(row.provider, row.model) for row in rows}) == len(rows)


def test_all_of_openais_models_end_but_one(openai_rows: dict[str, Row]) -> None:
    ends = {model: row.retires_on for model, row in openai_rows.items()}
    assert ends.pop("gpt-transcribe") is None
    assert ends == dict.fromkeys(
        ("whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-4o-transcribe-diarize"), END
    )


def test_only_whisper_gives_words_their_times(openai_rows: dict[str, Row]) -> None:
    assert {model: row.times for model, row in openai_rows.items() if row.times != "none"} == {
        "whisper-1": "word",
        "gpt-4o-transcribe-diarize": "segment",
    }


def test_capabilities_say_under_which_terms(openai_rows: dict[str, Row]) -> None:
    capabilities = openai_rows["gpt-4o-mini-transcribe"].transcriber("openai:abc")
    assert capabilities.engine == "openai/gpt-4o-mini-transcribe"
    assert capabilities.terms is not None
    assert (capabilities.terms.account, capabilities.terms.retires_on) == ("openai:abc", END)
    assert capabilities.price(90.0) == pytest.approx(0.0045)


def test_the_strictest_limit_bounds_a_chunk() -> None:
    row = {"provider": "a", "model": "b", "kind": "transcriber", "source": "c", "seen_on": "2026-01-01"}
    by_bytes = Row.model_validate(row | {"max_bytes": 3_210_000, "max_seconds": 1400, "upload_format": "wav"})
    by_seconds = Row.model_validate(row | {"max_bytes": 3_210_000, "max_seconds": 60, "upload_format": "wav"})
    by_answer = Row.model_validate(row | {"max_seconds": 1400, "max_output_tokens": 1200})
    assert by_bytes.transcriber("").longest_chunk_s == pytest.approx(100.0)
    assert by_answer.transcriber("").longest_chunk_s == pytest.approx(200.0)
    assert by_seconds.transcriber("").longest_chunk_s == 60
    assert Row.model_validate(row).transcriber("").longest_chunk_s is None


def test_the_limits_of_a_row_are_those_of_its_engine(tmp_path: Path) -> None:
    text = """
        [[row]]
        provider = "pyannote"
        model = "precision-2"
        max_bytes = 1000
        max_seconds = 60
        max_speakers = 7
    """
    diarizer = load_catalogue(write(tmp_path, text), 1.0).find("pyannote", "precision-2").diarizer("")
    assert (diarizer.max_bytes, diarizer.max_audio_s, diarizer.max_speakers) == (1000, 60, 7)
    one_shot = load_catalogue(None, 1.0).find("replicate", "whisper-diarization").transcriber("")
    assert one_shot.max_speakers == 50


def test_every_format_that_can_be_written_can_be_asked_for() -> None:
    assert MOST_BYTES_PER_S.keys() == AUDIO_FORMATS.keys()


def test_an_operators_row_changes_what_it_names(tmp_path: Path) -> None:
    path = write(tmp_path, '[[row]]\nprovider = "openai"\nmodel = "whisper-1"\nrequests_per_minute = 7\n')
    row = load_catalogue(path, 1.0).find("openai", "whisper-1")
    assert (row.requests_per_minute, row.usd_per_minute, row.retires_on) == (7, 0.006, END)


def test_an_operators_price_in_euro_replaces_one_in_dollars(tmp_path: Path) -> None:
    path = write(tmp_path, '[[row]]\nprovider = "openai"\nmodel = "whisper-1"\neur_per_hour = 0.6\n')
    assert load_catalogue(path, 1.5).find("openai", "whisper-1").usd_per_minute == pytest.approx(0.015)


def test_an_operators_own_model_joins(tmp_path: Path) -> None:
    text = '[[row]]\nprovider="openai"\nmodel="next"\nkind="transcriber"\nsource="mail"\nseen_on=2026-11-01\n'
    assert load_catalogue(write(tmp_path, text), 1.0).rows[-1].engine == "openai/next"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("row = 3", "cannot be read|tables named"),
        ("[[rows]]\na = 1", "tables named"),
        ("[[row", "cannot be read"),
        ('[[row]]\nprovider="openai"\nmodel="whisper-1"\nprize=1', "openai/whisper-1 is wrong. prize"),
        ('[[row]]\nprovider="openai"\nmodel="new"', "openai/new is wrong. kind"),
        ('[[row]]\nprovider="openai"\nmodel="whisper-1"\nmax_bytes=-1', "max_bytes"),
        ('[[row]]\nprovider="openai"\nmodel="whisper-1"\neur_per_hour=1\nusd_per_minute=1', "without usd_per_minute"),
        ('[[row]]\nprovider="openai"\nmodel="whisper-1"\neur_per_hour="1"', "must be a number"),
    ],
)
def test_a_wrong_file_is_a_wrong_setting_that_says_where(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        load_catalogue(write(tmp_path, text), 1.0)


def test_a_missing_file_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_catalogue(tmp_path / "none.toml", 1.0)


def test_an_unknown_model_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="gpt-transcribe"):
        load_catalogue(None, 1.0).find("openai", "whisper-9")


def test_voiceprint_is_assumed_to_cost_what_an_identification_does_for_20_seconds_at_least() -> None:
    maker = load_catalogue(None, 1.2).find("pyannote", "precision-2").voiceprint_maker("pyannote:abc")
    assert (maker.engine, maker.terms and maker.terms.account) == ("pyannote/precision-2", "pyannote:abc")
    assert maker.price(5.0) == maker.price(20.0) == pytest.approx(0.015 * 1.2 * 20 / 3600)
    assert maker.price(30.0) == pytest.approx(0.015 * 1.2 * 30 / 3600)
