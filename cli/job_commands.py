"""Commands that talk to a server about jobs. They know the REST client and the terminal only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, get_args

import click
from rich.table import Table

from cli.client import ErniClient, JobJson
from cli.failures import CommandFailed, RequestFailed
from cli.server_options import connect, server_options
from cli.terminal import print_table, show_upload, show_work
from erni.jobs import CacheUse, GapPolicy, JobStatus

TRANSCRIPT_FORMATS: Final = ("txt", "srt", "vtt", "json")
_EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells count


def _parse_metadata(_context: click.Context, _parameter: click.Parameter, pairs: Sequence[str]) -> dict[str, str]:
    fields = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"`{pair}` is not of the form key=value.")
        fields[f"metadata[{name}]"] = value
    return fields


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--format", "transcript_format", type=click.Choice(TRANSCRIPT_FORMATS), help="[default: txt]")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File, or directory for several recordings.")
@click.option("--language", help="ISO 639-1 code.  [default: found out]")
@click.option("--num-speakers", type=click.IntRange(min=1), help="Exact number of speakers.")
@click.option("--min-speakers", type=click.IntRange(min=1), help="Least number of speakers.")
@click.option("--max-speakers", type=click.IntRange(min=1), help="Greatest number of speakers.")
@click.option("--prompt", help="Words and names to expect.")
@click.option("--engine", help="Transcriber.")
@click.option("--fallback", help="Transcribers for chunks the first one fails, separated by commas, or `none`.")
@click.option("--diarizer", help="Diarizer; `none` for no speakers.")
@click.option("--join", help="How words get their speakers.")
@click.option("--on-gap", type=click.Choice(get_args(GapPolicy)), help="How to end where chunks are missing.")
@click.option("--cache", type=click.Choice(get_args(CacheUse)), help="What to do with earlier results.")
@click.option(
    "--deadline",
    "deadline_s",
    type=click.FloatRange(min=0, min_open=True),
    help="Fail when not over in so many seconds.",
)
@click.option("--metadata", multiple=True, callback=_parse_metadata, help="key=value, kept with the job; repeatable.")
@server_options
def transcribe(
    files: tuple[Path, ...],
    transcript_format: str | None,
    output: Path | None,
    metadata: dict[str, str],
    **others: Any,
) -> None:
    """Transcribe recordings and print the transcripts."""
    url, key = others.pop("url"), others.pop("key")
    options = {name: str(value) for name, value in others.items() if value is not None} | metadata
    transcript_format = transcript_format or _format_of(output)
    targets = _plan_targets(files, output, transcript_format)
    waiting: dict[str, Path] = {}
    with connect(url, key) as client:
        try:
            failures = _submit_all(client, files, options, waiting)
            while waiting:
                job_id, file = next(iter(waiting.items()))
                failures += not _deliver(client, job_id, transcript_format, targets[file])
                del waiting[job_id]
        except KeyboardInterrupt:
            _say_how_to_go_on(waiting)
            raise SystemExit(_EXIT_INTERRUPTED) from None
        except CommandFailed:
            _say_how_to_go_on(waiting)
            raise
    if failures:
        raise SystemExit(1)


def _plan_targets(files: Sequence[Path], output: Path | None, transcript_format: str) -> dict[Path, Path | None]:
    """Where each transcript goes; ``None`` is the standard output."""
    if output is None:
        return dict.fromkeys(files)
    if not output.is_dir():
        if len(files) > 1:
            raise click.UsageError("With several recordings, -o must be an existing directory.")
        return dict.fromkeys(files, output)
    targets = {file: output / f"{file.stem}.{transcript_format}" for file in files}
    if len(set(targets.values())) < len(files):
        raise click.UsageError(f"Two recordings would be written to the same file in {output}.")
    return dict(targets)


def _submit_all(client: ErniClient, files: Sequence[Path], options: dict[str, str], waiting: dict[str, Path]) -> int:
    """Upload every file, noting each job in ``waiting``; returns how many were refused."""
    refused = 0
    for file in files:
        try:
            with show_upload(file) as on_progress:
                job = client.submit(file, options, on_progress)
        except RequestFailed as error:
            if len(files) == 1:
                raise
            refused += 1
            _warn(f"Error: {file}: {error.message}")
        else:
            waiting[job["id"]] = file
    return refused


def _deliver(client: ErniClient, job_id: str, transcript_format: str, target: Path | None) -> bool:
    """Wait for a job and hand over its transcript; False when it has none."""
    with show_work(job_id) as on_update:
        job = client.wait(job_id, on_update)
    for warning in job["warnings"]:
        _warn(f"Warning: {warning['message']}")
    if job["status"] not in {JobStatus.SUCCEEDED, JobStatus.PARTIAL}:
        _warn(f"Error: job {job_id} {_describe_end(job)}")
        return False
    if job["status"] == JobStatus.PARTIAL:
        _warn(
            f"Warning: job {job_id} is partial: some speech is missing from the transcript. "
            f"`erni retry {job_id}` tries the missing parts again."
        )
    _write(client.transcript(job_id, transcript_format), target)
    return True


def _format_of(output: Path | None) -> str:
    suffix = output.suffix.removeprefix(".") if output is not None else ""
    return suffix if suffix in TRANSCRIPT_FORMATS else "txt"


def _write(content: bytes, target: Path | None) -> None:
    if target is None:
        click.echo(content, nl=not content.endswith(b"\n"))
        return
    try:
        target.write_bytes(content)
    except OSError as error:
        raise CommandFailed(f"Cannot write {target}: {error.strerror}.") from None


def _say_how_to_go_on(waiting: dict[str, Path]) -> None:
    for job_id, file in waiting.items():
        _warn(f"{file} is job {job_id}. See `erni show {job_id}`; end it with `erni cancel {job_id}`.")


def _describe_end(job: JobJson) -> str:
    error = job.get("error")
    return f"{job['status']}: {error['message']}" if error else f"is {job['status']}."


def _warn(message: str) -> None:
    click.echo(message, err=True)


@click.command()
@click.option("--status", type=click.Choice([status.value for status in JobStatus]), help="Only these.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many.")
@server_options
def jobs(status: str | None, limit: int, url: str | None, key: str | None) -> None:
    """List the newest jobs."""
    table = Table("job", "status", "progress", "audio", "created", "file")
    with connect(url, key) as client:
        for job in client.jobs(limit=limit, status=status):
            duration_s = job.get("duration_s")
            table.add_row(
                job["id"],
                job["status"],
                f"{job['progress']:.0%}",
                f"{duration_s:.0f} s" if duration_s is not None else "",
                job["created_at"],
                job.get("filename") or "",
            )
    print_table(table)


@click.command()
@click.argument("job_id")
@click.option("--format", "transcript_format", type=click.Choice(TRANSCRIPT_FORMATS), help="Print the transcript.")
@server_options
def show(job_id: str, transcript_format: str | None, url: str | None, key: str | None) -> None:
    """Show a job, or with --format its transcript."""
    with connect(url, key) as client:
        if transcript_format is not None:
            _write(client.transcript(job_id, transcript_format), None)
            return
        job = client.job(job_id)
    click.echo(f"{job['id']}  {job['status']}  {job['progress']:.0%}")
    if job.get("error"):
        click.echo(f"error: {job['error']['message']}")
    if waiting := job.get("waiting"):
        click.echo(f"waiting: until {waiting['until']}, because: {waiting['because']}")
    for warning in job["warnings"]:
        click.echo(f"warning: {warning['message']}")
    if reused := _describe_reuse(job.get("reused") or {}):
        click.echo(f"reused: {reused}")
    for name, elapsed_s in job["timings"].items():
        if elapsed_s is not None:
            click.echo(f"{name.removesuffix('_s')}: {elapsed_s:.2f} s")


def _describe_reuse(reused: JobJson) -> str:
    """What earlier results answered, and what that spared; empty where they answered nothing."""
    kinds = ("job", "prepare", "transcribe", "embed", "diarize")
    pieces = [f"{kind} {reused[kind]}" for kind in kinds if reused.get(kind)]
    if not pieces:
        return ""
    spared = f"{reused['engine_s']:.2f} s of engine time" + (f" and {reused['usd']:.4f} USD" if reused["usd"] else "")
    return f"{', '.join(pieces)}; spared {spared}"


@click.command()
@click.argument("job_id")
@server_options
def retry(job_id: str, url: str | None, key: str | None) -> None:
    """Try the missing parts of a job again; what it has is kept."""
    with connect(url, key) as client:
        click.echo(f"{job_id} {client.retry(job_id)['status']}")


@click.command()
@click.argument("job_id")
@server_options
def cancel(job_id: str, url: str | None, key: str | None) -> None:
    """Stop a job."""
    with connect(url, key) as client:
        click.echo(f"{job_id} {client.cancel(job_id)['status']}")


@click.command()
@click.argument("job_id")
@server_options
def delete(job_id: str, url: str | None, key: str | None) -> None:
    """Delete a job with its recording and transcript; tells what was removed."""
    with connect(url, key) as client:
        removed = client.delete(job_id)
    counts = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in removed.items())
    click.echo(f"{job_id} deleted: {counts}")
