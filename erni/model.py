"""The values of speech: words, turns, chunks, transcripts. Frozen, without behaviour beyond their own arithmetic.

Times are float seconds from the start of the recording. Every span is half-open: ``[start_s, end_s)``.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

SAMPLE_RATE_HZ = 16_000
"""Rate of the canonical audio (mono, 16-bit) that every later step works on."""

WordTiming = Literal["exact", "aligned", "estimated"]
SeamKind = Literal["silence", "overlap"]
JoinStrategy = Literal["boundary", "overlap", "weighted", "majority"]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time."""

    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s

    def overlap_s(self, other: Span) -> float:
        """Seconds shared with ``other``, 0 when they do not touch."""
        return max(0.0, min(self.end_s, other.end_s) - max(self.start_s, other.start_s))


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word as written, punctuation attached, without surrounding white space.

    ``confidence`` is the engine's probability (0-1) where it gives one. ``timing`` says where the times come from.
    ``speaker`` is ``None`` until words are assigned to speakers.
    """

    text: str
    start_s: float
    end_s: float
    confidence: float | None = None
    timing: WordTiming = "exact"
    speaker: str | None = None

    @property
    def middle_s(self) -> float:
        return (self.start_s + self.end_s) / 2


@dataclass(frozen=True, slots=True)
class Turn:
    """A stretch in which one speaker talks, as a diarizer heard it. Turns of different speakers may overlap."""

    start_s: float
    end_s: float
    speaker: str

    @property
    def span(self) -> Span:
        return Span(self.start_s, self.end_s)


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What decoding told about an upload: what it was before, and how long it is."""

    duration_s: float
    codec: str | None = None
    container: str | None = None
    sample_rate_hz: int | None = None
    channels: int | None = None
    truncated: bool = False
    """True when the file broke off or was damaged and only the part before could be decoded."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of audio to send to an engine.

    ``own`` spans partition the recording: every sample lies in exactly one chunk's own span or in speechless time
    outside all of them. ``audio`` is what is sent: the own span trimmed to speech, or widened where a cut could
    not be placed in silence.
    """

    index: int
    own: Span
    audio: Span
    overlaps_next: bool = False
    """True when the cut at ``own.end_s`` lies in speech, so that this chunk's audio and the next one's overlap."""
    digest: str | None = None
    """SHA-256, in hex, of the encoded audio, once it was cut."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a recording is cut. ``speech`` is what voice activity detection found, sorted and disjoint.

    ``audio_digest`` is the SHA-256 of the canonical audio in hex; ``notices`` tell what was wrong with the upload.
    ``is_one_shot`` says that one engine does it all in one go, and the one chunk is the whole recording.
    """

    duration_s: float
    speech: tuple[Span, ...]
    chunks: tuple[Chunk, ...]
    audio_format: str = "flac"
    audio_digest: str | None = None
    notices: tuple[Notice, ...] = ()
    is_one_shot: bool = False

    @property
    def speech_s(self) -> float:
        return sum(span.duration_s for span in self.speech)

    def speech_in(self, chunk: Chunk) -> tuple[Span, ...]:
        """The speech that is a chunk's own."""
        own = chunk.own
        first = bisect_right(self.speech, own.start_s, key=lambda span: span.end_s)
        last = bisect_left(self.speech, own.end_s, key=lambda span: span.start_s)
        return tuple(
            Span(max(span.start_s, own.start_s), min(span.end_s, own.end_s)) for span in self.speech[first:last]
        )


@dataclass(frozen=True, slots=True)
class Recognition:
    """What a transcriber heard in one chunk; times count from the start of the chunk's audio.

    ``language_confidence`` is the probability (0-1) of a language the engine found out itself, ``None`` where it was
    told or gives no number. ``places`` says, word by word, between which times the engine said it lies: its own, or
    those of its segment. It is empty where the engine told nothing, or gave every word its own times.
    """

    engine: str
    model: str
    language: str | None
    words: Sequence[Word]
    warnings: tuple[Notice, ...] = ()
    engine_s: float = 0.0
    language_confidence: float | None = None
    bill: Bill | None = None
    places: Sequence[Span] = ()


