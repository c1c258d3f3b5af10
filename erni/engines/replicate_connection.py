"""The way to Replicate: files, predictions made, read and found again. Knows its protocol, and nothing of words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from erni.engines.http_call import FormFile, HttpService, bearer
from erni.engines.remote_answers import read_object, read_remote_id, read_rows, read_text
from erni.engines.replicate_answers import NAME, explain_prediction_refusal, explain_refusal
from erni.errors import ConfigError, EngineAnswerInvalid

MAX_PAGES: Final = 5
"""Of 100 each, newest first: what was submitted just now is among them."""

CANCEL_AFTER: Final = "1h"
"""Replicate's own deadline for a prediction, for one that we cannot stop any more. Its changelog (2025-10-16) has this
value as an example and names no longest one; a run is ended after half an hour by default.
"""

_MODEL: Final = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
_VERSION: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ReplicateConnection:
    """Replicate at ``base_url`` (with the version of its API); the answer to one request takes ``timeout_s`` at most.

    Raises:
        ConfigError: a setting cannot be what it should.
    """

    api_token: str = field(repr=False)
    base_url: str = "https://api.replicate.com/v1"
    model: str = "thomasmol/whisper-diarization"
    version: str | None = None
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        self._service()
        if not _MODEL.fullmatch(self.model):
            raise ConfigError(f"{NAME}: the model must be written as owner/name.")
        if self.version is not None and not _VERSION.fullmatch(self.version):
            raise ConfigError(f"{NAME}: the model's version must be 64 hex digits.")

    def upload(self, file: Path, name: str, content_type: str) -> str:
        """Store a file there for a day and return the address that a prediction reads it from. Raises EngineError."""
        form = FormFile("content", file, name, content_type)
        answer = read_object(self._service().post_form("/files", form), NAME)
        return read_text(read_object(answer.get("urls"), NAME), "get", NAME)

    def find_version(self) -> str:
        """The version set, else the model's newest. Predictions by name are for Replicate's official models only.

        Raises EngineError.
        """
        if self.version is not None:
            return self.version
        model = read_object(self._service().get_json(f"/models/{self.model}"), NAME)
        version = read_object(model.get("latest_version"), NAME).get("id")
        if not isinstance(version, str) or not _VERSION.fullmatch(version):
            raise EngineAnswerInvalid(f"{NAME} named no version of {self.model}.")
        return version

    def submit(self, version: str, given: Mapping[str, object], callback_url: str | None) -> str:
        """Make a prediction and return its id. Raises EngineError."""
        body: dict[str, object] = {"version": version, "input": dict(given)}
        if callback_url is not None:
            body |= {"webhook": callback_url, "webhook_events_filter": ["completed"]}
        service = self._service()
        limited = replace(service, headers={**service.headers, "Cancel-After": CANCEL_AFTER})
        return read_remote_id(read_object(limited.post_json("/predictions", body), NAME), "id", NAME)

    def cancel(self, remote_id: str) -> None:
        """Raises RemoteJobLost, EngineError."""
        predictions = replace(self._service(), explain=explain_prediction_refusal)
        predictions.post_json(f"/predictions/{remote_id}/cancel", {})

    def read_prediction(self, remote_id: str) -> Mapping[str, Any]:
        """Raises RemoteJobLost, EngineError."""
        predictions = replace(self._service(), explain=explain_prediction_refusal)
        return read_object(predictions.get_json(f"/predictions/{remote_id}"), NAME)

    def find_files(self, name: str) -> frozenset[str]:
        """The ids of the files stored under this name. Raises EngineError."""
        found = (row.get("id") for row in self._list("/files") if row.get("name") == name)
        return frozenset(file_id for file_id in found if isinstance(file_id, str) and file_id)

    def list_predictions(self) -> Iterator[Mapping[str, Any]]:
        """The latest of the account, newest first. Raises EngineError."""
        return self._list("/predictions")

    def webhook_secret(self) -> str:
        """What its webhooks are signed with: one secret per account. Raises EngineError."""
        return read_text(read_object(self._service().get_json("/webhooks/default/secret"), NAME), "key", NAME)

    def probe(self) -> None:
        """Whether it answers, accepts our token and has the model; costs nothing. Raises EngineError."""
        self._service().get_json(f"/models/{self.model}")

    def _list(self, path: str) -> Iterator[Mapping[str, Any]]:
        """Rows page by page. Of the next page's address only the cursor is taken: our token goes nowhere else."""
        parameters: dict[str, str] = {}
        for _ in range(MAX_PAGES):
            page = read_object(self._service().get_json(path, parameters), NAME)
            yield from read_rows(page, "results", NAME)
            cursor = _cursor(page.get("next"))
            if cursor is None:
                return
            parameters = {"cursor": cursor}

    def _service(self) -> HttpService:
        return HttpService(NAME, self.base_url, self.timeout_s, bearer(self.api_token, NAME), explain_refusal)


def _cursor(address: object) -> str | None:
    if not isinstance(address, str):
        return None
    return next(iter(parse_qs(urlsplit(address).query).get("cursor", ())), None)
