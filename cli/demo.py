"""``make demo``: a stack of its own on free ports, the sample through REST, its transcript and the figures.

Uses no data, port or server of an installation: whatever the environment names, it works in a new directory.
"""

from __future__ import annotations

import json
import secrets
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import click
from pydantic import SecretStr
from rich.table import Table

from cli.client import ErniClient, JobJson
from cli.embedded import PROJECT_DIR, EmbeddedStack, open_embedded_stack
from cli.failures import CommandFailed
from cli.interrupts import Interrupts
from cli.port_checks import free_ports
from cli.scoring import Score, score_transcript
from cli.terminal import configure_terminal_log, print_table
from cli.up import StartReport
from config.settings import Settings, load_settings
from erni.errors import ConfigError
from erni.jobs import JobStatus

SAMPLE: Final = PROJECT_DIR / "samples" / "standup.flac"
REFERENCE: Final = PROJECT_DIR / "samples" / "standup.json"
HIGHEST_WORD_ERROR_RATE: Final = 0.15


@click.command()
def demo() -> None:
    """Run a stack, send it the sample, show what comes out; exit code 1 when that is not good enough."""
    settings = load_settings()
    configure_terminal_log(settings)
    for file in (SAMPLE, REFERENCE):
        if not file.exists():
            raise ConfigError(f"{file} is missing. Run the demo from a checkout of Erni.")
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="erni-demo-") as directory, Interrupts() as interrupts:
        click.echo(f"Starting a stack of its own in {directory} ...")
        own = demo_settings(settings, Path(directory))
        with open_embedded_stack(own, interrupts, StartReport(verbose=False).show) as embedded:
            click.echo(f"Ready after {time.monotonic() - started_s:.1f} s. Sending {SAMPLE.name} ...")
            is_good = _transcribe_sample(embedded, own, interrupts)
            click.echo("Stopping everything ...")
    click.echo(f"Done in {time.monotonic() - started_s:.1f} s.")
    if not is_good:
        raise SystemExit(1)


def demo_settings(settings: Settings, data_dir: Path) -> Settings:
    """The same engines, but stores, ports and keys of its own."""
    api_port, flower_port, redis_port = free_ports(3)
    loopback = "127.0.0.1"
    return settings.model_copy(
        update={
            "data_dir": data_dir,
            "admin_key": SecretStr(secrets.token_urlsafe(32)),
            "api": settings.api.model_copy(update={"host": loopback, "port": api_port}),
            "flower": settings.flower.model_copy(update={"host": loopback, "port": flower_port, "password": None}),
            "redis": settings.redis.model_copy(update={"url": None, "port": redis_port}),
            "records": settings.records.model_copy(update={"url": None}),
            "blobs": settings.blobs.model_copy(update={"url": None}),
        }
    )


def _transcribe_sample(embedded: EmbeddedStack, settings: Settings, interrupts: Interrupts) -> bool:
    key = settings.admin_key.get_secret_value() if settings.admin_key is not None else None

    def follow(_job: JobJson) -> None:
        interrupts.check()
        embedded.stack.tend()

    with ErniClient(embedded.api_url, key) as client:
        job = client.wait(client.submit(SAMPLE, {"language": "en"})["id"], follow)
        if job["status"] != JobStatus.SUCCEEDED:
            reason = (job.get("error") or {}).get("message", "see the warnings of the job")
            raise CommandFailed(f"The sample's job is {job['status']}: {reason}")
        click.echo(b"\n" + client.transcript(job["id"], "txt"))
        transcript = json.loads(client.transcript(job["id"], "json"))
    score = score_transcript(transcript, json.loads(REFERENCE.read_text()))
    _show_figures(job, score)
    _show_models(transcript)
    return _is_good_enough(score)


def _show_figures(job: JobJson, score: Score) -> None:
    timings: dict[str, float] = job["timings"]
    table = Table("figure", "value")
    table.add_row("word error rate", f"{score.word_error_rate:.1%}")
    table.add_row("speakers", f"{score.speakers_found} of {score.speakers_expected}")
    table.add_row("words with the right speaker", f"{score.speaker_word_accuracy:.1%}")
    for name, elapsed_s in timings.items():
        table.add_row(name.removesuffix("_s").replace("_", " "), f"{elapsed_s:.2f} s")
    table.add_row(
        "real-time factor",
        f"{timings['total_s'] / job['duration_s']:.3f} ({job['duration_s']:.1f} s of audio)",
    )
    print_table(table)


def _show_models(transcript: dict[str, Any]) -> None:
    for use in transcript["engines"]:
        grade = " - demo grade: small and fast; set ERNI_WHISPER__MODEL for real use" if use["grade"] == "demo" else ""
        click.echo(f"{use['role']}: {use['engine']} {use['model']}{grade}")


def _is_good_enough(score: Score) -> bool:
    if score.word_error_rate > HIGHEST_WORD_ERROR_RATE:
        click.echo(f"Word error rate above {HIGHEST_WORD_ERROR_RATE:.0%}.", err=True)
        return False
    if score.speakers_found != score.speakers_expected:
        click.echo(f"Heard {score.speakers_found} speakers, there are {score.speakers_expected}.", err=True)
        return False
    return True
