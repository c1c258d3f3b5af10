"""``python -m vendors``: all three vendors on loopback until Ctrl-C, and the settings that lead Erni to them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager

import click

from vendors import openai, pyannote, replicate
from vendors.listening import Listening, LocalListening, ScriptedListening
from vendors.server import serve

PORTS = (8101, 8102, 8103)


@contextmanager
def run_vendors(listening: Listening, ports: tuple[int, int, int] = PORTS) -> Iterator[Mapping[str, str]]:
    """Serve all three while inside; yields Erni's settings for them. Port 0 takes a free one."""
    with ExitStack() as stack:
        voices = stack.enter_context(closing(pyannote.PyannoteVendor(listening=listening)))
        runs = stack.enter_context(closing(replicate.ReplicateVendor(listening=listening)))
        apps = (openai.OpenAIVendor(listening).app, voices.app, runs.app)
        at = [stack.enter_context(serve(app, port)).url for app, port in zip(apps, ports, strict=True)]
        yield {
            "ERNI_OPENAI__BASE_URL": f"{at[0]}/v1",
            "ERNI_OPENAI__API_KEY": openai.API_KEY,
            "ERNI_PYANNOTE__BASE_URL": at[1],
            "ERNI_PYANNOTE__API_KEY": voices.api_key,
            "ERNI_PYANNOTE__WEBHOOK_SECRET": voices.webhook_secret,
            "ERNI_REPLICATE__BASE_URL": f"{at[2]}/v1",
            "ERNI_REPLICATE__API_TOKEN": runs.api_token,
            "ERNI_REPLICATE__WEBHOOK_SECRET": runs.webhook_secret,
        }


@click.command(help="Serve OpenAI, pyannote.ai and Replicate on loopback, to try Erni without keys.")
@click.option("--port", default=PORTS[0], show_default=True, help="The first of three ports; 0 for any free ones.")
@click.option(
    "--scripted", type=click.FloatRange(min=0), help="Invent words, at this many seconds per second of audio."
)
def main(port: int, scripted: float | None) -> None:
    listening = LocalListening() if scripted is None else ScriptedListening(scripted)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    ports = (port, port + 1, port + 2) if port else (0, 0, 0)
    with run_vendors(listening, ports) as settings:
        for name, value in settings.items():
            click.echo(f"export {name}={value}")
        click.echo("Set these where Erni starts. Faults on demand: POST /_faults. Ctrl-C stops.", err=True)
        stopped.wait()


if __name__ == "__main__":
    main()
