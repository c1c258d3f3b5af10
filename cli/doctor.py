"""`erni doctor`: what the sweeper would do for each unfinished job, and why. Reads everything, changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final

import click
from rich.table import Table

from cli.terminal import configure_terminal_log, print_table
from config.bootstrap import build_redis, build_services
from config.queue import QUEUES
from config.settings import load_settings
from erni.errors import ErniError
from erni.services import Services
from erni.steps.sweeping import Diagnosis, examine_jobs
from erni.stores.redis_queue_state import RedisQueueState

SECONDS_PER_MINUTE: Final = 60
SECONDS_PER_HOUR: Final = 3600
_NEEDS_HELP: Final = ("resend", "fail")


@click.command()
@click.option("--all", "show_all", is_flag=True, help="Show the jobs that are well, too.")
def doctor(*, show_all: bool) -> None:
    """Tell what is wrong and what the sweeper would do about it (on a server's host). Changes nothing.

    Exits with 0 when nothing needs help, else with 1.
    """
    settings = load_settings()
    configure_terminal_log(settings)
    services = build_services(settings)
    state = RedisQueueState(build_redis(settings), QUEUES)
    is_reachable = [
        _tell_store("records", services.jobs.ping),
        _tell_store("blobs", services.blobs.ping),
        _tell_store("redis", state.served_queues),
    ]
    if not all(is_reachable):
        click.echo("jobs: cannot be examined until all stores answer")
        raise SystemExit(1)
    is_served = _tell_queues(state.served_queues())
    is_well = _tell_jobs(services, list(examine_jobs(services)), show_all=show_all)
    if not (is_served and is_well):
        raise SystemExit(1)


def _tell_store(name: str, ask: Callable[[], object]) -> bool:
    try:
        ask()
    except ErniError as error:
        click.echo(f"{name}: not reachable: {error.message}")
        return False
    click.echo(f"{name}: reachable")
    return True


def _tell_queues(served: Iterable[str]) -> bool:
    unserved = [name for name in QUEUES if name not in set(served)]
    if unserved:
        click.echo(f"queues: no living worker serves {', '.join(unserved)}")
    else:
        click.echo("queues: all are served by living workers")
    return not unserved


def _tell_jobs(services: Services, diagnoses: list[Diagnosis], *, show_all: bool) -> bool:
    """A row for each job that something is to be said of; whether none needs help."""
    in_need = sum(diagnosis.action in _NEEDS_HELP for diagnosis in diagnoses)
    click.echo(f"jobs: {len(diagnoses)} unfinished, {in_need} in need of help")
    shown = [diagnosis for diagnosis in diagnoses if show_all or diagnosis.action != "none"]
    if shown:
        print_table(_draw_table(shown, services.clock()))
    return in_need == 0


def _draw_table(diagnoses: Iterable[Diagnosis], now: datetime) -> Table:
    table = Table("job", "tenant", "status", "age", "last news", "action", "what", "why")
    for diagnosis in diagnoses:
        job = diagnosis.job
        table.add_row(
            job.job_id,
            job.tenant,
            job.status,
            _show_time(now - job.created_at),
            _show_time(now - (job.updated_at or job.created_at)),
            diagnosis.action,
            diagnosis.remedy,
            diagnosis.reason,
        )
    return table


def _show_time(passed: timedelta) -> str:
    seconds = max(0.0, passed.total_seconds())
    if seconds < 2 * SECONDS_PER_MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * SECONDS_PER_HOUR:
        return f"{seconds / SECONDS_PER_MINUTE:.0f} min"
    return f"{seconds / SECONDS_PER_HOUR:.1f} h"
