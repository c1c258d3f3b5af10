"""Where each blob of a job, or of a voice to be enrolled, lies. The only place that builds a blob path; ids are
checked, never trusted.
"""

from __future__ import annotations

import re

from erni.errors import JobNotFound, VoiceprintNotFound

_ID = re.compile(r"[0-9a-f]{32}")
JOBS_ROOT = "jobs"
VOICEPRINTS_ROOT = "voiceprints"


def check_job_id(job_id: str) -> str:
    """Return ``job_id`` unchanged.

    Raises:
        JobNotFound: it is not a job id, so no job has it (and it must not become part of a path).
    """
    if not _ID.fullmatch(job_id):
        raise JobNotFound("There is no job with this id.")
    return job_id


def job_root(job_id: str) -> str:
    return f"{JOBS_ROOT}/{check_job_id(job_id)}"


def source(job_id: str) -> str:
    """The upload, byte for byte."""
    return f"{job_root(job_id)}/source"


def canonical_audio(job_id: str) -> str:
    """16 kHz mono FLAC of the whole recording."""
    return f"{job_root(job_id)}/audio.flac"


def plan(job_id: str) -> str:
    return f"{job_root(job_id)}/plan.json"


def language(job_id: str) -> str:
    """The code of the language the first chunk that was sure of one is in."""
    return f"{job_root(job_id)}/language"


def chunks_root(job_id: str) -> str:
    return f"{job_root(job_id)}/chunks"


def chunk_audio(job_id: str, index: int, audio_format: str) -> str:
    return f"{chunks_root(job_id)}/{index:05d}.{audio_format}"


def chunk_result(job_id: str, index: int) -> str:
    return f"{chunks_root(job_id)}/{index:05d}.json"


def chunk_voices(job_id: str, index: int) -> str:
    return f"{chunks_root(job_id)}/{index:05d}.npz"


def turns(job_id: str, group: int = 0) -> str:
    """Those found while looking for a further group of known voices lie beside the first ones."""
    return f"{job_root(job_id)}/turns{f'-{group}' if group else ''}.json"


def transcript(job_id: str) -> str:
    return f"{job_root(job_id)}/transcript.json"


def speaker_voices(job_id: str) -> str:
    """How each speaker sounds, under the diarization's labels; encrypted."""
    return f"{job_root(job_id)}/speakers.npz"


def check_voiceprint_id(voiceprint_id: str) -> str:
    """Return ``voiceprint_id`` unchanged. Raises VoiceprintNotFound: it is none."""
    if not _ID.fullmatch(voiceprint_id):
        raise VoiceprintNotFound("There is no voiceprint with this id.")
    return voiceprint_id


def voiceprint_root(voiceprint_id: str) -> str:
    return f"{VOICEPRINTS_ROOT}/{check_voiceprint_id(voiceprint_id)}"


def voiceprint_audio(voiceprint_id: str) -> str:
    """The recording a voice is to be enrolled from, byte for byte; deleted afterwards."""
    return f"{voiceprint_root(voiceprint_id)}/audio"


def voiceprint_speaker(voiceprint_id: str) -> str:
    """Instead of a recording, the speaker of a job whose voice is to be enrolled."""
    return f"{voiceprint_root(voiceprint_id)}/speaker.json"
