"""``erni eval``: measure quality over a folder of recordings with references, or over generated ones."""

from __future__ import annotations

from pathlib import Path

import click

from cli.failures import CommandFailed
from cli.terminal import configure_terminal_log
from config.settings import load_settings


@click.command()
@click.argument("data", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--json", "raw", type=click.Path(dir_okay=False, path_type=Path), help="Where to keep the raw figures.")
@click.option("--plots", type=click.Path(file_okay=False, path_type=Path), help="Folder for a picture per recording.")
@click.option("--language", metavar="CODE", help="Language of all recordings, such as en; else their names may say it.")
@click.option("--quick", is_flag=True, help="Leave out the second pass, which hears each recording in one piece.")
def eval(  # noqa: A001  # the command's name
    data: Path | None, raw: Path | None, plots: Path | None, language: str | None, *, quick: bool
) -> None:
    """Measure words, speakers, seams and times over the recordings below DATA.

    References lie beside them: NAME.seglst.json, .stm, .rttm, .words.tsv or .txt. Without DATA, recordings are
    generated from the sample. docs/evaluation.md explains every figure.
    """
    try:
        # Brings pyannote.metrics and matplotlib, which cost seconds and come with an extra.
        from cli.eval_session import Request, run_session  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise CommandFailed(f"{error.name} is not installed. Get it with: pip install -e '.[eval]'") from None
    settings = load_settings()
    configure_terminal_log(settings)
    run_session(Request(data, raw, plots, language, with_whole=not quick), settings)
