"""Known voices in a job: which of them it looks for, and which of its speakers they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog

from erni import blob_paths, codec
from erni.errors import BlobNotFound, InvalidOption
from erni.identifying import decide_names, merge_scores, score_voices, speaker_centroids
from erni.jobs import Job, JobOptions, StepKind
from erni.model import Diarization, Plan, SpeakerName, VoiceScore
from erni.options import ALL_VOICEPRINTS
from erni.services import Services
from erni.speaker_voices import SpeakerVoices, load_speaker_voices
from erni.steps.awaiting import provider_of
from erni.steps.diarizing import gather_chunk_voices
from erni.steps.heard_voices import are_voices_kept, find_speaker_voices, keep_speaker_voices

log = structlog.get_logger(__name__)


def find_wanted_voices(services: Services, options: JobOptions, tenant: str) -> JobOptions:
    """The options with the ids of the known voices a job looks for: those asked for, or all there are. Which of them
    a vendor does not know is settled here as well, so that what it is asked for stays the same while it is at work.

    Raises:
        InvalidOption: there is none, or one of them is not the tenant's, not ready, or has expired.
    """
    if not options.voiceprints:
        return options
    voices = services.voiceprints.list_voiceprints(tenant)
    ready = {known.voiceprint_id: known.engines for known in voices if known.status == "ready"}
    wanted = tuple(ready) if options.voiceprints == (ALL_VOICEPRINTS,) else options.voiceprints
    if missing := [voice for voice in wanted if voice not in ready]:
        raise InvalidOption(f"There is no voiceprint {missing[0]} that is ready.", field="voiceprints")
    if not wanted:
        raise InvalidOption("No voice is known here yet; enrol one with POST /v1/voiceprints.", field="method")
    vendors = {maker.capabilities.engine for maker in services.voiceprint_makers.values()}
    unknown = tuple(voice for voice in wanted if not vendors <= set(ready[voice]))
    return replace(options, voiceprints=wanted, unknown_voiceprints=unknown)


@dataclass(frozen=True, slots=True)
class Naming:
    """Who a job's speakers are, and the known voices they were to be compared with but were not."""

    names: tuple[SpeakerName, ...] = ()
    uncompared: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """How like known voices a job's speakers sound by the ear of ``engine``, which was given ``voices``."""

    engine: str = ""
    scores: tuple[VoiceScore, ...] = ()
    voices: frozenset[str] = frozenset()


def find_names(services: Services, job: Job, plan: Plan, diarization: Diarization | None) -> Naming:
    """Whose voices the diarization's speakers are, where the job looks for known ones.

    Also leaves how each speaker sounds, where that was heard, so that they can be named or enrolled later.
    """
    if diarization is None:
        return Naming()
    _keep_speaker_voices(services, job, plan, diarization)
    speakers = dict.fromkeys(turn.speaker for turn in diarization.turns)
    wanted = job.options.voiceprints
    if not wanted or not speakers:
        return Naming()
    heard = find_speaker_voices(services, job.job_id)
    comparison = compare_voices(services, job, diarization, wanted, heard)
    names = name_speakers(services, job, comparison)
    found = {name.speaker: name for name in names}
    log.info("speakers_named", speakers=len(speakers), known=sum(name.name is not None for name in names))
    compared = comparison.voices if comparison.scores else frozenset()
    alive = {voice.voiceprint_id for voice in services.voiceprints.list_voiceprints(job.tenant)}
    return Naming(
        tuple(found.get(speaker, SpeakerName(speaker, None)) for speaker in speakers),
        tuple(voice for voice in wanted if voice in alive and voice not in compared),
    )


def compare_voices(
    services: Services, job: Job, diarization: Diarization, wanted: Sequence[str], heard: SpeakerVoices | None
) -> Comparison:
    """By our own ear where it ``heard`` the speakers, since it can compare any voice; else by what the vendor found."""
    prints = services.voiceprints.prints(wanted, heard.form, tenant=job.tenant) if heard else {}
    if heard is not None and prints:
        known = {voice: load_speaker_voices(content) for voice, content in prints.items()}
        return Comparison(heard.engine, score_voices(heard, known), frozenset(known))
    diarizations = [diarization, *_further_groups(services, job)]
    scores = tuple(score for score in merge_scores(diarizations) if score.voice in set(wanted))
    looked_for = {score.voice for one in diarizations for score in one.scores}
    # The first one may be by another engine, which took over and knows no voices.
    engine = next((one.engine for one in diarizations if one.scores), diarization.engine)
    return Comparison(engine, scores, frozenset(looked_for & set(wanted)))


def name_speakers(services: Services, job: Job, comparison: Comparison) -> tuple[SpeakerName, ...]:
    """The decision from the scores by what is known of the voices now: one that was deleted meanwhile has no name."""
    limits = services.limits.naming
    known = {voice.voiceprint_id: voice.name for voice in services.voiceprints.list_voiceprints(job.tenant)}
    threshold = limits.thresholds.get(provider_of(comparison.engine), limits.threshold)
    return decide_names([score for score in comparison.scores if score.voice in known], known, threshold, limits.margin)


def _keep_speaker_voices(services: Services, job: Job, plan: Plan, diarization: Diarization) -> None:
    if plan.is_one_shot or are_voices_kept(services, job.job_id):
        return
    voices = gather_chunk_voices(services, job, plan)
    if voices is not None:
        keep_speaker_voices(services, job.job_id, speaker_centroids(voices, diarization.turns))


def _further_groups(services: Services, job: Job) -> Iterator[Diarization]:
    """What was found while looking for the known voices that did not fit into the first call."""
    for step in services.jobs.steps(job.job_id):
        if step.kind is StepKind.DIARIZE and step.part:
            with suppress(BlobNotFound):
                yield codec.load_diarization(services.blobs.get_bytes(blob_paths.turns(job.job_id, step.part)))
