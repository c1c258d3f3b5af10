"""A stand-in of pyannote.ai: media, diarization, identification, voiceprints, jobs and webhooks as in its OpenAPI
description (2026-08), with the local engines to listen. Transcription and confidences it does not offer.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import shutil
import tempfile
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Literal

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from vendors.faults import ErrorAnswer, Faults
from vendors.listening import Listening
from vendors.pyannote_checks import check_request
from vendors.pyannote_work import diarize, identify, make_voiceprint
from vendors.refusing import take_rest
from vendors.remote_jobs import JobBook, JobFailed, VendorJob, format_time
from vendors.signing import sign_pyannote
from vendors.webhooks import WebhookSender

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

API_KEY: Final = "pyannote-test-key"
WEBHOOK_SECRET: Final = "whs_loopback"  # noqa: S105  # of a stand-in
RETENTION_S: Final = 24 * 3600.0
RETRY_DELAYS_S: Final = (0.0, 60.0, 300.0)
WORK: Final = {"diarize": diarize, "identify": identify, "voiceprint": make_voiceprint}
MAX_PAGE: Final = 100
MINIMUM_BILLED_S: Final = 20.0


@dataclass(slots=True, kw_only=True)
class PyannoteVendor:
    """pyannote.ai for one account. Where its answers are wanted sooner or lost, set ``jobs`` and ``webhooks``."""

    listening: Listening
    api_key: str = API_KEY
    webhook_secret: str = WEBHOOK_SECRET
    signature_encoding: Literal["hex", "base64"] = "hex"
    faults: Faults = field(init=False)
    jobs: JobBook = field(init=False)
    webhooks: WebhookSender = field(init=False)
    app: WSGIApplication = field(init=False)
    _media: dict[str, Path] = field(default_factory=dict, init=False)
    _uploads: dict[str, str] = field(default_factory=dict, init=False)
    _folder: tempfile.TemporaryDirectory[str] = field(init=False)

    def __post_init__(self) -> None:
        self.faults = Faults(write_error)
        self.jobs = JobBook(waiting="created", working="running", retention_s=RETENTION_S, on_end=self._call_back)
        self.webhooks = WebhookSender(RETRY_DELAYS_S, max_redirects=2)
        self.app = self.faults.wrap(_build_app(self))
        self._folder = tempfile.TemporaryDirectory(prefix="pyannote-vendor-")

    def close(self) -> None:
        self.webhooks.close()
        self.jobs.close()
        self._folder.cleanup()

    def make_upload_address(self, media: str, host: str) -> str:
        """A presigned address to PUT the file of ``media`` to."""
        token = secrets.token_urlsafe(16)
        self._uploads[token] = media
        return f"{host.rstrip('/')}/uploads/{token}?X-Amz-Signature={secrets.token_hex(8)}"

    def store(self, token: str, content: IO[bytes]) -> bool:
        """Whether there is such an address. A second upload of the same media replaces the first."""
        media = self._uploads.get(token)
        name = hashlib.sha256((media or "").encode()).hexdigest() + Path(media or "").suffix
        path = Path(self._folder.name) / name
        with path.open("wb") as stored:
            shutil.copyfileobj(content, stored)
        if media is not None:
            self._media[media] = path
        return media is not None

    def start(self, kind: str, asked: Mapping[str, Any]) -> VendorJob:
        return self.jobs.start(str(uuid.uuid4()), asked, lambda: self._work(kind, asked))

    def _work(self, kind: str, asked: Mapping[str, Any]) -> dict[str, object]:
        path = self._media.get(asked["url"])
        if path is None:
            raise JobFailed("Could not load audio")
        output = WORK[kind](self.listening, path, asked)
        with path.open("rb") as stored:
            digest = hashlib.file_digest(stored, "sha256").hexdigest()
        self.faults.bill(kind, max(MINIMUM_BILLED_S, self.listening.duration_s(path)), digest)
        return output

    def _call_back(self, job: VendorJob) -> None:
        url = job.asked.get("webhook")
        if url is None:
            return
        content: dict[str, object] = {"jobId": job.job_id, "status": job.status}
        if job.output is not None and not job.asked.get("webhookStatusOnly"):
            content["output"] = job.output
        body = json.dumps(content).encode()
        self.webhooks.send(url, body, lambda attempt, reason: self._webhook_headers(body, attempt, reason))

    def _webhook_headers(self, body: bytes, attempt: int, reason: str) -> dict[str, str]:
        retry = {"x-retry-num": str(attempt), "x-retry-reason": reason} if attempt else {}
        signed = sign_pyannote(self.webhook_secret, int(time.time()), body, self.signature_encoding)
        return {**signed, **retry}


def write_error(status: int, code: str | None = None) -> ErrorAnswer:
    """Its bodies: 402 and 429 name the request, 400 the fields, all others (undeclared) just say something."""
    message = code or HTTPStatus(status).phrase
    content: dict[str, object] = {"message": message}
    headers = {"Content-Type": "application/json"}
    if status in {HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.TOO_MANY_REQUESTS}:
        content = {"requestId": str(uuid.uuid4()), "message": message}
    if status == HTTPStatus.BAD_REQUEST:
        content = {"message": "Invalid request", "errors": [{"field": "url", "message": code or "Invalid URL"}]}
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        headers |= {"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "60"}
    return json.dumps(content).encode(), headers


def describe_job(job: VendorJob) -> dict[str, object]:
    """A job as ``GET /v1/jobs/{id}`` shows it."""
    content: dict[str, object] = {
        "jobId": job.job_id,
        "status": job.status,
        "createdAt": format_time(job.created_at),
        "updatedAt": format_time(job.ended_at or job.started_at or job.created_at),
    }
    if job.output is not None:
        content["output"] = job.output
    if job.error is not None:
        content["output"] = {"error": job.error}
    return content


def _build_app(vendor: PyannoteVendor) -> Flask:
    app = Flask("vendors.pyannote")
    app.before_request(lambda: _check_key(vendor))
    app.register_error_handler(HTTPException, lambda error: _refuse(error.code or 500, error.name))
    _add_media(app, vendor)
    _add_jobs(app, vendor)
    return app


def _check_key(vendor: PyannoteVendor) -> Response | None:
    is_upload = request.path.startswith("/uploads/")
    shown = request.headers.get("Authorization")
    if is_upload and shown is not None:
        return _refuse(HTTPStatus.BAD_REQUEST, "Only one auth mechanism allowed")
    if not is_upload and not hmac.compare_digest((shown or "").encode(), f"Bearer {vendor.api_key}".encode()):
        return _refuse(HTTPStatus.UNAUTHORIZED, "Invalid API key")
    return None


def _refuse(status: int, message: str) -> Response:
    take_rest()
    body, headers = write_error(status, message)
    return Response(body, status, dict(headers))


def _add_media(app: Flask, vendor: PyannoteVendor) -> None:
    @app.post("/v1/media/input")
    def make_upload_address() -> Response | tuple[Response, int]:
        asked: Any = request.get_json(silent=True)
        errors = check_request("media", asked)
        if errors:
            return _refuse_fields(errors)
        return jsonify(url=vendor.make_upload_address(asked["url"], request.host_url)), HTTPStatus.CREATED

    @app.put("/uploads/<token>")
    def upload(token: str) -> Response:
        if not vendor.store(token, request.stream):
            denied = "<Error><Code>AccessDenied</Code></Error>"
            return Response(denied, HTTPStatus.FORBIDDEN, content_type="application/xml")
        return Response(status=HTTPStatus.OK)


def _refuse_fields(errors: list[dict[str, str]]) -> tuple[Response, int]:
    return jsonify(message="Invalid request", errors=errors), HTTPStatus.BAD_REQUEST


def _add_jobs(app: Flask, vendor: PyannoteVendor) -> None:
    @app.get("/v1/test")
    def test() -> Response:
        return jsonify(status="OK", message="Authenticated")

    @app.post("/v1/<any(diarize, identify, voiceprint):kind>")
    def start(kind: str) -> Response | tuple[Response, int]:
        asked: Any = request.get_json(silent=True)
        errors = check_request(kind, asked)
        if errors:
            return _refuse_fields(errors)
        job = vendor.start(kind, asked)
        return jsonify(jobId=job.job_id, status=job.status)

    @app.get("/v1/jobs/<job_id>")
    def read(job_id: str) -> Response:
        job = vendor.jobs.find(job_id)
        return _refuse(HTTPStatus.NOT_FOUND, "Job not found") if job is None else jsonify(describe_job(job))

    @app.get("/v2/jobs")
    def list_jobs() -> Response:
        status, limit = request.args.get("status"), request.args.get("limit", MAX_PAGE, int)
        first = request.args.get("cursor", 0, int)
        jobs = [job for job in vendor.jobs.all() if status in {None, job.status}]
        last = first + min(max(1, limit), MAX_PAGE)
        items = [
            {"id": job.job_id, "status": job.status, "createdAt": format_time(job.created_at)}
            for job in jobs[first:last]
        ]
        return jsonify(items=items, nextCursor=str(last) if last < len(jobs) else None)
