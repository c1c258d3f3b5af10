"""OpenAI's transcription on loopback, or a server that speaks its protocol: speaches, whisper.cpp, LocalAI, vLLM.

``POST /v1/audio/transcriptions`` with every model and format, and what each refuses; ``GET /v1/models`` with
``shutdown_date``. Source: OpenAI's API reference, its SDK's types, and error reports of its users.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import threading
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flask import Flask, Response, request

from erni.errors import ErniError
from vendors.faults import ErrorAnswer, Faults
from vendors.listening import Listening
from vendors.openai_models import MAX_CONTENT_BYTES, MODELS, Form, Model, Objection, find_objection
from vendors.openai_servers import (
    TEXT_MODEL,
    WHISPER_MODEL,
    find_server_objection,
    is_readable,
    spoken_language,
)
from vendors.openai_shapes import Heard, Kind, render_diarized, render_json, render_subtitles, render_verbose

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

API_KEY: Final = "sk-loopback-openai"
RATE_LIMIT: Final = 500
CREATED: Final = 1_700_000_000
ANY_MODEL: Final = Model(frozenset({"json", "text", "srt", "verbose_json", "vtt"}), usage="duration")

_ERRORS: Final[Mapping[int, tuple[str, str | None, str]]] = {
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-loop***nope."),
    403: ("invalid_request_error", "model_not_found", "Project `proj_1` does not have access to this model."),
    413: ("server_error", None, f"413: Maximum content size limit ({MAX_CONTENT_BYTES}) exceeded."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests."),
    500: ("server_error", None, "The server had an error while processing your request."),
    503: ("service_unavailable_error", "server_is_overloaded", "The engine is currently overloaded."),
}


def write_error(status: int, code: str | None) -> ErrorAnswer:
    """OpenAI's error object. Quota errors have their code as their type."""
    error_type, usual_code, message = _ERRORS.get(status, ("invalid_request_error", None, "The request failed."))
    if status == HTTPStatus.TOO_MANY_REQUESTS and code is not None and code != usual_code:
        error_type, message = code, "You exceeded your current quota, please check your plan and billing details."
    body = {"error": {"message": message, "type": error_type, "param": None, "code": code or usual_code}}
    return json.dumps(body).encode(), {"Content-Type": "application/json", "x-request-id": _request_id()}


