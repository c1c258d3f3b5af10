"""Replicate's whisper-diarization: words and speakers of a whole recording in one remote job."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Final

from erni.capabilities import TranscriberCapabilities
from erni.engine_ports import OneShotRequest
from erni.engines.remote_answers import read_remote_id
from erni.engines.replicate_answers import (
    MAY_ANSWER,
    NAME,
    make_turns,
    read_language,
    read_output,
    read_predict_time_s,
    read_words,
)
from erni.engines.replicate_connection import ReplicateConnection
from erni.engines.uploads import Uploads, file_size_bytes
from erni.errors import EngineRejected, RemoteJobFailed
from erni.media.audio import AUDIO_FORMATS
from erni.model import Bill, Diarization, OneShotAnswer, Recognition

LOSSLESS: Final = "flac"


@dataclass(frozen=True, slots=True)
class ReplicateOneShot:
    """OneShotEngine over one model of Replicate, which bills ``usd_per_second`` of its hardware."""

    connection: ReplicateConnection
    capabilities: TranscriberCapabilities
    usd_per_second: float
    uploads: Uploads = field(default_factory=Uploads)

    def submit(self, request: OneShotRequest, callback_url: str | None) -> str:
        """Upload, encoded where it is too large otherwise, and begin a prediction by the version set or newest.

        Raises:
            EngineRejected: the recording is too large even so.
            EngineError: as ``HttpService.post_file``.
            StorageError: the audio cannot be read.
            JobStopped: the checkpoint said so; nothing is paid for then.
        """
        request.checkpoint()
        version = self.connection.find_version()
        address = self._upload(request)
        given = {
            "file": address,
            "num_speakers": request.num_speakers,
            "language": request.language,
            "prompt": request.prompt,
        }
        known = {name: value for name, value in given.items() if value is not None}
        return self.connection.submit(version, known, callback_url)

    def collect(self, remote_id: str) -> OneShotAnswer | None:
        prediction = self.connection.read_prediction(remote_id)
        output = self._read_output(prediction)
        if output is None:
            return None
        spoken = read_words(output)
        engine, model = self.capabilities.engine, self.capabilities.model
        recognition = Recognition(
            engine,
            model,
            read_language(output),
            tuple(word for word, _ in spoken),
            engine_s=read_predict_time_s(prediction) or 0.0,
            bill=self._bill(prediction),
        )
        return OneShotAnswer(recognition, Diarization(engine, model, make_turns(spoken)))

    def cancel(self, remote_id: str) -> None:
        self.connection.cancel(remote_id)

    def find_submitted(self, key: str) -> str | None:
        """By the name of the file it reads, which has the key in it. The newest goes before others; one that ended
        without an answer, or whose answer is deleted, is none.
        """
        formats = {LOSSLESS, self.capabilities.upload_format} if key else set()
        files = frozenset().union(*(self.connection.find_files(_file_name(key, one)) for one in sorted(formats)))
        if not files:
            return None
        for prediction in self.connection.list_predictions():
            if _reads_any(prediction, files) and _may_answer(prediction):
                return read_remote_id(prediction, "id", NAME)
        return None

    def webhook_secret(self) -> str:
        """What its webhooks are signed with. Raises EngineError."""
        return self.connection.webhook_secret()

    def probe(self) -> None:
        """Whether it answers, accepts our token and has the model. Raises EngineError."""
        self.connection.probe()

    def _upload(self, request: OneShotRequest) -> str:
        """The recording as it is where it fits: voices are told apart worse from any lossy encoding."""
        max_bytes = self.capabilities.max_bytes
        fits = max_bytes is None or file_size_bytes(request.audio) <= max_bytes
        audio_format = LOSSLESS if fits else self.capabilities.upload_format
        with self.uploads.encoded(request.audio, audio_format, request.checkpoint) as file:
            size_bytes = file_size_bytes(file)
            if max_bytes is not None and size_bytes > max_bytes:
                raise EngineRejected(
                    f"The recording has {size_bytes} bytes as {audio_format}; {NAME} takes {max_bytes}. Use an engine"
                    " that takes it in chunks."
                )
            request.checkpoint()
            name = _file_name(request.key, audio_format)
            return self.connection.upload(file, name, AUDIO_FORMATS[audio_format].media_type)

    def _read_output(self, prediction: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """As ``read_output``; one that failed or was cancelled is billed for the time it ran, and the error says so."""
        try:
            return read_output(prediction)
        except RemoteJobFailed as failed:
            bill = self._bill(prediction)
            if bill is None:
                raise
            raise RemoteJobFailed(failed.message, usd=bill.usd, usage=bill.usage) from None

    def _bill(self, prediction: Mapping[str, Any]) -> Bill | None:
        predict_time_s = read_predict_time_s(prediction)
        if predict_time_s is None:
            return None
        return Bill(predict_time_s * self.usd_per_second, {"predict_time": predict_time_s})


def _file_name(key: str, audio_format: str) -> str:
    return f"erni-{key}.{audio_format}"


def _reads_any(prediction: Mapping[str, Any], files: Set[str]) -> bool:
    given = prediction.get("input")
    address = given.get("file") if isinstance(given, dict) else None
    return isinstance(address, str) and address.rstrip("/").rpartition("/")[2] in files


def _may_answer(prediction: Mapping[str, Any]) -> bool:
    return prediction.get("status") in MAY_ANSWER and prediction.get("data_removed") is not True
