"""A stand-in of Replicate with one model, whisper-diarization: files, predictions and webhooks as in its HTTP reference
(2026-11), with the local engines to listen.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from vendors.faults import ErrorAnswer, Faults
from vendors.listening import Listening
from vendors.refusing import take_rest
from vendors.remote_jobs import JobBook, JobFailed, VendorJob, format_time
from vendors.replicate_work import check_input, transcribe_and_diarize
from vendors.signing import sign_replicate
from vendors.webhooks import WebhookSender, may_call

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

API_TOKEN: Final = "r8_loopback"  # noqa: S105  # of a stand-in
WEBHOOK_SECRET: Final = "whsec_bG9vcGJhY2stcmVwbGljYXRlLXNlY3JldA=="  # noqa: S105  # as above
OWNER: Final = "thomasmol"
MODEL: Final = "whisper-diarization"
VERSION: Final = hashlib.sha256(b"whisper-diarization on loopback").hexdigest()
RETENTION_S: Final = 3600.0
FILE_LIFE: Final = timedelta(hours=24)
MAX_FILE_BYTES: Final = 100 * 1024**2
RETRY_DELAYS_S: Final = (2.0, 4.0, 8.0, 16.0, 30.0)
MAX_PAGE: Final = 100
ID_CHARS: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
LATEST_VERSION: Final = {
    "id": VERSION,
    "created_at": "2026-06-10T12:00:00Z",
    "cog_version": "0.16.0",
    "openapi_schema": {"components": {"schemas": {"Output": {"type": "object"}}}},
}


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of the files API."""

    file_id: str
    name: str
    content_type: str
    path: Path
    digest: str
    metadata: Mapping[str, Any]
    created_at: datetime


@dataclass(slots=True, kw_only=True)
class ReplicateVendor:
    """Replicate for one account. Where its answers are wanted sooner or lost, set ``jobs`` and ``webhooks``."""

    listening: Listening
    api_token: str = API_TOKEN
    webhook_secret: str = WEBHOOK_SECRET
    faults: Faults = field(init=False)
    jobs: JobBook = field(init=False)
    webhooks: WebhookSender = field(init=False)
    app: WSGIApplication = field(init=False)
    _files: dict[str, StoredFile] = field(default_factory=dict, init=False)
    _folder: tempfile.TemporaryDirectory[str] = field(init=False)

    def __post_init__(self) -> None:
        self.faults = Faults(write_error)
        self.jobs = JobBook(waiting="starting", working="processing", retention_s=RETENTION_S, on_end=self._call_back)
        self.webhooks = WebhookSender(RETRY_DELAYS_S)
        self.app = self.faults.wrap(_build_app(self))
        self._folder = tempfile.TemporaryDirectory(prefix="replicate-vendor-")

    def close(self) -> None:
        self.webhooks.close()
        self.jobs.close()
        self._folder.cleanup()

    @property
    def files(self) -> Sequence[StoredFile]:
        """Newest first."""
        return list(reversed(self._files.values()))

    def store(self, content: IO[bytes], name: str, content_type: str, metadata: Mapping[str, Any]) -> StoredFile:
        file_id = make_id()
        path = Path(self._folder.name) / (file_id + Path(name).suffix)
        with path.open("wb") as stored:
            shutil.copyfileobj(content, stored)
        with path.open("rb") as stored:
            digest = hashlib.file_digest(stored, "sha256").hexdigest()
        file = StoredFile(file_id, name, content_type, path, digest, metadata, datetime.now(UTC))
        self._files[file_id] = file
        return file

    def find_file(self, address: object) -> StoredFile | None:
        """By id, or by an address that ends in one."""
        return self._files.get(address.rpartition("/")[2]) if isinstance(address, str) else None

    def delete_file(self, file_id: str) -> bool:
        file = self._files.pop(file_id, None)
        if file is not None:
            file.path.unlink(missing_ok=True)
        return file is not None

    def start(self, asked: Mapping[str, Any]) -> VendorJob:
        return self.jobs.start(make_id(), asked, lambda: self._work(asked["input"]))

    def _work(self, given: Mapping[str, Any]) -> dict[str, Any]:
        file = self.find_file(given.get("file"))
        if file is None:
            raise JobFailed("The file could not be downloaded")
        output = transcribe_and_diarize(self.listening, file.path, given)
        self.faults.bill("prediction", self.listening.duration_s(file.path), file.digest)
        return output

    def _call_back(self, job: VendorJob) -> None:
        url = job.asked.get("webhook")
        if url is None:
            return
        body = json.dumps(describe_prediction(job, "https://api.replicate.com")).encode()
        delivery_id = f"msg_{make_id()}"
        self.webhooks.send(
            url, body, lambda *_: sign_replicate(self.webhook_secret, delivery_id, int(time.time()), body)
        )


