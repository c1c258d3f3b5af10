"""Times for given words by the local recogniser: forced alignment. It is told the text and says where it hears it.

Whisper's decoder is fed the text, and dynamic time warping over its cross-attention gives each token its time, as
faster-whisper does for the words it recognised itself (``WhisperModel.find_alignment``). That takes one pass of encoder
and decoder instead of a recognition, and words the recogniser would have misheard are found as well.

A window is 30 s at most. Which words of a longer chunk belong to which of its windows is decided by the decoder, too:
it tells how probable each word is in either window.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from erni.aligning import REACH_S, best_split, count_letters, estimate_times, place_words
from erni.chunking import ChunkLimits, plan_chunks
from erni.engine_ports import AlignmentRequest
from erni.engines.whisper import DEMO_MODEL, WITHOUT_SPACES, Samples, WhisperTranscriber
from erni.errors import EngineRejected
from erni.media.audio import read_samples
from erni.model import SAMPLE_RATE_HZ, Span, Word

if TYPE_CHECKING:
    from erni.engines.whisper_model import RememberingModel

_WINDOW_S: Final = 30.0
"""What the encoder hears at once, and takes as long for whatever of it is silent."""
_WINDOWS: Final = ChunkLimits(
    target_s=_WINDOW_S, max_s=_WINDOW_S, overlap_s=1.0, min_silence_s=0.2, max_inner_silence_s=_WINDOW_S
)
_MAX_FRAMES: Final = 3000
"""Of a window's features, 100 a second."""
_TOKEN_S: Final = 0.02
"""Resolution of the attention (faster-whisper's ``tokens_per_second``)."""
_MAX_TOKENS: Final = 440
"""Of text in a window: the decoder reads 448 (openai/whisper, ``n_text_ctx``), some of which open and close it."""
_HEARD: Final = 0.01
"""A word less probable than this was not heard: below, guessing is no worse than believing (docs/measurements.md)."""
_UNEXPECTED: Final = 1e-4
"""What no word's probability counts as less than: one wrong word must not outweigh a sentence."""
_ENGLISH_LETTERS: Final = 3.0
"""Of English, a token holds so many letters at least: the vocabulary of English-only models is made of English text,
and other languages fall into smaller pieces (docs/measurements.md)."""
_FOREIGN_LETTERS: Final = 1.2
"""And so many at most of other scripts, of which most tokens are bytes, each easy to guess behind the one before it."""
_ENGLISH_FIT: Final = -3.5
"""How well words of English fit at least, on the mean, also unclear or wrong ones (docs/measurements.md)."""
_LAG_S: Final = {DEMO_MODEL: 0.09}
"""How late a model's attention is, measured against the dips of energy at words' borders (docs/measurements.md)."""
_REVISION: Final = 2

Tokens = list[int]


@dataclass(frozen=True, slots=True)
class WhisperAligner:
    """Aligner over the model a ``WhisperTranscriber`` loaded. Estimates what is in a language the model does not know,
    named or not, and what it does not hear.
    """

    transcriber: WhisperTranscriber

    @property
    def fingerprint(self) -> str:
        capabilities = self.transcriber.capabilities
        return f"{capabilities.engine} {capabilities.model} {capabilities.fingerprint} alignment={_REVISION}"

    def align(self, request: AlignmentRequest) -> tuple[Word, ...]:
        request.checkpoint()
        known = self.transcriber.capabilities.languages
        is_foreign = request.language is not None and known is not None and request.language not in known
        if is_foreign or not request.words:
            return estimate_times(request.words, request.speech, request.duration_s, request.places)
        model, samples = self.transcriber.loaded_model(), read_samples(request.audio)
        try:
            heard = self._hear(request, model, samples)
        except (RuntimeError, ValueError) as error:
            raise EngineRejected(f"The recogniser failed to align the words of this chunk: {error}") from error
        return place_words(request.words, heard, request.speech, request.duration_s, request.places)

    def _hear(self, request: AlignmentRequest, model: RememberingModel, samples: Samples) -> list[Span | None]:
        """For each word where it was heard, or ``None``; for none if they are in a language the model does not know.
        Holds two windows at a time.
        """
        spans = _plan_windows(request)
        here = _listen(model, samples, spans[0])
        ear = _Ear.of(model, request.language, here, _LAG_S.get(self.transcriber.capabilities.model, 0.0))
        texts = [ear.tokens(word) for word in request.words]
        heard: list[_HeardWord] = []
        for index in range(1, len(spans)):
            request.checkpoint()
            there = _listen(model, samples, spans[index])
            count = _count_here(ear, request, texts, len(heard), (here, there))
            heard += ear.align(here, texts[len(heard) : len(heard) + count])
            here = there
        heard += ear.align(here, texts[len(heard) :])
        is_sure = request.language is not None or model.model.is_multilingual
        is_known = is_sure or _is_english(ear, request.words, heard)
        return [word.span if is_known else None for word in heard]


