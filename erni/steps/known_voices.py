"""Known voices in a job: which of them it looks for, and which of its speakers they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

import structlog

from erni import blob_paths, codec
from erni.errors import BlobNotFound, InvalidOption
from erni.identifying import decide_names, merge_scores, score_voices, speaker_centroids
from erni.jobs import Job, JobOptions
from erni.model import Diarization, Plan, SpeakerName, VoiceScore
from erni.options import ALL_VOICEPRINTS
from erni.services import Services
from erni.speaker_voices import load_speaker_voices
from erni.steps.awaiting import provider_of
from erni.steps.diarizing import gather_chunk_voices
from erni.steps.heard_voices import are_voices_kept, find_speaker_voices, keep_speaker_voices
from erni.steps.pieces import voice_groups

log = structlog.get_logger(__name__)


def find_wanted_voices(services: Services, options: JobOptions, tenant: str) -> JobOptions:
    """The options with the ids of the known voices a job looks for: those asked for, or all there are.

    Raises:
        InvalidOption: there is none, or one of them is not the tenant's, not ready, or has expired.
    """
    if not options.voiceprints:
        return options
    ready = [known.voiceprint_id for known in services.voiceprints.list_voiceprints(tenant) if known.status == "ready"]
    wanted = tuple(ready) if options.voiceprints == (ALL_VOICEPRINTS,) else options.voiceprints
    if unknown := [voice for voice in wanted if voice not in set(ready)]:
        raise InvalidOption(f"There is no voiceprint {unknown[0]} that is ready.", field="voiceprints")
    if not wanted:
        raise InvalidOption("No voice is known here yet; enrol one with POST /v1/voiceprints.", field="method")
    return replace(options, voiceprints=wanted)


def find_names(services: Services, job: Job, plan: Plan, diarization: Diarization | None) -> tuple[SpeakerName, ...]:
    """Whose voices the diarization's speakers are, where the job looks for known ones.

    Also leaves how each speaker sounds, where that was heard, so that they can be named or enrolled later.
    """
    if diarization is None:
        return ()
    _keep_speaker_voices(services, job, plan, diarization)
    if not job.options.voiceprints:
        return ()
    scores, engine = merge_scores([diarization, *_further_groups(services, job)]), diarization.engine
    if not scores:
        scores, engine = _score_locally(services, job)
    names = name_speakers(services, job, engine, scores)
    speakers = dict.fromkeys(turn.speaker for turn in diarization.turns)
    found = {name.speaker: name for name in names}
    log.info("speakers_named", speakers=len(speakers), known=sum(name.name is not None for name in names))
    return tuple(found.get(speaker, SpeakerName(speaker, None)) for speaker in speakers)


def name_speakers(services: Services, job: Job, engine: str, scores: Sequence[VoiceScore]) -> tuple[SpeakerName, ...]:
    """The decision from the scores by what is known of the voices now: one that was deleted meanwhile has no name."""
    limits = services.limits.naming
    known = {voice.voiceprint_id: voice.name for voice in services.voiceprints.list_voiceprints(job.tenant)}
    threshold = limits.thresholds.get(provider_of(engine), limits.threshold)
    return decide_names([score for score in scores if score.voice in known], known, threshold, limits.margin)


def _keep_speaker_voices(services: Services, job: Job, plan: Plan, diarization: Diarization) -> None:
    if plan.is_one_shot or are_voices_kept(services, job.job_id):
        return
    voices = gather_chunk_voices(services, job, plan)
    if voices is not None:
        keep_speaker_voices(services, job.job_id, speaker_centroids(voices, diarization.turns))


def _further_groups(services: Services, job: Job) -> Iterable[Diarization]:
    """What was found while looking for the known voices that did not fit into the first call."""
    groups = voice_groups(job, services.diarizers.get(job.options.diarizer or ""))
    for group in range(1, len(groups)):
        with suppress(BlobNotFound):
            yield codec.load_diarization(services.blobs.get_bytes(blob_paths.turns(job.job_id, group)))


def _score_locally(services: Services, job: Job) -> tuple[tuple[VoiceScore, ...], str]:
    """The scores, and whose ear they are by."""
    voices = find_speaker_voices(services, job.job_id)
    if voices is None:
        return (), ""
    prints = services.voiceprints.prints(job.options.voiceprints, voices.form, tenant=job.tenant)
    known = {voice: load_speaker_voices(content) for voice, content in prints.items()}
    return score_voices(voices, known), voices.engine
