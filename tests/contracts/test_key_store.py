"""What every ``KeyStore`` promises."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from erni.keys import ApiKey, hash_token
from erni.ports import KeyStore
from erni.stores.sql_keys import SqlKeyStore

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
KEY = ApiKey("key-1", "acme", "user", hash_token("erni_secret"), NOON, label="Büro")


@pytest.fixture
def keys(engine: Engine) -> KeyStore:
    return SqlKeyStore(engine)


def test_key_is_found_by_the_hash_of_its_token(keys: KeyStore) -> None:
    assert keys.add_key(KEY)
    assert keys.find_key(hash_token("erni_secret")) == KEY


def test_unknown_hash_finds_no_key(keys: KeyStore) -> None:
    keys.add_key(KEY)
    assert keys.find_key(hash_token("erni_other")) is None


def test_same_hash_is_recorded_once(keys: KeyStore) -> None:
    assert keys.add_key(KEY)
    assert not keys.add_key(replace(KEY, key_id="key-2", role="admin"))
    assert keys.list_keys() == [KEY]


def test_same_hash_added_by_many_threads_is_recorded_once(keys: KeyStore) -> None:
    with ThreadPoolExecutor(8) as threads:
        added = list(threads.map(lambda n: keys.add_key(replace(KEY, key_id=f"key-{n}")), range(16)))
    assert added.count(True) == 1
    assert len(keys.list_keys()) == 1


def test_revoked_key_is_listed_but_no_longer_found(keys: KeyStore) -> None:
    keys.add_key(KEY)
    assert keys.revoke_key("key-1", NOON)
    assert keys.find_key(KEY.token_hash) is None
    assert keys.list_keys() == [replace(KEY, revoked_at=NOON)]


def test_second_revocation_changes_nothing(keys: KeyStore) -> None:
    keys.add_key(KEY)
    keys.revoke_key("key-1", NOON)
    assert not keys.revoke_key("key-1", NOON + timedelta(days=1))
    assert keys.list_keys()[0].revoked_at == NOON


def test_unknown_key_cannot_be_revoked(keys: KeyStore) -> None:
    assert not keys.revoke_key("key-1", NOON)


def test_keys_are_listed_oldest_first(keys: KeyStore) -> None:
    later = replace(KEY, key_id="key-0", token_hash="0" * 64, created_at=NOON + timedelta(seconds=1))
    keys.add_key(later)
    keys.add_key(KEY)
    assert keys.list_keys() == [KEY, later]


def test_key_is_found_by_its_id_even_when_revoked(keys: KeyStore) -> None:
    keys.add_key(KEY)
    keys.revoke_key("key-1", NOON)
    assert keys.get_key("key-1") == replace(KEY, revoked_at=NOON)
    assert keys.get_key("key-2") is None


def test_key_keeps_its_monthly_cap_until_it_gets_another(keys: KeyStore) -> None:
    keys.add_key(replace(KEY, monthly_usd=12.5))
    assert keys.find_key(KEY.token_hash) == replace(KEY, monthly_usd=12.5)
    assert keys.set_monthly_cap("key-1", 0.0)
    assert keys.get_key("key-1") == replace(KEY, monthly_usd=0.0)
    assert keys.set_monthly_cap("key-1", None)
    assert keys.get_key("key-1") == KEY


def test_unknown_key_gets_no_cap(keys: KeyStore) -> None:
    assert not keys.set_monthly_cap("key-1", 5.0)
