"""Jobs, steps and keys to and from rows: the only place that knows both shapes. Runs no query.

A row may have been written by a newer release of Erni: option names unknown here are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, Final

from sqlalchemy import RowMapping

from erni.errors import StorageError
from erni.jobs import Failure, Job, JobFailure, JobFields, JobOptions, JobStatus, Savings, Step, StepKind
from erni.keys import ApiKey
from erni.model import Notice, Span

_OPTION_NAMES: Final = frozenset(field.name for field in fields(JobOptions))
_FIXED_FIELDS: Final = frozenset({"job_id", "tenant", "status", "created_at"})
_SETTABLE_FIELDS: Final = frozenset(field.name for field in fields(Job)) - _FIXED_FIELDS


def job_columns(job_fields: JobFields) -> dict[str, object]:
    """The columns that hold these fields of a job.

    Raises:
        ValueError: a name is not a field of ``Job``, or not one to set (``advance`` alone moves the status).
    """
    if wrong := job_fields.keys() - _SETTABLE_FIELDS:
        raise ValueError(f"These fields of a job cannot be set: {', '.join(sorted(wrong))}.")
    columns = dict(job_fields)
    if "options" in columns:
        columns["options"] = asdict(columns["options"])
    if "warnings" in columns:
        columns["warnings"] = [asdict(notice) for notice in columns["warnings"]]
    if "failure" in columns:
        failure: JobFailure | None = columns.pop("failure")
        columns["failure_code"] = failure and failure.code
        columns["failure_message"] = failure and failure.message
    return columns


def job_row(job: Job) -> dict[str, object]:
    """A whole row; a job without news was last heard of when it was made."""
    return {
        "job_id": job.job_id,
        "tenant": job.tenant,
        "status": job.status.value,
        "created_at": job.created_at,
        **job_columns({name: getattr(job, name) for name in _SETTABLE_FIELDS}),
        "updated_at": job.updated_at or job.created_at,
    }


def parse_job(row: RowMapping) -> Job:
    """The job a row holds.

    Raises:
        StorageError: its status is unknown here.
    """
    columns: dict[str, Any] = dict(row)
    code, message = columns.pop("failure_code"), columns.pop("failure_message")
    columns["status"] = _parse_status(columns["status"])
    columns["options"] = _parse_options(columns["options"])
    columns["warnings"] = tuple(_parse_notice(notice) for notice in columns["warnings"])
    columns["failure"] = None if code is None else JobFailure(code, message)
    return Job(**columns)


def step_row(step: Step) -> dict[str, object]:
    columns = {field.name: getattr(step, field.name) for field in fields(step) if field.name != "savings"}
    return {
        **columns,
        "kind": step.kind.value,
        "failures": [asdict(failure) for failure in step.failures],
        "savings_engine_s": step.savings and step.savings.engine_s,
        "savings_usd": step.savings and step.savings.usd,
    }


def parse_step(row: RowMapping) -> Step:
    columns: dict[str, Any] = dict(row)
    engine_s, usd = columns.pop("savings_engine_s"), columns.pop("savings_usd")
    columns["kind"] = StepKind(columns["kind"])
    columns["failures"] = tuple(Failure(failure["engine"], failure["reason"]) for failure in columns["failures"])
    columns["savings"] = None if engine_s is None else Savings(engine_s, usd)
    return Step(**columns)


def key_row(key: ApiKey) -> dict[str, object]:
    return {field.name: getattr(key, field.name) for field in fields(key)}


def parse_key(row: RowMapping) -> ApiKey:
    columns: dict[str, Any] = dict(row)
    return ApiKey(**columns)


def _parse_status(status: str) -> JobStatus:
    try:
        return JobStatus(status)
    except ValueError:
        raise StorageError(
            f"The job's status {status!r} is unknown: a newer release of Erni wrote it. Upgrade this one."
        ) from None


def _parse_options(options: Mapping[str, Any]) -> JobOptions:
    # JSON has lists only, but options that went through it must equal those that did not.
    known: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in options.items()
        if name in _OPTION_NAMES
    }
    return JobOptions(**known)


def _parse_notice(notice: Mapping[str, Any]) -> Notice:
    span = notice.get("span")
    return Notice(notice["code"], notice["message"], span and Span(span["start_s"], span["end_s"]))
