"""Quotes: what a job would cost, before its upload by its length, or after it by its chunks. Nothing is bought here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import BadRequest

from api.auth import current_caller, require_key
from api.money_schemas import describe_budget, describe_quote
from api.runtime import current_runtime
from erni import blob_paths, codec
from erni.errors import BlobNotFound, InvalidOption, JobConflict
from erni.jobs import Job, JobOptions
from erni.options import parse_options
from erni.quoting import Recording, quote_alternatives, quote_job
from erni.steps.known_voices import find_wanted_voices
from erni.steps.paying import declared_engines, find_budget

MAX_BODY_BYTES: Final = 64 * 1024

blueprint = Blueprint("quotes", __name__, url_prefix="/v1/quotes")
require_key(blueprint)


@blueprint.post("")
def make_quote() -> Response:
    """The price of a job with these options, and beside it that of the same job with each other engine offered."""
    body = _load_body()
    duration_s, job_id = body.pop("duration_s", None), body.pop("job_id", None)
    if (duration_s is None) == (job_id is None):
        raise InvalidOption("Give either duration_s or job_id.", field="duration_s")
    fields = {name: [_field_text(name, value)] for name, value in body.items() if value is not None}
    job = None if job_id is None else _own_job(job_id)
    recording = Recording(_parse_duration(duration_s)) if job is None else _load_recording(job)
    return jsonify(_describe(recording, job.options if job is not None and not fields else _parse_options(fields)))


def _describe(recording: Recording, options: JobOptions) -> dict[str, Any]:
    services = current_runtime().services
    rows = {row.engine: row for row in current_runtime().catalogue.rows}
    engines, limits = declared_engines(services), services.limits.chunks
    budget = find_budget(services, current_caller(), options)
    others = quote_alternatives(engines, options, recording, limits, services.clock().date())
    return {
        "duration_s": recording.duration_s,
        "basis": "duration" if recording.chunks_s is None else "chunks",
        **describe_quote(quote_job(engines, options, recording, limits), budget, rows),
        "budget": describe_budget(budget),
        "alternatives": [describe_quote(quote, budget, rows) for quote in others],
    }


def _load_body() -> dict[str, Any]:
    """Raises InvalidOption: it is not a JSON object."""
    request.max_content_length = MAX_BODY_BYTES
    try:
        body = request.get_json(force=True)
    except (BadRequest, RecursionError):  # deep nesting exhausts the parser's stack
        body = None
    if not isinstance(body, dict):
        raise InvalidOption('Send a JSON object, such as {"duration_s": 3600, "engine": "whisper"}.')
    return body


def _parse_options(fields: Mapping[str, Sequence[str]]) -> JobOptions:
    """As those of a job that is submitted now."""
    runtime = current_runtime()
    options = parse_options(fields, runtime.offers.on(runtime.services.clock().date()))
    return find_wanted_voices(runtime.services, options, current_caller().tenant)


def _field_text(name: str, value: object) -> str:
    """An option's JSON value as a form would send it, which is what the options are parsed from."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value}"
    raise InvalidOption(f"{name[:64]} must be a text, a number or a list of texts.", field=name[:64])


def _parse_duration(value: object) -> float:
    longest_s = current_runtime().services.decoder.max_duration_s
    # JSON's true is Python's 1, and NaN is in no range.
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= longest_s:
        return float(value)
    raise InvalidOption(f"duration_s must be a number of seconds above 0, at most {longest_s:g}.", field="duration_s")


def _own_job(job_id: object) -> Job:
    """Another tenant's job is as absent as one that never was. Raises JobNotFound."""
    jobs = current_runtime().services.jobs
    return jobs.get(blob_paths.check_job_id(str(job_id)), tenant=current_caller().tenant)


def _load_recording(job: Job) -> Recording:
    """A job's recording as it was cut, if its engine wanted that. Raises JobConflict where there is no plan."""
    try:
        plan = codec.load_plan(current_runtime().services.blobs.get_bytes(blob_paths.plan(job.job_id)))
    except BlobNotFound:
        raise JobConflict(
            f"The job is {job.status} and has no chunks to count. Ask again when it is processing, or give duration_s."
        ) from None
    chunks_s = None if plan.is_one_shot else tuple(chunk.audio.duration_s for chunk in plan.chunks)
    return Recording(plan.duration_s, chunks_s)