def make_id() -> str:
    return "".join(secrets.choice(ID_CHARS) for _ in range(26))


def write_error(status: int, code: str | None = None) -> ErrorAnswer:
    """Its bodies (RFC 7807). A 429 says when it ends in its words only; ``code`` replaces the detail."""
    titles = {HTTPStatus.PAYMENT_REQUIRED: "Insufficient credit", HTTPStatus.UNAUTHORIZED: "Unauthenticated"}
    details = {
        HTTPStatus.PAYMENT_REQUIRED: "You have insufficient credit to run this model.",
        HTTPStatus.UNAUTHORIZED: "You did not pass a valid authentication token",
        HTTPStatus.TOO_MANY_REQUESTS: "Request was throttled. Your rate limit resets in ~30s.",
    }
    known = HTTPStatus(status)
    detail = code or details.get(known, known.phrase)
    content: dict[str, object] = {"title": titles.get(known, known.phrase), "detail": detail, "status": status}
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        content = {"detail": detail}
    return json.dumps(content).encode(), {"Content-Type": "application/problem+json"}


def describe_prediction(job: VendorJob, host: str) -> dict[str, Any]:
    """A prediction as ``GET /v1/predictions/{id}`` shows it."""
    address = f"{host.rstrip('/')}/v1/predictions/{job.job_id}"
    begun = job.started_at or job.created_at
    metrics = {} if job.ended_at is None else {
        "predict_time": (job.ended_at - begun).total_seconds(),
        "total_time": (job.ended_at - job.created_at).total_seconds(),
    }  # fmt: skip
    return {
        "id": job.job_id,
        "model": f"{OWNER}/{MODEL}",
        "version": VERSION,
        "status": job.status,
        "input": {} if job.is_deleted else job.asked["input"],
        "output": job.output,
        "error": job.error,
        "logs": None if job.is_deleted else "",
        "created_at": format_time(job.created_at),
        "started_at": format_time(job.started_at),
        "completed_at": format_time(job.ended_at),
        "metrics": metrics,
        "data_removed": job.is_deleted,
        "urls": {"get": address, "cancel": f"{address}/cancel"},
        **{name: job.asked[name] for name in ("webhook", "webhook_events_filter") if name in job.asked},
    }


def describe_file(file: StoredFile, host: str) -> dict[str, Any]:
    """A file as ``GET /v1/files/{id}`` shows it."""
    return {
        "id": file.file_id,
        "name": file.name,
        "content_type": file.content_type,
        "size": file.path.stat().st_size,
        "etag": file.digest[:32],
        "checksums": {"sha256": file.digest},
        "metadata": file.metadata,
        "created_at": format_time(file.created_at),
        "expires_at": format_time(file.created_at + FILE_LIFE),
        "urls": {"get": f"{host.rstrip('/')}/v1/files/{file.file_id}"},
    }


def _build_app(vendor: ReplicateVendor) -> Flask:
    app = Flask("vendors.replicate")
    app.before_request(lambda: _check_token(vendor))
    app.register_error_handler(HTTPException, lambda error: _refuse(error.code or 500))
    _add_files(app, vendor)
    _add_models(app, vendor)
    _add_predictions(app, vendor)
    return app


def _check_token(vendor: ReplicateVendor) -> Response | None:
    shown = request.headers.get("Authorization", "")
    if hmac.compare_digest(shown.encode(), f"Bearer {vendor.api_token}".encode()):
        return None
    return _refuse(HTTPStatus.UNAUTHORIZED)


def _refuse(status: int, detail: str | None = None) -> Response:
    take_rest()
    body, headers = write_error(status, detail)
    return Response(body, status, dict(headers))


