"""Which known voices the speakers of a job are compared with, by whose ear, and what is said where they are not."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from erni import blob_paths, codec
from erni.capabilities import DiarizerCapabilities, Terms, VoiceprintCapabilities
from erni.chunking import ChunkLimits
from erni.engine_ports import DiarizationRequest, EmbeddingRequest
from erni.engines.pyannote import PyannoteDiarizer, PyannoteVoiceprints
from erni.engines.pyannote_connection import PyannoteConnection
from erni.engines.scripted import ScriptedChunkedDiarizer, ScriptedDiarizer
from erni.errors import JobConflict, WorkPostponed
from erni.jobs import Job, JobStatus, Piece, StepKind
from erni.model import Transcript, Turn
from erni.quoting import Recording, quote_job
from erni.services import NamingLimits, RemoteLimits, Services
from erni.speaker_voices import dump_speaker_voices, sole_voice
from erni.steps.diarizing import diarize_job, embed_chunk
from erni.steps.finishing import finish_job
from erni.steps.known_voices import find_wanted_voices
from erni.steps.naming import name_job
from erni.steps.paying import declared_engines
from erni.steps.pieces import DIARIZATION, load_plan
from erni.steps.preparing import prepare_job
from erni.steps.recognising import transcribe_chunk
from erni.steps.shortfalls import VOICES_NOT_COMPARED
from erni.voiceprints import Voiceprint
from erni.voices import Voices
from vendors.listening import ScriptedListening
from vendors.pyannote import API_KEY, PyannoteVendor
from vendors.server import serve

Submit = Callable[..., Job]
PYANNOTE = "pyannote/precision-2"
LOCAL = "scripted/script"
DIMENSIONS = 64
CHANGE_S = 45.0
"""Our own ear hears another voice from here on."""
WHOLE = DiarizerCapabilities("whole", "script")
SECOND = Piece(StepKind.DIARIZE, 1)


def sound(number: int, starts: np.ndarray | None = None) -> Voices:
    """A voice that is like no other number's. The vendor's stand-in hears number 0 everywhere."""
    starts = np.arange(9.0) if starts is None else starts
    rows = np.eye(1, DIMENSIONS, number, dtype=np.float32).repeat(len(starts), axis=0)
    return Voices("scripted", "script", np.stack([starts, starts + 0.6], axis=1), rows)


def hear(request: EmbeddingRequest) -> Voices:
    """Voice 1, and voice 2 from ``CHANGE_S`` on."""
    starts = np.concatenate([np.arange(span.start_s, span.end_s, 0.6) for span in request.speech])
    rows = np.where(starts[:, None] < CHANGE_S, np.eye(1, DIMENSIONS, 1), np.eye(1, DIMENSIONS, 2))
    noise = np.random.default_rng(int(request.offset_s)).normal(0.0, 0.3 / DIMENSIONS**0.5, rows.shape)
    return Voices("scripted", "script", np.stack([starts, starts + 0.6], axis=1), (rows + noise).astype(np.float32))


def two_turns(request: DiarizationRequest) -> tuple[Turn, ...]:
    end_s = request.speech[-1].end_s
    return (Turn(0.0, end_s / 2, "A"), Turn(end_s / 2, end_s, "B"))


@pytest.fixture
def vendor() -> Iterator[PyannoteVendor]:
    vendor = PyannoteVendor(listening=ScriptedListening())
    yield vendor
    vendor.close()


@pytest.fixture
def services(services: Services, vendor: PyannoteVendor) -> Iterator[Services]:
    """With pyannote.ai, an ear of our own (``scripted``) and a diarizer that hears no voices (``whole``)."""
    terms = Terms(account="pyannote:test")
    limits = replace(
        services.limits,
        remote=RemoteLimits(poll_s={"pyannote": 1.0}),
        # So that a name tells by whose threshold it was given.
        naming=NamingLimits(threshold=0.6, margin=0.15, thresholds={"pyannote": 0.3}),
    )
    with serve(vendor.app) as served:
        connection = PyannoteConnection(API_KEY, served.url, 5.0)
        capabilities = DiarizerCapabilities(
            PYANNOTE,
            "precision-2",
            usd_per_minute=0.002,
            max_voiceprints=50,
            usd_per_minute_identify=0.001,
            terms=terms,
        )
        yield replace(
            services,
            diarizers={
                PYANNOTE: PyannoteDiarizer(connection, capabilities),
                "scripted": ScriptedChunkedDiarizer(hear),
                "whole": ScriptedDiarizer(two_turns, WHOLE),
            },
            voiceprint_makers={"pyannote": PyannoteVoiceprints(connection, VoiceprintCapabilities(PYANNOTE, "p"))},
            limits=limits,
        )


@pytest.fixture
def known(services: Services) -> Callable[..., str]:
    """Records a voice as enrolled; what it sounds like goes by number."""

    def enrol(name: str, number: int, engines: tuple[str, ...] = (PYANNOTE, LOCAL)) -> str:
        voiceprint_id = f"{len(services.voiceprints.list_voiceprints('acme')) + 1:032x}"
        voiceprint = Voiceprint(voiceprint_id, "acme", name, "yes", "ready", services.clock())
        services.voiceprints.add(voiceprint)
        content = dump_speaker_voices(sole_voice(sound(number)))
        for engine in engines:
            form = base64.b64encode(content) if engine == PYANNOTE else content
            services.voiceprints.put_print(voiceprint_id, engine, form)
        return voiceprint_id

    return enrol


Known = Callable[..., str]


def wait_for_vendor(vendor: PyannoteVendor) -> None:
    deadline = time.monotonic() + 10
    while any(job.ended_at is None for job in vendor.jobs.all()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def work_off(services: Services, job: Job, vendor: PyannoteVendor, pieces: tuple[Piece, ...] = (DIARIZATION,)) -> Job:
    """Do all there is to do, coming back as often as told."""
    prepare_job(services, job.job_id)
    for chunk in load_plan(services, job.job_id).chunks:
        transcribe_chunk(services, job.job_id, chunk.index)
    for piece in pieces:
        for _ in range(10):
            try:
                diarize_job(services, job.job_id, piece.part)
                break
            except WorkPostponed:
                wait_for_vendor(vendor)
    finish_job(services, job.job_id)
    return services.jobs.get(job.job_id)


def names_in(services: Services, job: Job) -> list[str | None]:
    return [name.name for name in transcript_of(services, job).names]


def transcript_of(services: Services, job: Job) -> Transcript:
    return codec.load_transcript(services.blobs.get_bytes(blob_paths.transcript(job.job_id)))


def codes(job: Job) -> list[str]:
    return [warning.code for warning in job.warnings]


def ask(submit: Submit, *voices: str, **options: object) -> Job:
    return submit(**{"diarizer": PYANNOTE, "method": "voiceprint", "voiceprints": voices, **options})


def test_diarizer_that_takes_over_by_chunk_names_the_voices_as_well(
    services: Services, submit: Submit, known: Known, vendor: PyannoteVendor
) -> None:
    anna = known("Anna", 1)
    vendor.jobs.order_end("failed", "Could not load audio")
    done = work_off(services, ask(submit, anna, diarizer_fallback=("scripted",)), vendor)
    assert (done.status, codes(done)) == (JobStatus.SUCCEEDED, [])
    assert names_in(services, done) == ["Anna", None]
    later = known("Bert", 2)
    assert [found.name for found in name_job(services, done, [anna, later]).names] == ["Anna", "Bert"]


def test_its_speakers_can_be_named_later_without_being_heard_again(
    services: Services, submit: Submit, known: Known, vendor: PyannoteVendor
) -> None:
    vendor.jobs.order_end("failed", "Could not load audio")
    done = work_off(services, submit(diarizer=PYANNOTE, diarizer_fallback=("scripted",)), vendor)
    assert [found.name for found in name_job(services, done, [known("Bert", 2)]).names] == [None, "Bert"]


def test_it_does_so_with_the_turns_of_an_earlier_job(
    services: Services, submit: Submit, known: Known, vendor: PyannoteVendor
) -> None:
    earlier = submit(diarizer="scripted")
    prepare_job(services, earlier.job_id)
    for chunk in load_plan(services, earlier.job_id).chunks:
        transcribe_chunk(services, earlier.job_id, chunk.index)
        embed_chunk(services, earlier.job_id, chunk.index)
    finish_job(services, earlier.job_id)
    vendor.jobs.order_end("failed", "Could not load audio")
    done = work_off(services, ask(submit, known("Anna", 1), diarizer_fallback=("scripted",)), vendor)
    step = services.jobs.find_step(done.job_id, DIARIZATION)
    assert step is not None
    assert step.savings is not None
    assert (names_in(services, done), codes(done)) == (["Anna", None], [])


def test_diarizer_that_takes_over_and_hears_no_voices_is_said(
    services: Services, submit: Submit, known: Known, vendor: PyannoteVendor
) -> None:
    anna = known("Anna", 1)
    vendor.jobs.order_end("failed", "Could not load audio")
    done = work_off(services, ask(submit, anna, diarizer_fallback=("whole",)), vendor)
    assert (names_in(services, done), codes(done)) == ([None, None], [VOICES_NOT_COMPARED])
    assert anna in done.warnings[0].message
    assert "Could not load audio" in done.warnings[0].message


def test_scores_are_judged_by_the_threshold_of_who_gave_them(
    services: Services, submit: Submit, known: Known, vendor: PyannoteVendor
) -> None:
    """The first group's call fails, so another engine finds the turns; the second group's is answered."""
    strangers = [known(f"voice {number}", 9) for number in range(50)]
    near = replace(sound(0), embeddings=sound(0).embeddings * 0.8 + sound(3).embeddings * 0.9)
    anna = known("Anna", 0)
    services.voiceprints.put_print(anna, PYANNOTE, base64.b64encode(dump_speaker_voices(sole_voice(near))))
    vendor.jobs.order_end("failed", "Could not load audio")
    job = ask(submit, *strangers, anna, diarizer_fallback=("whole",))
    done = work_off(services, job, vendor, (DIARIZATION, SECOND))
    names = transcript_of(services, done).names
    found = next(name for name in names if name.name == "Anna")
    assert found.score is not None
    assert 0.3 <= found.score < 0.6
    assert codes(done) == [VOICES_NOT_COMPARED]
    assert "50 of 51" in done.warnings[0].message


def test_voice_the_vendor_never_looked_for_is_a_conflict_and_changes_nothing(
    services: Services, submit: Submit, known: Known, vendor: PyannoteVendor
) -> None:
    anna = known("Anna", 0)
    done = work_off(services, ask(submit, anna), vendor)
    before = transcript_of(services, done).names
    assert "Anna" in [name.name for name in before]
    bert = known("Bert", 1)
    for wanted in ([bert], [anna, bert]):
        with pytest.raises(JobConflict, match="Send the recording again"):
            name_job(services, done, wanted)
    assert transcript_of(services, done).names == before


def test_all_voices_are_those_that_were_looked_for_and_the_others_are_said(
    services: Services, submit: Submit, known: Known, vendor: PyannoteVendor
) -> None:
    anna = known("Anna", 0)
    done = work_off(services, ask(submit, anna), vendor)
    bert = known("Bert", 1)
    naming = name_job(services, done, None)
    assert "Anna" in [name.name for name in naming.names]
    assert naming.uncompared == (bert,)
    assert names_in(services, done) == [name.name for name in naming.names]
    services.voiceprints.delete(anna, tenant="acme")
    with pytest.raises(JobConflict):
        name_job(services, done, None)


def test_voice_our_own_ear_does_not_know_is_a_conflict_as_well(
    services: Services, submit: Submit, known: Known, vendor: PyannoteVendor
) -> None:
    anna = known("Anna", 1)
    vendor.jobs.order_end("failed", "Could not load audio")
    done = work_off(services, ask(submit, anna, diarizer_fallback=("scripted",)), vendor)
    with pytest.raises(JobConflict):
        name_job(services, done, [known("Bert", 2, (PYANNOTE,))])


def test_voices_the_vendor_does_not_know_buy_no_calls_and_are_heard_here(
    services: Services, submit: Submit, known: Known, vendor: PyannoteVendor, queue: object
) -> None:
    voices = [known("Anna", 1, (LOCAL,)), *(known(f"voice {number}", 9, (LOCAL,)) for number in range(119))]
    job = ask(submit, *voices)
    prepare_job(services, job.job_id)
    fan_out = queue.sent[-1][2]  # type: ignore[attr-defined]  # NotingQueue
    assert fan_out.whole == (DIARIZATION,)
    assert {lane.kind for lane in fan_out.lanes} == {StepKind.EMBED, StepKind.TRANSCRIBE}
    for chunk in load_plan(services, job.job_id).chunks:
        embed_chunk(services, job.job_id, chunk.index)
    done = work_off(services, job, vendor)
    assert [bill.work for bill in vendor.faults.billed] == ["diarize"]
    minutes = load_plan(services, job.job_id).duration_s / 60
    assert services.ledger.spent_by_job(job.job_id) == pytest.approx(0.002 * minutes)
    assert "Anna" in names_in(services, done)
    assert codes(done) == []


def test_voices_the_vendor_does_not_know_are_left_out_of_its_calls_and_said(
    services: Services, submit: Submit, known: Known, vendor: PyannoteVendor
) -> None:
    anna, bert = known("Anna", 0), known("Bert", 1, (LOCAL,))
    done = work_off(services, ask(submit, anna, bert), vendor)
    assert [len(job.asked["voiceprints"]) for job in vendor.jobs.all()] == [1]
    assert "Anna" in names_in(services, done)
    assert codes(done) == [VOICES_NOT_COMPARED]
    assert bert in done.warnings[0].message
    assert anna not in done.warnings[0].message


def test_quote_counts_the_voices_the_vendor_knows(services: Services, submit: Submit, known: Known) -> None:
    voices = [known(f"voice {number}", 9, (LOCAL,)) for number in range(120)]
    options = find_wanted_voices(services, replace(ask(submit, *voices).options, engine="scripted"), "acme")
    limits = ChunkLimits(target_s=20.0, max_s=30.0, overlap_s=2.0, min_silence_s=0.2)
    quote = quote_job(declared_engines(services), options, Recording(3600.0), limits)
    assert quote.identification is None
    assert quote.diarization is not None
    assert quote.diarization.calls == 1


def test_group_whose_voices_were_all_deleted_is_not_bought(
    services: Services, submit: Submit, known: Known, vendor: PyannoteVendor
) -> None:
    voices = [known(f"voice {number}", 9) for number in range(51)]
    job = ask(submit, *voices)
    services.voiceprints.delete(voices[-1], tenant="acme")
    done = work_off(services, job, vendor, (DIARIZATION, SECOND))
    assert len(vendor.faults.billed) == 1
    assert codes(done) == []
