"""How the speakers of a job sound: kept beside its turns for as long as the job is, encrypted as known voices are."""

from __future__ import annotations

from typing import Final

from erni import blob_paths
from erni.errors import BlobNotFound
from erni.services import Services
from erni.speaker_voices import SpeakerVoices, dump_speaker_voices, load_speaker_voices

_PLAIN: Final = b"PK"
"""How NumPy's archive begins, which is a ZIP file: Erni kept it unencrypted at first. Fernet's tokens begin with gA."""


def keep_speaker_voices(services: Services, job_id: str, voices: SpeakerVoices) -> None:
    """Under the labels of the job's diarization, in place of earlier ones."""
    content = services.cipher.encrypt(dump_speaker_voices(voices))
    services.blobs.put_bytes(blob_paths.speaker_voices(job_id), content)


def are_voices_kept(services: Services, job_id: str) -> bool:
    return services.blobs.exists(blob_paths.speaker_voices(job_id))


def find_speaker_voices(services: Services, job_id: str) -> SpeakerVoices | None:
    """``None`` where nobody heard them.

    Raises:
        DocumentDamaged: they cannot be read, or were encrypted with a key that is not here.
    """
    try:
        content = services.blobs.get_bytes(blob_paths.speaker_voices(job_id))
    except BlobNotFound:
        return None
    return load_speaker_voices(content if content.startswith(_PLAIN) else services.cipher.decrypt(content))
