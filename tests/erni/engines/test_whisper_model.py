"""Finding the language, with a multilingual model whose every probability is known.

The model is a real one in CTranslate2's format, made here: all weights are zero, so its answer depends on no audio.
The last layer's bias meets one embedding per token, which makes the language's probability exactly the wanted one, and
the end of the text the likeliest token.
"""

from __future__ import annotations

import json
import math
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from ctranslate2.specs.whisper_spec import WhisperSpec

from erni.engine_ports import TranscriptionRequest
from erni.engines.whisper import WhisperTranscriber, check_bundled_model
from erni.engines.whisper_model import RememberingModel
from erni.model import SAMPLE_RATE_HZ

WIDTH = 8
FRAMES = 1500
LONGEST_TEXT = 448
END = "<|endoftext|>"


def write_model(directory: Path, *, language: str, probability: float) -> Path:
    """A multilingual model that takes any audio for ``language`` with ``probability``, and hears no words."""
    bundled = check_bundled_model()
    tokens = (bundled / "vocabulary.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    config = json.loads((bundled / "config.json").read_text(encoding="utf-8"))
    tokenizer = json.loads((bundled / "tokenizer.json").read_text(encoding="utf-8"))
    # One token more before the special ones is what tells a multilingual vocabulary from an English one.
    first_special = tokens.index(END)
    tokens.insert(first_special, "")
    language_ids = [number + 1 for number in config["lang_ids"]]
    tokenizer["model"]["vocab"] |= {"": first_special, END: first_special + 1}
    for added in tokenizer["added_tokens"]:
        added["id"] += 1

    logits = np.full(len(tokens), -10.0, np.float32)
    logits[language_ids] = 0.0
    logits[tokens.index(f"<|{language}|>")] = math.log(probability / (1 - probability) * (len(language_ids) - 1))
    logits[tokens.index(END)] = 50.0
    spec = _spec(logits)
    spec.register_vocabulary(tokens)
    spec.config.lang_ids = language_ids
    spec.config.suppress_ids = spec.config.suppress_ids_begin = []
    spec.config.alignment_heads = [(0, 0)]
    spec.validate()
    spec.save(str(directory))
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    return directory


def _spec(logits: np.ndarray[Any, Any]) -> Any:
    spec = WhisperSpec(1, 1, 1, 1)
    encoder, decoder = spec.encoder, spec.decoder
    for conv, inputs in ((encoder.conv1, 80), (encoder.conv2, WIDTH)):
        conv.weight, conv.bias = _zeros(WIDTH, inputs, 3), _zeros(WIDTH)
    encoder.position_encodings.encodings = _zeros(FRAMES, WIDTH)
    decoder.position_encodings.encodings = _zeros(LONGEST_TEXT, WIDTH)
    for layer in (encoder.layer[0], decoder.layer[0]):
        _fill(layer.self_attention, (3 * WIDTH, WIDTH))
        _fill_norm(layer.ffn.layer_norm)
        for linear in (layer.ffn.linear_0, layer.ffn.linear_1):
            linear.weight, linear.bias = _zeros(WIDTH, WIDTH), _zeros(WIDTH)
    _fill(decoder.layer[0].attention, (WIDTH, 2 * WIDTH, WIDTH))
    _fill_norm(encoder.layer_norm)
    _fill_norm(decoder.layer_norm)
    decoder.layer_norm.beta[0] = 1.0
    decoder.embeddings.weight = _zeros(len(logits), WIDTH)
    decoder.embeddings.weight[:, 0] = logits
    decoder.projection.weight = decoder.embeddings.weight
    return spec


def _fill(attention: Any, widths: tuple[int, ...]) -> None:
    _fill_norm(attention.layer_norm)
    for linear, width in zip(attention.linear, widths, strict=True):
        linear.weight, linear.bias = _zeros(width, WIDTH), _zeros(width)


def _fill_norm(norm: Any) -> None:
    norm.gamma, norm.beta = _zeros(WIDTH), _zeros(WIDTH)


def _zeros(*shape: int) -> np.ndarray[Any, Any]:
    return np.zeros(shape, np.float32)


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    noise = np.random.default_rng(1).normal(0, 0.05, 35 * SAMPLE_RATE_HZ)
    soundfile.write(tmp_path / "noise.flac", noise, SAMPLE_RATE_HZ)
    return tmp_path / "noise.flac"


def find(audio: Path, probability: float, **asked: Any) -> tuple[str | None, float | None]:
    directory = audio.parent / "model"
    directory.mkdir()
    transcriber = WhisperTranscriber(str(write_model(directory, language="de", probability=probability)))
    request = TranscriptionRequest(audio, 35.0, asked.pop("language", None), None, lambda: None, **asked)
    found = transcriber.transcribe(request)
    return found.language, found.language_confidence


def test_a_language_found_out_comes_with_its_probability(audio: Path) -> None:
    assert find(audio, 0.9) == ("de", pytest.approx(0.9, abs=0.001))


def test_a_chunk_that_is_sure_is_not_talked_into_the_likely_language(audio: Path) -> None:
    assert find(audio, 0.9, likely_language="fr") == ("de", pytest.approx(0.9, abs=0.001))


def test_a_chunk_that_is_not_sure_is_taken_for_the_likely_language(audio: Path) -> None:
    language, confidence = find(audio, 0.5, likely_language="fr")
    assert language == "fr"
    assert confidence == pytest.approx(0.5 / 98, abs=0.001)


def test_a_chunk_that_is_not_sure_keeps_its_best_guess_where_nothing_is_likely(audio: Path) -> None:
    assert find(audio, 0.5) == ("de", pytest.approx(0.5, abs=0.001))


def test_a_likely_language_the_model_does_not_know_counts_for_nothing(audio: Path) -> None:
    assert find(audio, 0.5, likely_language="gd")[0] == "de"


def test_a_language_asked_for_is_not_doubted(audio: Path) -> None:
    assert find(audio, 0.9, language="fr", likely_language="de") == ("fr", None)


def test_a_window_is_encoded_once_for_its_language_and_its_words(tmp_path: Path) -> None:
    model = RememberingModel(str(write_model(tmp_path, language="de", probability=0.9)), device="cpu")
    features = np.ones((80, 3000), np.float32)
    encoded = model.encode(features)
    assert model.encode(features.copy()) is encoded
    assert model.encode(features * 2) is not encoded


COUNT_PAGE_FAULTS = """
import resource
import numpy as np
from erni.engines.whisper import check_bundled_model
from erni.engines.whisper_model import RememberingModel, keep_freed_memory

keep_freed_memory()
model = RememberingModel(str(check_bundled_model()), device="cpu", compute_type="int8", cpu_threads=1)
for loudness in (0.1, 0.2):
    model.encode(np.full((80, 3000), loudness, np.float32))
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
model.encode(np.full((80, 3000), 0.3, np.float32))
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.models
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator is told to keep memory")
def test_a_later_window_takes_no_fresh_memory_from_the_system() -> None:
    """In a process of its own, as a worker's: heaps that threads of earlier tests left behind are given back."""
    ran = subprocess.run([sys.executable, "-c", COUNT_PAGE_FAULTS], capture_output=True, text=True, check=True)
    assert int(ran.stdout) < 5_000
