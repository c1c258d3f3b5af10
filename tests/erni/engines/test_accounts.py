"""Names for accounts."""

from __future__ import annotations

from erni.engines.accounts import account_of


def test_an_account_is_told_by_its_key_without_telling_the_key() -> None:
    account = account_of("openai", "sk-very-secret")
    assert account == account_of("openai", "sk-very-secret")
    assert account != account_of("openai", "sk-another")
    assert account.startswith("openai:")
    assert "secret" not in account


def test_a_server_without_a_key_is_one_account() -> None:
    assert account_of("speaches", None) == account_of("speaches", "") == "speaches:open"
