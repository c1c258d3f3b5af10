"""Every error Erni raises on purpose, on one page; knows nothing of HTTP or Celery.

    ErniError
    ├── InputError                 the caller can mend it
    │   ├── InvalidOption          an option is unknown, malformed or contradicts another (names the field)
    │   │   └── LanguageNotSupported   the chosen model cannot do the language
    │   ├── UnreadableMedia        not audio or video, or damaged beyond decoding
    │   ├── EmptyUpload            zero bytes
    │   ├── MediaTooLarge          more bytes than the limit
    │   ├── MediaTooLong           more seconds than the limit
    │   └── UnknownFormat          no such transcript format
    ├── AccessError
    │   ├── NotAuthenticated       no key, or an unknown or revoked one
    │   └── SignatureInvalid       a webhook is not signed by whom it claims to be from, or too old
    ├── SpendingCapReached         the call would cost more than the job, or its key this month, may spend
    ├── NotFound
    │   ├── JobNotFound
    │   └── VoiceprintNotFound
    ├── JobConflict                the job's state forbids it
    │   └── TranscriptNotReady
    ├── WorkLost                   a piece of work ended its worker process again and again
    ├── Interruption               raised inside a step to end this run of it; never shown
    │   ├── JobStopped             the job was cancelled or deleted
    │   ├── WorkInFlight           another worker is at the same piece of work
    │   ├── WorkHandedBack         this worker is shutting down; another one takes the work
    │   └── WorkPostponed          the piece of work is tried again later
    ├── EngineError
    │   ├── EngineUnavailable *    the engine is out for now
    │   │   ├── EngineRateLimited *    it was asked too often
    │   │   ├── EngineDown *           nothing was done: no connection, or it says itself that it cannot
    │   │   ├── EngineResting *        its breaker is open: others found it out just now
    │   │   └── RemoteJobLost *        a job submitted there is gone, or its answer is
    │   │       └── RemoteJobAborted *     it was given up there before it began
    │   ├── EngineRejected         the engine refuses this input
    │   │   └── RemoteJobFailed        a job submitted there failed, or was cancelled
    │   ├── EngineNotAuthorised    the engine refuses our key
    │   ├── EngineQuotaExhausted   our account there has no money or quota left
    │   └── EngineAnswerInvalid *  the engine's answer cannot be read
    ├── StorageError *             records or blobs cannot be reached
    │   ├── BlobNotFound           a blob that should be there is gone
    │   ├── DocumentDamaged        a stored document cannot be read
    │   └── StorageFull *          no space or quota left
    ├── QueueUnavailable *         the broker cannot be reached
    └── ConfigError                a setting is wrong; says which and what to do

Starred classes are retryable. ``code`` is the class's name in snake_case and never changes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar


def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class ErniError(Exception):
    """Root of the tree. ``message`` is for people and says what to do; ``field`` names the option at fault."""

    code: ClassVar[str] = "erni_error"
    retryable: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        cls.code = _snake_case(cls.__name__)

    def __init__(self, message: str, *, field: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.retry_after_s = retry_after_s


class InputError(ErniError):
    """The caller sent something that cannot be processed; sending it again will not help."""


class InvalidOption(InputError):
    """An option is unknown, malformed or contradicts another."""


class LanguageNotSupported(InvalidOption):
    """The chosen model cannot recognise the requested language."""


class UnreadableMedia(InputError):
    """The upload holds no sound that can be decoded."""


class EmptyUpload(InputError):
    """The upload has zero bytes."""


class MediaTooLarge(InputError):
    """The upload has more bytes than the configured limit."""


class MediaTooLong(InputError):
    """The recording lasts longer than the configured limit."""


class UnknownFormat(InputError):
    """No transcript format has this name."""


class AccessError(ErniError):
    """The caller may not do this."""


class NotAuthenticated(AccessError):
    """No API key was sent, or it is unknown or revoked."""


class SignatureInvalid(AccessError):
    """A webhook is not signed by the vendor, or was signed too long ago."""


class SpendingCapReached(ErniError):
    """A paid call would cost more than the job, or its key in this month, may spend. Nothing was spent."""


class NotFound(ErniError):
    """What was asked for is not there, or not for this tenant."""


class JobNotFound(NotFound):
    """No job of this tenant has this id."""


class VoiceprintNotFound(NotFound):
    """No voiceprint of this tenant has this id."""


class JobConflict(ErniError):
    """The job's state forbids the request."""


class TranscriptNotReady(JobConflict):
    """The job has no transcript (yet)."""


class Interruption(ErniError):
    """Ends a run of a step without being a fault of the work: whoever runs the step knows what comes next."""


class JobStopped(Interruption):
    """The job was cancelled or deleted while a step was at work; the step returns at once."""


class WorkInFlight(Interruption):
    """Another worker is doing the same piece of work; look again after ``retry_after_s``."""


class WorkHandedBack(Interruption):
    """The worker is shutting down and the piece of work goes back to the queue, uncounted."""


class WorkPostponed(Interruption):
    """The piece of work is tried again after ``retry_after_s``; the record of its step says why."""


class WorkLost(ErniError):
    """A piece of work ended its worker process again and again: out of memory, or a fault in a library."""


class EngineError(ErniError):
    """An engine did not do its work."""


class EngineUnavailable(EngineError):
    """The engine is out for now; a later attempt may succeed."""

    retryable = True


class EngineRateLimited(EngineUnavailable):
    """The engine was asked too often; ``retry_after_s`` is what it asked for, where it did."""


class EngineDown(EngineUnavailable):
    """The engine could not be reached, or said itself that it cannot answer now: nothing was done and is billed."""


class EngineResting(EngineUnavailable):
    """The engine failed again and again just now, so nobody asks it for a while; ``retry_after_s`` is how long."""


class RemoteJobLost(EngineUnavailable):
    """The vendor has no such job any more, or threw its answer away; it is to be submitted anew."""


class RemoteJobAborted(RemoteJobLost):
    """The vendor gave the job up before it began, and bills nothing."""


class EngineRejected(EngineError):
    """The engine refuses this input; the same call would be refused again."""


class RemoteJobFailed(EngineRejected):
    """A vendor's job failed over there or was cancelled. ``usd`` is what it costs all the same, for ``usage``."""

    def __init__(self, message: str, *, usd: float = 0.0, usage: Mapping[str, float] | None = None) -> None:
        super().__init__(message)
        self.usd = usd
        self.usage = dict(usage or {})


class EngineNotAuthorised(EngineError):
    """The engine does not accept our key, or the key may not use it; the operator has to act."""


class EngineQuotaExhausted(EngineError):
    """Our account at the engine has no money or quota left; the operator has to act."""


class EngineAnswerInvalid(EngineError):
    """The engine answered something that cannot be read; another attempt may be answered better."""

    retryable = True


class StorageError(ErniError):
    """Records or blobs cannot be reached or written."""

    retryable = True


class BlobNotFound(StorageError):
    """A blob that should exist is gone."""

    retryable = False


class DocumentDamaged(StorageError):
    """A stored document is broken, of another kind, or written by a newer version."""

    retryable = False


class StorageFull(StorageError):
    """No space or quota is left."""


class QueueUnavailable(ErniError):
    """The broker cannot be reached."""

    retryable = True


class ConfigError(ErniError):
    """A setting is wrong."""
