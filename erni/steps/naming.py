"""Naming the speakers of a job that is over: known voices are looked for in what was kept of how its speakers sound.

No engine is asked, so it costs nothing and takes milliseconds; the transcript is written anew with the names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

import structlog

from erni import blob_paths, codec
from erni.errors import BlobNotFound, JobConflict, TranscriptNotReady, WorkInFlight
from erni.identifying import match_speakers, speaker_centroids
from erni.jobs import Job, JobStatus
from erni.model import Diarization, Segment, SpeakerName, Transcript, Turn
from erni.options import ALL_VOICEPRINTS
from erni.services import Services
from erni.speaker_voices import SpeakerVoices
from erni.steps.diarizing import gather_chunk_voices
from erni.steps.heard_voices import find_speaker_voices, keep_speaker_voices
from erni.steps.known_voices import Naming, compare_voices, find_wanted_voices, name_speakers
from erni.steps.pieces import load_plan
from erni.steps.running import work_dir

log = structlog.get_logger(__name__)


def name_job(services: Services, job: Job, voiceprint_ids: Sequence[str] | None) -> Naming:
    """Look for these known voices, or for all of the tenant's, in a finished job; its old names are replaced.

    Returns one entry per speaker of the transcript. Of all voices, those that cannot be compared are passed over and
    said; of those asked for by id, each must be.

    Raises:
        TranscriptNotReady: the job has no transcript.
        InvalidOption: there is no known voice, or one of those named is not the tenant's, not ready, or expired.
        JobConflict: the speakers cannot be compared with the voices, or the job is being joined at this moment; its
            names stay.
    """
    if job.status not in (JobStatus.SUCCEEDED, JobStatus.PARTIAL):
        raise TranscriptNotReady(f"The job is {job.status}; only the speakers of a transcript can be named.")
    asked = replace(job.options, voiceprints=tuple(voiceprint_ids or (ALL_VOICEPRINTS,)))
    wanted = find_wanted_voices(services, asked, job.tenant).voiceprints
    try:
        with services.flights.hold(f"{job.job_id}:join"):
            naming = _name_transcript(services, job, wanted, must_have_all=voiceprint_ids is not None)
    except WorkInFlight:
        raise JobConflict("The job's transcript is being written at this moment. Try again.") from None
    known = sum(one.name is not None for one in naming.names)
    log.info("job_named", job_id=job.job_id, speakers=len(naming.names), known=known)
    return naming


def _name_transcript(services: Services, job: Job, wanted: Sequence[str], *, must_have_all: bool) -> Naming:
    diarization = _load_diarization(services, job)
    heard = _load_voices(services, job, diarization)
    comparison = compare_voices(services, job, diarization, wanted, heard)
    uncompared = tuple(voice for voice in wanted if voice not in comparison.voices)
    if uncompared and (must_have_all or not comparison.voices):
        raise _unheard()
    by_label = {name.speaker: name for name in name_speakers(services, job, comparison)}
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
    return Naming(names, uncompared)


def _load_diarization(services: Services, job: Job) -> Diarization:
    try:
        return codec.load_diarization(services.blobs.get_bytes(blob_paths.turns(job.job_id)))
    except BlobNotFound:
        raise _unheard() from None


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
        "The speakers of this job were not compared with these voices, and how they sound was not kept, so they cannot "
        "be named. Send the recording again with method voiceprint: what is known of it already is not paid again."
    )
