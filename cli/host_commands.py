"""Commands of the host's operator: keys, first set-up, settings. They work on the records directly."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Final, cast, get_args

import click
from rich.table import Table

from cli.failures import CommandFailed
from cli.settings_text import render_example_env, render_settings_table
from cli.terminal import configure_terminal_log, print_table
from config.bootstrap import DEFAULT_TENANT, build_key_store, initialise, make_key
from config.settings import load_settings
from erni.keys import Role, make_token
from erni.ports import KeyStore
from erni.services import utc_now

MOST_MONTHLY_USD: Final = 1_000_000


class Dollars(click.FloatRange):
    """An amount; not NaN, which no range keeps out."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        usd = float(super().convert(value, param, ctx))
        if math.isnan(usd):
            self.fail(f"{value!r} is not an amount.", param, ctx)
        return usd


CAP: Final = Dollars(min=0, max=MOST_MONTHLY_USD)
"""0 leaves a key the local engines only."""


@click.command()
def init() -> None:
    """Make the data directory, the records and the first admin key."""
    current = load_settings()
    configure_terminal_log(current)
    first_key = initialise(current)
    if first_key is None:
        click.echo("Ready. There are API keys already.", err=True)
        return
    click.echo("Ready. The first admin key, shown only now:", err=True)
    click.echo(first_key)


@click.command()
@click.option("--table", is_flag=True, help="As a Markdown table instead of a file to copy.")
def settings(*, table: bool) -> None:
    """Print every setting with its meaning and default."""
    click.echo(render_settings_table() if table else render_example_env(), nl=False)


@click.group()
def keys() -> None:
    """Make, list and revoke API keys (on the server's host)."""


@keys.command()
@click.option("--tenant", default=DEFAULT_TENANT, show_default=True, help="Whose jobs the key sees.")
@click.option("--role", type=click.Choice(get_args(Role)), default="user", show_default=True)
@click.option("--label", default="", help="A note on who uses it.")
@click.option("--monthly-usd", type=CAP, help="Most its jobs may spend at vendors in a calendar month.")
def create(tenant: str, role: str, label: str, monthly_usd: float | None) -> None:
    """Make a key and show it once."""
    token = make_token()
    key = make_key(token, tenant=tenant, role=cast("Role", role), label=label)
    _open_keys().add_key(replace(key, monthly_usd=monthly_usd))
    click.echo(f"Key {key.key_id} ({role} of {tenant}). It is shown only now:", err=True)
    click.echo(token)


@keys.command("list")
def list_keys() -> None:
    """List all keys; the secret part of none."""
    table = Table("key", "tenant", "role", "label", "$ a month", "created", "revoked")
    for key in _open_keys().list_keys():
        cap = f"{key.monthly_usd:.2f}" if key.monthly_usd is not None else ""
        revoked = f"{key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at is not None else ""
        table.add_row(key.key_id, key.tenant, key.role, key.label, cap, f"{key.created_at:%Y-%m-%d %H:%M}", revoked)
    print_table(table)


@keys.command("cap")
@click.argument("key_id")
@click.option("--monthly-usd", type=CAP, help="Without it the key has the installation's cap again.")
def set_cap(key_id: str, monthly_usd: float | None) -> None:
    """Set what a key's jobs may spend at vendors in a calendar month."""
    if not _open_keys().set_monthly_cap(key_id, monthly_usd):
        raise CommandFailed(f"There is no key {key_id}. `erni keys list` shows all.")
    click.echo(
        f"{key_id} may spend {'what the settings say' if monthly_usd is None else f'${monthly_usd:.2f} a month'}"
    )


@keys.command()
@click.argument("key_id")
def revoke(key_id: str) -> None:
    """Take a key's rights away at once."""
    if not _open_keys().revoke_key(key_id, utc_now()):
        raise CommandFailed(f"There is no active key {key_id}. `erni keys list` shows all.")
    click.echo(f"{key_id} revoked")


def _open_keys() -> KeyStore:
    current = load_settings()
    configure_terminal_log(current)
    current.data_dir.mkdir(parents=True, exist_ok=True)
    return build_key_store(current)
