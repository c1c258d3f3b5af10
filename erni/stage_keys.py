"""Keys of the stages by the content that decides their result. Pure: hashes values, reads and stores nothing.

A key is the SHA-256 of the stage, its version, whose results may answer it, the digest of its input and every
parameter that changes its output. Two pieces of work with one key are one piece of work.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from erni.capabilities import DiarizerCapabilities, TranscriberCapabilities
from erni.chunking import ChunkLimits
from erni.jobs import Job
from erni.model import Chunk, Plan

Stage = Literal["prepare", "transcribe", "align", "embed", "diarize", "one_shot", "job"]

STAGE_VERSIONS: Final[dict[Stage, int]] = {
    "prepare": 2,
    "transcribe": 3,
    "align": 2,
    "embed": 2,
    "diarize": 4,
    "one_shot": 1,
    "job": 6,
}
"""Raise a number when a stage would answer otherwise than before: its old results are then not found any more."""


@dataclass(frozen=True, slots=True)
class StageKey:
    """``own`` is what this job looks up, stores and holds while at work; ``published`` is stored in addition."""

    stage: Stage
    own: str
    published: str | None = None

    @property
    def remote(self) -> str:
        """Under which the id of a vendor's job for this very work is kept while that runs."""
        return remote_key(self.own)


def remote_key(own: str) -> str:
    """As ``StageKey.remote``."""
    return f"{own}:remote"


class StageKeys:
    """The keys of one job.

    Who asked to ``bypass`` or ``refresh`` the cache has a scope of his own, so that even then no attempt pays for what
    an earlier one received; a refreshed result is published to the others besides.
    """

    def __init__(self, job: Job, *, is_shared: bool) -> None:
        self._job = job
        common = "all" if is_shared else f"tenant:{job.tenant}"
        own = f"job:{job.job_id}"
        match job.options.cache:
            case "use":
                self._scope, self._published_scope = common, None
            case "refresh":
                self._scope, self._published_scope = own, common
            case "bypass":
                self._scope, self._published_scope = own, None

    def prepare(self, limits: ChunkLimits | None) -> StageKey:
        """Decoding, speech detection and the plan of the cuts; without limits the recording stays in one piece."""
        return self._key("prepare", self._job.source_digest, limits=asdict(limits) if limits else None)

    def transcribe(self, chunk: Chunk, engine: TranscriberCapabilities) -> StageKey:
        """One chunk by one engine."""
        options = self._job.options
        return self._key(
            "transcribe",
            chunk.digest or f"{self._job.source_digest}:{chunk.audio.start_s}:{chunk.audio.end_s}",
            engine=[engine.engine, engine.model, engine.fingerprint],
            language=options.language,
            prompt=options.prompt,
            keywords=options.keywords,
        )

    def align(self, words: StageKey, fingerprint: str) -> StageKey:
        """Times for the words of one chunk, as found under their own key, by one aligner."""
        return self._key("align", words.own if words.published is None else words.published, aligner=fingerprint)

    def one_shot(self, plan: Plan, engine: TranscriberCapabilities) -> StageKey:
        """Words and turns of the whole recording by one engine."""
        options = self._job.options
        return self._key(
            "one_shot",
            plan.audio_digest or self._job.source_digest,
            engine=[engine.engine, engine.model, engine.fingerprint],
            options=[options.language, options.prompt, options.num_speakers],
        )

    def embed(self, plan: Plan, chunk: Chunk, engine: DiarizerCapabilities) -> StageKey:
        """The voices of one chunk by one engine; how many speakers are asked for does not matter to them."""
        offset_s = chunk.audio.start_s
        return self._key(
            "embed",
            chunk.digest or f"{self._job.source_digest}:{offset_s}:{chunk.audio.end_s}",
            engine=[engine.engine, engine.model, engine.fingerprint],
            offset_s=offset_s,
            speech=[(span.start_s, span.end_s) for span in plan.speech_in(chunk)],
        )

    def diarize(
        self, plan: Plan, engine: DiarizerCapabilities, *, by_chunk: bool, voices: Sequence[str] = ()
    ) -> StageKey:
        """The whole recording by one engine. Where it works ``by_chunk``, the cuts matter; where it scores known
        voices, their ids.
        """
        options = self._job.options
        return self._key(
            "diarize",
            plan.audio_digest or self._job.source_digest,
            engine=[engine.engine, engine.model, engine.fingerprint],
            cuts=[chunk.own.end_s for chunk in plan.chunks] if by_chunk else None,
            speakers=[options.num_speakers, options.min_speakers, options.max_speakers],
            voices=list(voices),
        )

    def whole(
        self,
        prepare: StageKey,
        engine: TranscriberCapabilities,
        diarizer: DiarizerCapabilities | None,
        aligner: str | None = None,
    ) -> StageKey:
        """The job from upload to transcript; ``aligner`` is the fingerprint of what gives times to its words."""
        options = self._job.options
        return self._key(
            "job",
            prepare.own if prepare.published is None else prepare.published,
            engine=[engine.engine, engine.model, engine.fingerprint],
            diarizer=[diarizer.engine, diarizer.model, diarizer.fingerprint] if diarizer else None,
            aligner=aligner,
            options=[options.method, options.join, options.language, options.prompt, options.keywords],
            speakers=[options.num_speakers, options.min_speakers, options.max_speakers],
        )

    def _key(self, stage: Stage, digest: str, **parameters: Any) -> StageKey:
        def in_scope(scope: str) -> str:
            content = [stage, STAGE_VERSIONS[stage], scope, digest, parameters]
            return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

        published = in_scope(self._published_scope) if self._published_scope is not None else None
        return StageKey(stage, in_scope(self._scope), published)