@dataclass(frozen=True, slots=True)
class Bill:
    """What a vendor's answer says it used (its own numbers by its names) and what that costs at the prices known."""

    usd: float
    usage: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VoiceScore:
    """How like a known voice a speaker of a diarization sounds, 0 to 1; ``speaker`` is the diarization's label."""

    speaker: str
    voice: str
    score: float


@dataclass(frozen=True, slots=True)
class Diarization:
    """Who speaks when; times count from the start of the recording. ``scores`` where known voices were given along."""

    engine: str
    model: str
    turns: tuple[Turn, ...]
    engine_s: float = 0.0
    scores: tuple[VoiceScore, ...] = ()
    bill: Bill | None = None


@dataclass(frozen=True, slots=True)
class OneShotAnswer:
    """Words and turns of a whole recording, on its clock."""

    recognition: Recognition
    diarization: Diarization

    @property
    def bill(self) -> Bill | None:
        return self.recognition.bill


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the reader of a transcript should know. ``code`` is stable, ``message`` is for people."""

    code: str
    message: str
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Time whose speech is missing from the transcript, and why."""

    span: Span
    reason: str
    engines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seam:
    """Where two neighbouring chunks were joined and what the join did to the words around the cut."""

    at_s: float
    kind: SeamKind
    matched: int = 0
    """Words both sides heard in the overlap; each is kept once."""
    dropped: tuple[str, ...] = ()
    """Words of one side left out because the other side has them."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Account of every spoken second."""

    duration_s: float
    speech_s: float
    covered_speech_s: float
    """Speech inside chunks that an engine answered."""
    word_count: int
    gaps: tuple[Gap, ...] = ()
    seams: tuple[Seam, ...] = ()


@dataclass(frozen=True, slots=True)
class Segment:
    """A line of text: consecutive words of one speaker."""

    start_s: float
    end_s: float
    speaker: str | None
    words: tuple[Word, ...]

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


@dataclass(frozen=True, slots=True)
class EngineUse:
    """Which engine and model did a part of the work. ``grade`` is ``demo`` for models too small for real use."""

    role: Literal["transcriber", "diarizer"]
    engine: str
    model: str
    grade: Literal["demo", "production"] = "production"


@dataclass(frozen=True, slots=True)
class PieceUse:
    """Which engine made the words of a chunk, and which ones before it could not."""

    span: Span
    engine: str
    model: str
    given_up: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SpeakerName:
    """Whose voice a speaker of a transcript is, if known: ``name`` is ``None`` for a stranger, whose best ``score``
    (0-1) then did not suffice. ``margin`` is its distance to the next best voice's.
    """

    speaker: str
    name: str | None
    voiceprint_id: str | None = None
    score: float | None = None
    margin: float | None = None


@dataclass(frozen=True, slots=True)
class Transcript:
    """The whole: what was said, by whom, when, and how much of it is accounted for.

    ``names`` says whose voices the speakers are, where that was asked; labels stay as they are.
    """

    language: str | None
    segments: Sequence[Segment]
    speakers: tuple[str, ...]
    coverage: Coverage
    engines: tuple[EngineUse, ...] = ()
    warnings: tuple[Notice, ...] = field(default=())
    pieces: tuple[PieceUse, ...] = ()
    names: tuple[SpeakerName, ...] = ()

    @property
    def words(self) -> tuple[Word, ...]:
        return tuple(word for segment in self.segments for word in segment.words)

    @property
    def text(self) -> str:
        return " ".join(segment.text for segment in self.segments)


@dataclass(frozen=True, slots=True)
class Preparation:
    """A plan that may serve another job with the same upload, and the job that has the audio it was made from."""

    plan: Plan
    job_id: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Which job has the answer for another one that asks the same, and what making it anew would cost."""

    job_id: str
    chunks_total: int
    engine_s: float
    usd: float
