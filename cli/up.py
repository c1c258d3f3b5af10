"""``erni up``: the embedded stack in the foreground, and what the person at the terminal is told about it."""

from __future__ import annotations

import click

from cli.embedded import EmbeddedStack, open_embedded_stack
from cli.interrupts import Interrupts
from cli.readiness import Readiness
from cli.stack import Stack
from cli.terminal import configure_terminal_log
from config.settings import Settings, load_settings

_PAUSE_S = 0.5


class StartReport:
    """Says what has become ready while a stack starts; with ``verbose`` also what its processes write."""

    def __init__(self, *, verbose: bool) -> None:
        self._verbose = verbose
        self._told: set[str] = set()

    def show(self, stack: Stack, readiness: Readiness) -> None:
        for name in sorted(readiness.present - self._told):
            click.echo(f"  ready: {name}")
        self._told |= readiness.present
        self.show_output(stack)

    def show_output(self, stack: Stack) -> None:
        if not self._verbose:
            return
        for process in stack.processes:
            prefix = click.style(f"{process.name:>17} | ", dim=True)
            for line in process.read_output():
                click.echo(prefix + line)


@click.command()
@click.option("--verbose", is_flag=True, help="Show what every process writes.")
def up(*, verbose: bool) -> None:
    """Run the whole stack on this host until Ctrl-C."""
    settings = load_settings()
    configure_terminal_log(settings)
    click.echo(f"Starting Erni in {settings.data_dir.absolute()} (logs in its `logs` directory) ...")
    report = StartReport(verbose=verbose)
    with Interrupts() as interrupts:
        with open_embedded_stack(settings, interrupts, report.show) as embedded:
            _describe(embedded, settings)
            while not interrupts.is_stop_wanted:
                embedded.stack.pause(_PAUSE_S)
                report.show_output(embedded.stack)
            click.echo("Stopping (Ctrl-C again: at once) ...")
        click.echo("Stopped.")


def _describe(embedded: EmbeddedStack, settings: Settings) -> None:
    click.secho("Erni is ready.", bold=True)
    click.echo(f"  API     {embedded.api_url}")
    click.echo(f"  Flower  {embedded.flower_url}  login {settings.flower.user} / {embedded.flower_password}")
    if embedded.first_key is not None:
        click.echo(f"  Key     {embedded.first_key}  (admin; shown only now)")
        click.echo("          export ERNI_CLIENT__KEY with it to use `erni transcribe`.")
    else:
        click.echo("  Key     the ones made before; `erni keys create` makes another.")
    click.echo("Ctrl-C stops everything.")
