"""Naming the speakers of a job that is over: known voices are looked for in what was kept of how its speakers sound.

No engine is asked, so it costs nothing and takes milliseconds; the transcript is written anew with the names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count

import structlog

from erni import blob_paths, codec
from erni.errors import BlobNotFound, JobConflict, TranscriptNotReady, WorkInFlight
from erni.identifying import match_speakers, merge_scores, score_voices, speaker_centroids
from erni.jobs import Job, JobStatus
from erni.model import Diarization, Segment, SpeakerName, Transcript, Turn, VoiceScore
from erni.options import ALL_VOICEPRINTS
from erni.services import Services
from erni.speaker_voices import SpeakerVoices, load_speaker_voices
from erni.steps.diarizing import gather_chunk_voices
from erni.steps.heard_voices import find_speaker_voices, keep_speaker_voices
from erni.steps.known_voices import find_wanted_voices, name_speakers
from erni.steps.pieces import load_plan
from erni.steps.running import work_dir

log = structlog.get_logger(__name__)


def name_job(services: Services, job: Job, voiceprint_ids: Sequence[str] | None) -> tuple[SpeakerName, ...]:
    """Look for these known voices, or for all of the tenant's, in a finished job; its old names are replaced.

    Returns one entry per speaker of the transcript.

    Raises:
        TranscriptNotReady: the job has no transcript.
        InvalidOption: there is no known voice, or one of those named is not the tenant's, not ready, or expired.
        JobConflict: it is not known how the speakers sound, or the job is being joined at this moment.
    """
    if job.status not in (JobStatus.SUCCEEDED, JobStatus.PARTIAL):
        raise TranscriptNotReady(f"The job is {job.status}; only the speakers of a transcript can be named.")
    asked = replace(job.options, voiceprints=tuple(voiceprint_ids or (ALL_VOICEPRINTS,)))
    wanted = find_wanted_voices(services, asked, job.tenant).voiceprints
    try:
        with services.flights.hold(f"{job.job_id}:join"):
            names = _name_transcript(services, job, wanted)
    except WorkInFlight:
        raise JobConflict("The job's transcript is being written at this moment. Try again.") from None
    log.info("job_named", job_id=job.job_id, speakers=len(names), known=sum(one.name is not None for one in names))
    return names


def _name_transcript(services: Services, job: Job, wanted: Sequence[str]) -> tuple[SpeakerName, ...]:
    diarization = _load_diarization(services, job)
    engine, scores = _score(services, job, diarization, wanted)
    by_label = {name.speaker: name for name in name_speakers(services, job, engine, scores)}
    path = blob_paths.transcript(job.job_id)
    with services.blobs.local_copy(path) as file, file.open("rb") as opened:
        transcript = codec.read_transcript(opened)
        labels = match_speakers(_turns(transcript.segments), diarization.turns)
        unknown = {speaker: SpeakerName(speaker, None) for speaker in transcript.speakers}
        found = {
            speaker: replace(by_label[label], speaker=speaker) for speaker, label in labels.items() if label in by_label
        }
        names = tuple((unknown | found).values())
        _store_transcript(services, path, replace(transcript, names=names))
    return names


def _load_diarization(services: Services, job: Job) -> Diarization:
    try:
        return codec.load_diarization(services.blobs.get_bytes(blob_paths.turns(job.job_id)))
    except BlobNotFound:
        raise _unheard() from None


def _score(
    services: Services, job: Job, diarization: Diarization, wanted: Sequence[str]
) -> tuple[str, Sequence[VoiceScore]]:
    """How like the wanted voices the diarization's speakers sound, and by which engine's ear."""
    voices = _load_voices(services, job, diarization)
    if voices is not None:
        prints = services.voiceprints.prints(wanted, voices.form, tenant=job.tenant)
        known = {voice: load_speaker_voices(content) for voice, content in prints.items()}
        return voices.engine, score_voices(voices, known)
    scores = merge_scores([diarization, *_further_groups(services, job)])
    if not scores:
        raise _unheard()
    return diarization.engine, [score for score in scores if score.voice in wanted]


def _load_voices(services: Services, job: Job, diarization: Diarization) -> SpeakerVoices | None:
    """As they were kept when the job ended, else from what its chunks left, which an older Erni kept of some jobs."""
    kept = find_speaker_voices(services, job.job_id)
    if kept is not None:
        return kept
    with suppress(BlobNotFound):
        gathered = gather_chunk_voices(services, job, load_plan(services, job.job_id))
        if gathered is not None:
            voices = speaker_centroids(gathered, diarization.turns)
            keep_speaker_voices(services, job.job_id, voices)
            return voices
    return None


def _further_groups(services: Services, job: Job) -> Iterator[Diarization]:
    """What a vendor found while it looked for the known voices beyond the first call's."""
    with suppress(BlobNotFound):
        for group in count(1):
            yield codec.load_diarization(services.blobs.get_bytes(blob_paths.turns(job.job_id, group)))


def _turns(segments: Iterable[Segment]) -> Iterator[Turn]:
    return (Turn(one.start_s, one.end_s, one.speaker) for one in segments if one.speaker is not None)


def _store_transcript(services: Services, path: str, transcript: Transcript) -> None:
    with work_dir(services) as directory:
        file = directory / "transcript.json"
        with file.open("wb") as opened:
            codec.write_transcript(transcript, opened)
        services.blobs.put_file(path, file)


def _unheard() -> JobConflict:
    return JobConflict(
        "How the speakers of this job sound was not kept, so they cannot be named. Send the recording again with "
        "method voiceprint: what is known of it already is not paid again."
    )
