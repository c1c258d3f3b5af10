"""Known voices: enrol, list, look at, rename, delete; and name the speakers of a job that is over with them.

A caller sees its own tenant's voices only.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from flask import Blueprint, Response, jsonify, request

from api.auth import current_caller, require_key
from api.json_body import check_fields, load_json_object
from api.runtime import current_runtime
from api.uploads import Fields, receive_upload
from api.voice_schemas import describe_names, describe_voiceprint, parse_enrolment, parse_name, parse_wanted
from erni import blob_paths
from erni.errors import InvalidOption
from erni.steps.enrolling import Enrolment, accept_enrolment, forget_voiceprint, start_enrolment
from erni.steps.naming import name_job
from erni.voiceprints import Voiceprint

FORM: Final = "application/x-www-form-urlencoded"
EXAMPLE: Final = '{"job_id": "...", "speaker": "speaker_1", "name": "Anna", "consent": "signed on paper, 2026-03-01"}'

blueprint = Blueprint("voiceprints", __name__, url_prefix="/v1/voiceprints")
require_key(blueprint)
naming = Blueprint("names", __name__, url_prefix="/v1/jobs/<job_id>/names")
require_key(naming)


@blueprint.post("")
def enrol() -> tuple[Response, int, dict[str, str]]:
    """202: the voiceprint is recorded as pending and will be made, of a recording or of a speaker of a job."""
    runtime = current_runtime()
    max_days = runtime.services.limits.naming.max_days
    if request.mimetype in (FORM, "application/json"):
        fields = _single(request.form.to_dict(flat=False)) if request.mimetype == FORM else load_json_object(EXAMPLE)
        return _accept(parse_enrolment(fields, None, max_days))
    with receive_upload(request, runtime.services.temporary_dir, runtime.max_upload_bytes) as received:
        return _accept(parse_enrolment(_single(received.fields), received.upload, max_days))


@blueprint.get("")
def list_voiceprints() -> Response:
    """All of the tenant's, by name."""
    found = current_runtime().services.voiceprints.list_voiceprints(current_caller().tenant)
    return jsonify(voiceprints=[describe_voiceprint(voiceprint) for voiceprint in found])


@blueprint.get("/<voiceprint_id>")
def show_voiceprint(voiceprint_id: str) -> Response:
    """One voiceprint, and how far it is made."""
    voiceprints = current_runtime().services.voiceprints
    found = voiceprints.get(blob_paths.check_voiceprint_id(voiceprint_id), tenant=current_caller().tenant)
    return jsonify(describe_voiceprint(found))


@blueprint.patch("/<voiceprint_id>")
def rename_voiceprint(voiceprint_id: str) -> Response:
    """The voiceprint under its new name. Transcripts named before keep the old one."""
    body = load_json_object('{"name": "Anna"}')
    check_fields(body, "name")
    name = parse_name(body.get("name"))
    voiceprints = current_runtime().services.voiceprints
    tenant = current_caller().tenant
    return jsonify(
        describe_voiceprint(voiceprints.rename(blob_paths.check_voiceprint_id(voiceprint_id), name, tenant=tenant))
    )


@blueprint.delete("/<voiceprint_id>")
def remove_voiceprint(voiceprint_id: str) -> tuple[str, int]:
    """204: the voiceprint, in every form, and what it was to be made from are gone."""
    services = current_runtime().services
    forget_voiceprint(services, blob_paths.check_voiceprint_id(voiceprint_id), tenant=current_caller().tenant)
    return "", 204


@naming.post("")
def name_speakers(job_id: str) -> Response:
    """Who the speakers of a job that is over are; its transcript shows these names from now on. Costs nothing."""
    services = current_runtime().services
    body = load_json_object('{"voiceprints": "all"}')
    check_fields(body, "voiceprints")
    job = services.jobs.get(blob_paths.check_job_id(job_id), tenant=current_caller().tenant)
    return jsonify(describe_names(job.job_id, name_job(services, job, parse_wanted(body.get("voiceprints")))))


def _accept(enrolment: Enrolment) -> tuple[Response, int, dict[str, str]]:
    """The work is queued right after the answer has been sent: once recorded, the voiceprint cannot be lost."""
    services = current_runtime().services
    voiceprint: Voiceprint = accept_enrolment(services, enrolment, current_caller())
    response = jsonify(describe_voiceprint(voiceprint))
    response.call_on_close(partial(start_enrolment, services, voiceprint.voiceprint_id))
    return response, 202, {"Location": f"/v1/voiceprints/{voiceprint.voiceprint_id}"}


def _single(fields: Fields) -> dict[str, object]:
    """Each field's only value. Raises InvalidOption where one is given twice."""
    for name, values in fields.items():
        if len(values) > 1:
            raise InvalidOption(f"{name} is given more than once.", field=name[:64])
    return {name: values[0] for name, values in fields.items()}