@dataclass(slots=True)
class OpenAIVendor:
    """The vendor: ``app`` is served, ``faults`` steers and counts, ``forms`` has what was asked, call by call.

    ``path`` is where it transcribes: whisper.cpp at ``/inference``, unless it is started with another
    ``--inference-path``. ``installed`` are the models speaches has.
    """

    listening: Listening
    api_key: str | None = API_KEY
    kind: Kind = "openai"
    path: str = "/v1/audio/transcriptions"
    installed: Collection[str] = (WHISPER_MODEL, TEXT_MODEL)
    faults: Faults = field(default_factory=lambda: Faults(write_error))
    forms: list[Form] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @property
    def app(self) -> WSGIApplication:
        flask = Flask("vendors.openai")
        flask.add_url_rule(self.path, view_func=self._transcribe, methods=["POST"])
        flask.add_url_rule("/v1/models", view_func=self._models)
        flask.add_url_rule("/health", view_func=self._health)
        flask.register_error_handler(404, lambda _: self._object(Objection("Not found.", status=404)))
        return self.faults.wrap(flask.wsgi_app)

    def _models(self) -> Response:
        if not self._is_authorised():
            return self._unauthorised()
        if self.kind == "whisper.cpp":
            return self._object(Objection("Not found.", status=404))
        ends = {name: model.shutdown_date for name, model in MODELS.items()}
        if self.kind == "speaches":
            ends = dict.fromkeys(self.installed)
        rows = [
            {"id": name, "object": "model", "created": CREATED, "owned_by": "openai", "shutdown_date": end}
            for name, end in ends.items()
        ]
        return _json({"object": "list", "data": rows})

    def _health(self) -> Response:
        return _json({"status": "ok"})

    def _transcribe(self) -> Response:
        if not self._is_authorised():
            return self._unauthorised()
        if (size := request.content_length or 0) > MAX_CONTENT_BYTES:
            return self._object(_too_large(size))
        sent = request.files.get("file")
        fields: dict[str, Sequence[str]] = {name: request.form.getlist(name) for name in request.form}
        form = Form(
            request.form.get("model", ""),
            (sent.filename or "") if sent is not None else "",
            request.form.get("response_format") or ("verbose_json" if self.kind == "localai" else "json"),
            fields,
        )
        with self._lock:
            self.forms.append(form)
        objection = Objection("file is required.", "file") if sent is None else self._objection(form, None)
        if sent is None or objection is not None:
            return self._object(objection or Objection("file is required.", "file"))
        with tempfile.TemporaryDirectory() as folder:
            audio = Path(folder) / f"sent{Path(form.file_name).suffix}"
            sent.save(audio)
            return self._listen(form, audio)

    def _listen(self, form: Form, audio: Path) -> Response:
        if not is_readable(self.kind, audio.read_bytes()):
            return self._unreadable()
        try:
            duration_s = self.listening.duration_s(audio)
            if objection := self._objection(form, duration_s):
                return self._object(objection)
            language = spoken_language(self.kind, form.first("language") or form.first("languages[]"))
            recognition = self.listening.transcribe(audio, language)
            wants_turns = form.response_format == "diarized_json"
            turns = self.listening.diarize(audio) if wants_turns else None
        except (ErniError, RuntimeError):
            return self._unreadable()
        self.faults.bill("transcribe", duration_s, hashlib.sha256(audio.read_bytes()).hexdigest())
        return self._render(form, Heard(recognition, duration_s, turns, form.first("prompt") or ""))

    def _render(self, form: Form, heard: Heard) -> Response:
        model = MODELS.get(form.model, ANY_MODEL) if self.kind == "openai" else ANY_MODEL
        granularities = list(form.fields.get("timestamp_granularities[]", ()))
        renderers: dict[str, Callable[[], Response]] = {
            "json": lambda: _json(
                render_json(heard, self.kind, usage=model.usage, languages="languages[]" in model.takes)
            ),
            "verbose_json": lambda: _json(render_verbose(heard, self.kind, granularities)),
            "diarized_json": lambda: _json(render_diarized(heard)),
            "text": lambda: _text(heard.text + "\n", "text/html" if self.kind == "whisper.cpp" else "text/plain"),
            "srt": lambda: _text(render_subtitles(heard, "srt")),
            "vtt": lambda: _text(render_subtitles(heard, "vtt")),
        }
        return renderers[form.response_format]()

    def _objection(self, form: Form, duration_s: float | None) -> Objection | None:
        """OpenAI's own, or the other server's."""
        if self.kind == "openai":
            return find_objection(form, duration_s)
        return find_server_objection(self.kind, form, self.installed)

    def _unreadable(self) -> Response:
        status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE if self.kind == "speaches" else HTTPStatus.BAD_REQUEST
        said = "Audio file might be corrupted or unsupported."
        return self._object(Objection(said, "file", "invalid_value", status=status))

    def _is_authorised(self) -> bool:
        return self.api_key is None or request.headers.get("Authorization") == f"Bearer {self.api_key}"

    def _unauthorised(self) -> Response:
        status = HTTPStatus.FORBIDDEN if self.kind == "speaches" else HTTPStatus.UNAUTHORIZED
        _, code, message = _ERRORS[401]
        return self._object(Objection(message, code=code, status=status))

    def _object(self, objection: Objection) -> Response:
        """Refuse, in the server's own way."""
        status, message = objection.status, objection.message
        match self.kind:
            case "speaches" if status == HTTPStatus.INTERNAL_SERVER_ERROR:
                return _json({"detail": "Internal server error", "error": message}, status)
            case "speaches":
                return _json({"detail": message}, status)
            case "whisper.cpp":
                return _text("File Not Found" if status == HTTPStatus.NOT_FOUND else "Invalid request", status=status)
            case "localai" if status == HTTPStatus.BAD_REQUEST:
                return _json({"error": {"code": 500, "message": message, "type": ""}}, 500)
            case "vllm":
                error = {"message": message, "type": "BadRequestError", "param": None, "code": status}
                return _json({"error": error}, status)
        fields = {"message": message, "type": objection.type, "param": objection.param, "code": objection.code}
        return _json({"error": fields}, status)


def _too_large(size: int) -> Objection:
    said = f"413: Maximum content size limit ({MAX_CONTENT_BYTES}) exceeded ({size} bytes read)"
    return Objection(said, type="server_error", status=413)


def _json(content: Any, status: int = 200) -> Response:
    return _with_headers(Response(json.dumps(content), status, mimetype="application/json"))


def _text(content: str, media_type: str = "text/plain", *, status: int = 200) -> Response:
    return _with_headers(Response(content, status, mimetype=media_type))


def _with_headers(response: Response) -> Response:
    response.headers["x-request-id"] = _request_id()
    response.headers["x-ratelimit-limit-requests"] = str(RATE_LIMIT)
    response.headers["x-ratelimit-remaining-requests"] = str(RATE_LIMIT - 1)
    response.headers["x-ratelimit-reset-requests"] = "120ms"
    return response


def _request_id() -> str:
    return f"req_{uuid.uuid4().hex}"
