"""What the chunks of a recording say of its language, and how they tell each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from erni import blob_paths, codec
from erni.capabilities import TranscriberCapabilities
from erni.engine_ports import TranscriptionRequest
from erni.engines.scripted import TRANSCRIBER
from erni.jobs import Job
from erni.model import Notice, Recognition, Transcript, Word
from erni.services import Services
from erni.steps.finishing import finish_job
from erni.steps.preparing import prepare_job
from erni.steps.recognising import transcribe_chunk

Submit = Callable[..., Job]


@dataclass
class Listener:
    """A multilingual engine: each chunk's language is what ``says`` answers; notes what it was told to expect."""

    says: dict[int, tuple[str, float]]
    told: list[str | None] = field(default_factory=list)
    capabilities: TranscriberCapabilities = TRANSCRIBER

    def load(self) -> None:
        """Nothing to load."""

    def transcribe(self, request: TranscriptionRequest) -> Recognition:
        language, confidence = self.says[len(self.told)]
        self.told.append(request.likely_language)
        words = tuple(Word(f"word{number}", number / 10, number / 10 + 0.05) for number in range(30))
        return Recognition("scripted", "script", language, words, language_confidence=confidence)


def hear(services: Services, submit: Submit, listener: Listener, **options: object) -> Transcript:
    listening = replace(services, transcribers={"scripted": listener})
    job = submit(diarizer=None, **options)
    prepare_job(listening, job.job_id)
    for index in range(listening.jobs.get(job.job_id).chunks_total or 0):
        transcribe_chunk(listening, job.job_id, index)
    finish_job(listening, job.job_id)
    return codec.load_transcript(services.blobs.get_bytes(blob_paths.transcript(job.job_id)))


def mixed(transcript: Transcript) -> list[Notice]:
    return [notice for notice in transcript.warnings if notice.code == "languages_mixed"]


def test_the_first_chunk_sure_of_its_language_tells_the_others(services: Services, submit: Submit) -> None:
    says = {0: ("cy", 0.3), 1: ("de", 0.95), 2: ("en", 0.4), 3: ("de", 0.9), 4: ("de", 0.9)}
    listener = Listener(says)
    transcript = hear(services, submit, listener)
    assert listener.told[:3] == [None, None, "de"]
    assert set(listener.told[2:]) == {"de"}
    assert transcript.language == "de"
    assert mixed(transcript) == []


def test_a_recording_in_two_languages_says_so(services: Services, submit: Submit) -> None:
    listener = Listener({0: ("de", 0.95), 1: ("de", 0.95), 2: ("fr", 0.99), 3: ("de", 0.9), 4: ("de", 0.9)})
    transcript = hear(services, submit, listener)
    assert transcript.language == "de"
    (notice,) = mixed(transcript)
    assert "fr" in notice.message
    assert notice.span is not None


def test_a_language_asked_for_is_not_second_guessed(services: Services, submit: Submit) -> None:
    listener = Listener(dict.fromkeys(range(9), ("de", 0.95)))
    hear(services, submit, listener, language="de")
    assert set(listener.told) == {None}
