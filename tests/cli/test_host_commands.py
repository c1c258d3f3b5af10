from __future__ import annotations

import re
import subprocess
import sys

import pytest

from config.bootstrap import build_key_store
from config.settings import load_settings
from erni.keys import hash_token


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Calls ``erni`` as a process of its own, because it sets up the process's logging."""
    monkeypatch.setenv("ERNI_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("ERNI_ADMIN_KEY", raising=False)
    monkeypatch.delenv("ERNI_RECORDS__URL", raising=False)

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cli.main", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return call


def find(token: str):
    return build_key_store(load_settings()).find_key(hash_token(token))


def test_made_key_opens_its_tenant_with_its_role(run):
    result = run("keys", "create", "--tenant", "search", "--role", "admin", "--label", "night job")
    assert result.returncode == 0, result.stderr
    key = find(result.stdout.strip())
    assert (key.tenant, key.role, key.label) == ("search", "admin", "night job")


def test_listing_shows_keys_without_their_secret(run):
    token = run("keys", "create", "--label", "night job").stdout.strip()
    listing = run("keys", "list").stdout
    assert find(token).key_id in listing
    assert "night job" in listing
    assert token not in listing


def test_revoked_key_opens_nothing(run):
    token = run("keys", "create").stdout.strip()
    key_id = find(token).key_id
    assert run("keys", "revoke", key_id).stdout == f"{key_id} revoked\n"
    assert find(token) is None
    again = run("keys", "revoke", key_id)
    assert (again.returncode, again.stderr.count("\n")) == (1, 1)


def test_init_shows_the_first_key_once(run):
    first, second = run("init"), run("init")
    assert find(first.stdout.strip()).role == "admin"
    assert (second.returncode, second.stdout) == (0, "")


def test_too_short_preset_key_is_one_line(run, monkeypatch):
    monkeypatch.setenv("ERNI_ADMIN_KEY", "short")
    result = run("init")
    assert result.returncode == 2
    assert re.fullmatch(r"Error: ERNI_ADMIN_KEY .*\n", result.stderr)


def test_made_key_has_the_monthly_cap_it_was_given(run):
    token = run("keys", "create", "--monthly-usd", "12.5").stdout.strip()
    assert find(token).monthly_usd == 12.5
    assert "12.50" in run("keys", "list").stdout


def test_cap_of_a_key_can_be_changed_and_taken_away(run):
    token = run("keys", "create").stdout.strip()
    key_id = find(token).key_id
    assert run("keys", "cap", key_id, "--monthly-usd", "0").stdout == f"{key_id} may spend $0.00 a month\n"
    assert find(token).monthly_usd == 0.0
    assert run("keys", "cap", key_id).stdout == f"{key_id} may spend what the settings say\n"
    assert find(token).monthly_usd is None


def test_cap_that_is_no_amount_or_of_no_key_is_refused(run):
    for amount in ("-1", "nan", "inf", "much"):
        assert run("keys", "create", "--monthly-usd", amount).returncode == 2
    unknown = run("keys", "cap", "nobody", "--monthly-usd", "5")
    assert (unknown.returncode, unknown.stderr.count("\n")) == (1, 1)
