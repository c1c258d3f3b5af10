"""The way to pyannote.ai: uploads, jobs made and read. Knows its protocol, and nothing of turns or voices."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from erni.engines.http_call import HttpService, bearer
from erni.engines.pyannote_answers import NAME, explain_job_refusal, explain_refusal
from erni.engines.remote_answers import read_object, read_remote_id
from erni.engines.uploads import Uploads, file_size_bytes
from erni.errors import EngineAnswerInvalid, EngineRejected

_MEDIA_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,200}")

BIG_FORMAT: Final = "ogg"
"""What is too large as FLAC, from some 20 hours on, goes as Opus at a tenth of the size."""


@dataclass(frozen=True, slots=True)
class PyannoteConnection:
    """pyannote.ai at ``base_url`` (without the version); the answer to one request takes ``timeout_s`` at most.

    Raises:
        ConfigError: the key or the address cannot be one.
    """

    api_key: str = field(repr=False)
    base_url: str = "https://api.pyannote.ai"
    timeout_s: float = 60.0
    uploads: Uploads = field(default_factory=Uploads)

    def __post_init__(self) -> None:
        # A wrong setting shows at the start and not with the first job.
        self._service()

    def upload(self, audio: Path, key: str, checkpoint: Callable[[], None], max_bytes: int | None = None) -> str:
        """Store canonical audio there, FLAC as it is where that is ``max_bytes`` at most, and return its ``media://``
        address.

        The address is made of the key and of what the file really is: a second upload replaces the first. They are
        deleted there within two days.

        Raises EngineError, StorageError.
        """
        is_big = max_bytes is not None and file_size_bytes(audio) > max_bytes
        audio_format = BIG_FORMAT if is_big else "flac"
        with self.uploads.encoded(audio, audio_format, checkpoint) as file:
            if max_bytes is not None and file_size_bytes(file) > max_bytes:
                raise EngineRejected(f"The recording is larger than the {max_bytes} bytes {NAME} takes.")
            checkpoint()
            media = f"media://erni/{_media_name(key)}.{audio_format}"
            answer = read_object(self._service().post_json("/v1/media/input", {"url": media}), NAME)
            address = answer.get("url")
            if not isinstance(address, str):
                raise EngineAnswerInvalid(f"{NAME} gave no address for the audio.")
            self._service().put_file(address, file)
        return media

    def submit(self, path: str, body: Mapping[str, object], callback_url: str | None) -> str:
        """Make a job and return its id. Its webhook brings no results: those are asked for once it came.

        Raises EngineError.
        """
        webhook = {"webhook": callback_url, "webhookStatusOnly": True} if callback_url is not None else {}
        return read_remote_id(read_object(self._service().post_json(path, {**body, **webhook}), NAME), "jobId", NAME)

    def read_job(self, remote_id: str) -> Mapping[str, Any]:
        """Raises RemoteJobLost, EngineError."""
        jobs = replace(self._service(), explain=explain_job_refusal)
        return read_object(jobs.get_json(f"/v1/jobs/{remote_id}"), NAME)

    def probe(self) -> None:
        """Whether it answers, and accepts our key; costs nothing. Raises EngineError."""
        self._service().get_json("/v1/test")

    def _service(self) -> HttpService:
        return HttpService(NAME, self.base_url, self.timeout_s, bearer(self.api_key, NAME), explain_refusal)


def _media_name(key: str) -> str:
    """The key where it is allowed in such an address, else its digest; any name without a key."""
    if not key:
        return secrets.token_hex(16)
    return key if _MEDIA_NAME.fullmatch(key) else hashlib.sha256(key.encode()).hexdigest()