def _page(rows: Sequence[dict[str, Any]]) -> Response:
    first = request.args.get("cursor", 0, int)
    last = first + MAX_PAGE
    following = f"{request.base_url}?cursor={last}" if last < len(rows) else None
    return jsonify(previous=None, next=following, results=rows[first:last])


def _add_files(app: Flask, vendor: ReplicateVendor) -> None:
    @app.post("/v1/files")
    def create_file() -> Response | tuple[Response, int]:
        if (request.content_length or 0) > MAX_FILE_BYTES + 64 * 1024:
            return _refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "File is larger than 100 MiB")
        content = request.files.get("content")
        if content is None:
            return _refuse(HTTPStatus.UNPROCESSABLE_ENTITY, "content: this field is required")
        metadata = json.loads(request.form.get("metadata", "{}"))
        file = vendor.store(content.stream, content.filename or "file", content.mimetype, metadata)
        return jsonify(describe_file(file, request.host_url)), HTTPStatus.CREATED

    @app.get("/v1/files")
    def list_files() -> Response:
        return _page([describe_file(file, request.host_url) for file in vendor.files])

    @app.get("/v1/files/<file_id>")
    def read_file(file_id: str) -> Response:
        file = vendor.find_file(file_id)
        return _refuse(HTTPStatus.NOT_FOUND) if file is None else jsonify(describe_file(file, request.host_url))

    @app.delete("/v1/files/<file_id>")
    def delete_file(file_id: str) -> Response:
        return Response(status=204) if vendor.delete_file(file_id) else _refuse(HTTPStatus.NOT_FOUND)


def _add_models(app: Flask, vendor: ReplicateVendor) -> None:
    @app.get(f"/v1/models/{OWNER}/{MODEL}")
    def read_model() -> Response:
        return jsonify(
            url=f"https://replicate.com/{OWNER}/{MODEL}",
            owner=OWNER,
            name=MODEL,
            description="Transcribes and tells speakers apart",
            visibility="public",
            run_count=1,
            is_official=False,
            latest_version=LATEST_VERSION,
        )

    @app.get(f"/v1/models/{OWNER}/{MODEL}/versions/{VERSION}")
    def read_version() -> Response:
        return jsonify(LATEST_VERSION)

    @app.get("/v1/webhooks/default/secret")
    def read_secret() -> Response:
        return jsonify(key=vendor.webhook_secret)


def _add_predictions(app: Flask, vendor: ReplicateVendor) -> None:
    @app.post("/v1/predictions")
    def create() -> Response | tuple[Response, int]:
        asked: Any = request.get_json(silent=True)
        wrong = _find_wrong(asked)
        if wrong:
            return _refuse(HTTPStatus.UNPROCESSABLE_ENTITY, wrong)
        job = vendor.start(asked)
        return jsonify(describe_prediction(job, request.host_url)), HTTPStatus.CREATED

    @app.get("/v1/predictions")
    def list_predictions() -> Response:
        return _page([describe_prediction(job, request.host_url) for job in vendor.jobs.all()])

    @app.get("/v1/predictions/<job_id>")
    def read(job_id: str) -> Response:
        job = vendor.jobs.find(job_id)
        return _refuse(HTTPStatus.NOT_FOUND) if job is None else jsonify(describe_prediction(job, request.host_url))

    @app.post("/v1/predictions/<job_id>/cancel")
    def cancel(job_id: str) -> Response:
        if vendor.jobs.find(job_id) is None:
            return _refuse(HTTPStatus.NOT_FOUND)
        vendor.jobs.end(job_id, "canceled")
        return read(job_id)


def _find_wrong(asked: Any) -> str | None:
    """What of a prediction's request is refused, ``None`` where nothing is."""
    if not isinstance(asked, dict):
        return "The body must be an object"
    if asked.get("version") not in {VERSION, f"{OWNER}/{MODEL}:{VERSION}"}:
        return "Invalid version or not permitted"
    if "webhook" in asked and not may_call(asked["webhook"]):
        return "webhook: must be an HTTPS URL"
    return "; ".join(f"{name}: {message}" for name, message in check_input(asked.get("input"))) or None