@dataclass(frozen=True, slots=True)
class _HeardWord:
    """Where a word was heard, on the chunk's clock, if it was; and its mean log probability behind those before it."""

    span: Span | None
    fit: float


_UNREAD: Final = _HeardWord(None, math.log(_UNEXPECTED))
"""One beyond what the decoder can read."""


@dataclass(frozen=True, slots=True)
class _Window:
    """A stretch of a chunk, on its clock, as the encoder heard it. ``encoded`` is CTranslate2's ``StorageView``."""

    span: Span
    encoded: Any
    frame_count: int


@dataclass(frozen=True, slots=True)
class _Ear:
    """The decoder in one language. ``tokenizer`` is faster-whisper's."""

    model: RememberingModel
    tokenizer: Any
    space: str
    lag_s: float

    @staticmethod
    def of(model: RememberingModel, language: str | None, window: _Window, lag_s: float) -> _Ear:
        """Without a ``language``, in the one the window is most likely in."""
        from faster_whisper.tokenizer import Tokenizer

        is_multilingual = model.model.is_multilingual
        if not is_multilingual:
            language = "en"
        elif language is None:
            language = model.model.detect_language(window.encoded)[0][0][0].strip("<|>")
        tokenizer = Tokenizer(model.hf_tokenizer, is_multilingual, task="transcribe", language=language)
        return _Ear(model, tokenizer, "" if language in WITHOUT_SPACES else " ", lag_s)

    def tokens(self, word: Word) -> Tokens:
        return list(self.tokenizer.encode(self.space + word.text))

    def fit(self, window: _Window, texts: Sequence[Tokens]) -> list[float]:
        """How well each word fits a window: its mean log probability behind the words before it.

        Only as many words as the decoder can read; the others fit nowhere.
        """
        readable = _count_readable(texts)
        probabilities = self._decode(window, texts[:readable]).text_token_probs if readable else []
        return _fits(probabilities, texts[:readable]) + [_UNREAD.fit] * (len(texts) - readable)

    def align(self, window: _Window, texts: Sequence[Tokens]) -> list[_HeardWord]:
        """Where each of a window's words is heard."""
        readable = _count_readable(texts)
        if not readable:
            return [_UNREAD] * len(texts)
        decoded = self._decode(window, texts[:readable])
        token_of_step, time_of_step = np.array(decoded.alignments).T
        # The path's last token is the one that ends the text: where it begins, the last word ends.
        begins = time_of_step[np.flatnonzero(np.diff(token_of_step, prepend=-1))] * _TOKEN_S
        times = np.maximum(0.0, begins - self.lag_s) + window.span.start_s
        heard: list[_HeardWord] = []
        fits = _fits(decoded.text_token_probs, texts[:readable])
        for (start, end), fit in zip(_borders(texts[:readable]), fits, strict=True):
            # The first token tells: the rest of a word follows from its beginning, whether it was said or not.
            is_heard = decoded.text_token_probs[start] >= _HEARD
            heard.append(_HeardWord(Span(float(times[start]), float(times[end])) if is_heard else None, fit))
        return heard + [_UNREAD] * (len(texts) - readable)

    def _decode(self, window: _Window, texts: Sequence[Tokens]) -> Any:
        tokens = [token for text in texts for token in text]
        sequence = self.tokenizer.sot_sequence
        return self.model.model.align(window.encoded, sequence, [tokens], window.frame_count)[0]


def _borders(texts: Sequence[Tokens]) -> Iterator[tuple[int, int]]:
    """Which tokens each word has, of all."""
    return pairwise(accumulate(map(len, texts), initial=0))


def _fits(probabilities: Sequence[float], texts: Sequence[Tokens]) -> list[float]:
    logs = np.log(np.maximum(probabilities, _UNEXPECTED))
    return [float(logs[start:end].mean()) for start, end in _borders(texts)]


def _is_english(ear: _Ear, words: Sequence[Word], heard: Sequence[_HeardWord]) -> bool:
    """Whether an English-only model knows the words' language: by their spelling, or else by how well it heard them.

    Neither alone tells: "mm-hmm" is spelt like no English word, and a meeting may be hard to hear.
    """
    bare = ["".join(filter(str.isalpha, word.text)) for word in words]
    token_count = sum(len(ear.tokenizer.encode(ear.space + letters)) for letters in bare if letters)
    letter_count = sum(map(len, bare))
    if letter_count >= _ENGLISH_LETTERS * token_count:
        return True
    return letter_count > _FOREIGN_LETTERS * token_count and sum(word.fit for word in heard) >= _ENGLISH_FIT * len(
        heard
    )


def _plan_windows(request: AlignmentRequest) -> list[Span]:
    """What of the chunk to listen to, in pieces the encoder takes at once, cut in silence where there is any."""
    whole = Span(0.0, request.duration_s)
    if request.duration_s <= _WINDOW_S:
        return [whole]
    plan = plan_chunks(request.duration_s, request.speech or [whole], _WINDOWS)
    return [chunk.audio for chunk in plan.chunks]


def _listen(model: RememberingModel, samples: Samples, span: Span) -> _Window:
    from faster_whisper.audio import pad_or_trim

    piece = samples[round(span.start_s * SAMPLE_RATE_HZ) : round(span.end_s * SAMPLE_RATE_HZ)]
    features = model.feature_extractor(piece)[:, :-1][:, :_MAX_FRAMES]
    return _Window(span, model.encode(pad_or_trim(features)), features.shape[1])


def _count_readable(texts: Sequence[Tokens]) -> int:
    """How many words from the first on the decoder reads at once."""
    return sum(length <= _MAX_TOKENS for length in accumulate(map(len, texts)))


def _count_here(
    ear: _Ear, request: AlignmentRequest, texts: Sequence[Tokens], first: int, windows: tuple[_Window, _Window]
) -> int:
    """How many words from ``first`` on belong to the first of two windows.

    Those near the place that lengths suggest are tried in both, as far as their segments do not say it.
    """
    here, there = windows
    least, most = _likely_counts(request.words[first:], _share(request.speech, here.span, there.span))
    if request.places:
        least, most = _narrow_counts((least, most), request.places[first:], there.span.start_s)
    if most <= least:
        return least
    fits_here = ear.fit(here, texts[first : first + most])[least:]
    fits_there = ear.fit(there, texts[first + least : first + most])
    return least + best_split(fits_here, fits_there)


def _narrow_counts(likely: tuple[int, int], places: Sequence[Span], border_s: float) -> tuple[int, int]:
    """The likely numbers among those that places allow; where there is none, what places say counts."""
    least = sum(place.end_s + REACH_S <= border_s for place in places)
    most = sum(place.start_s - REACH_S < border_s for place in places)
    narrow = max(least, likely[0]), min(most, likely[1])
    return narrow if narrow[0] <= narrow[1] else (least, most)


def _share(speech: Sequence[Span], here: Span, there: Span) -> float:
    """How much of the speech that is left lies in a window."""
    left = Span(here.start_s, there.start_s)
    behind = Span(here.start_s, math.inf)
    spoken_s = sum(span.overlap_s(behind) for span in speech)
    return sum(span.overlap_s(left) for span in speech) / spoken_s if spoken_s else 0.5


def _likely_counts(words: Sequence[Word], share: float) -> tuple[int, int]:
    """Between which numbers of words a window's lies, when it holds a ``share`` of all speech: people speak faster and
    slower, and an engine may have left something out.
    """
    letters = list(accumulate(map(count_letters, words)))
    total = letters[-1] if letters else 0
    least = sum(done < 0.6 * share * total for done in letters) - 5
    most = sum(done < 1.5 * share * total for done in letters) + 10
    return max(0, least), min(len(words), most)
