"""A small client of Erni's REST API, for the command line, the demo and measurements. Knows HTTP, not speech.

Jobs are the API's own JSON. Reading requests are tried again when the connection fails; a submission
carries an idempotency key, so that it may be sent a second time without becoming a second job.
"""

from __future__ import annotations

import io
import ipaddress
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx

from cli.failures import RequestFailed
from erni.jobs import FINAL_STATUSES

JobJson = dict[str, Any]
"""A job as the API describes it: ``id``, ``status``, ``progress`` (0-1), ``chunks``, ``timings`` ..."""

READ_ATTEMPTS: Final = 6
FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 2.0
PAGE_SIZE: Final = 100
_TIMEOUT: Final = httpx.Timeout(30.0, connect=5.0)
_UPLOAD_TIMEOUT: Final = httpx.Timeout(300.0, connect=5.0)
_DROPPED: Final = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)


class ErniClient:
    """One server, one key. Every method raises RequestFailed with a sentence for people."""

    def __init__(self, url: str, key: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._url = url.rstrip("/")
        self._http = _open_http(self._url, headers)
        self._has_answered = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def submit(
        self,
        path: Path,
        options: Mapping[str, str] | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> JobJson:
        """Upload a recording in pieces; returns the new job. ``on_progress`` hears the bytes sent."""
        idempotency = {"Idempotency-Key": uuid.uuid4().hex}

        def send() -> httpx.Response:
            with _CountedFile(path, on_progress) as file:
                return self._http.post(
                    "/v1/jobs",
                    files={"file": (path.name, file)},
                    data=dict(options or {}),
                    headers=idempotency,
                    timeout=_UPLOAD_TIMEOUT,
                )

        try:
            try:
                return self._parse(send())
            except _DROPPED:
                return self._parse(send())
        except OSError as error:
            raise RequestFailed(f"Cannot read {path}: {error.strerror or error}.") from None
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def job(self, job_id: str) -> JobJson:
        return self._parse(self._get(f"/v1/jobs/{job_id}"))

    def jobs(self, *, limit: int, status: str | None = None) -> Iterator[JobJson]:
        """The newest ``limit`` jobs, fetched page by page."""
        after: str | None = None
        while limit > 0:
            wanted = {"limit": str(min(limit, PAGE_SIZE)), "after": after, "status": status}
            page = self._parse(
                self._get("/v1/jobs", {name: value for name, value in wanted.items() if value is not None})
            )
            yield from page["jobs"]
            limit -= len(page["jobs"])
            after = page["next"]
            if after is None or not page["jobs"]:
                return

    def transcript(self, job_id: str, transcript_format: str) -> bytes:
        answer = self._get(f"/v1/jobs/{job_id}/transcript", {"format": transcript_format})
        return self._check(answer).content

    def engines(self) -> list[dict[str, Any]]:
        """What there is to choose from, and how it does."""
        found: list[dict[str, Any]] = self._parse(self._get("/v1/engines"))["engines"]
        return found

    def cancel(self, job_id: str) -> JobJson:
        return self._parse(self._request("POST", f"/v1/jobs/{job_id}/cancel"))

    def retry(self, job_id: str) -> JobJson:
        return self._parse(self._request("POST", f"/v1/jobs/{job_id}/retry"))

    def delete(self, job_id: str) -> dict[str, int]:
        """How much was removed, by kind."""
        removed: dict[str, int] = self._parse(self._request("DELETE", f"/v1/jobs/{job_id}"))["removed"]
        return removed

    def wait(self, job_id: str, on_update: Callable[[JobJson], None] | None = None) -> JobJson:
        """Ask for the job until it is over, less often with time. ``on_update`` hears every answer."""
        pause_s = FIRST_PAUSE_S
        while True:
            job = self.job(job_id)
            if on_update is not None:
                on_update(job)
            if job["status"] in FINAL_STATUSES:
                return job
            time.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, pause_s * 1.2)

    def _get(self, path: str, parameters: Mapping[str, str] | None = None) -> httpx.Response:
        """Try again when the connection fails; but a server that never answered is not waited for."""
        for attempt in range(READ_ATTEMPTS - 1):
            try:
                return self._request("GET", path, parameters)
            except RequestFailed as error:
                if isinstance(error.__cause__, httpx.ConnectError) and not self._has_answered:
                    raise
                time.sleep(FIRST_PAUSE_S * 2**attempt)
        return self._request("GET", path, parameters)

    def _request(self, method: str, path: str, parameters: Mapping[str, str] | None = None) -> httpx.Response:
        try:
            answer = self._http.request(method, path, params=parameters)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        self._has_answered = True
        return answer

    def _parse(self, answer: httpx.Response) -> JobJson:
        try:
            body = self._check(answer).json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise RequestFailed(f"{self._url} does not answer like Erni. Check the URL.", status=answer.status_code)
        return body

    def _check(self, answer: httpx.Response) -> httpx.Response:
        if answer.is_success:
            return answer
        message, code = _describe_problem(answer)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            message += " Pass --key or set ERNI_CLIENT__KEY; `erni keys create` on the server makes a key."
        raise RequestFailed(message, status=answer.status_code, code=code)

    def _unreachable(self, error: httpx.TransportError) -> RequestFailed:
        if isinstance(error, httpx.TimeoutException):
            return RequestFailed(f"{self._url} did not answer in time. Try again.")
        return RequestFailed(f"Cannot reach Erni at {self._url} ({error}). Is it running? Start it with `erni up`.")


class _CountedFile(io.FileIO):
    """A file that tells how far it has been read."""

    def __init__(self, path: Path, on_progress: Callable[[int], None] | None) -> None:
        super().__init__(path, "rb")
        self._on_progress = on_progress

    def read(self, size: int | None = -1, /) -> bytes | Any:
        content = super().read(-1 if size is None else size)
        if self._on_progress is not None:
            self._on_progress(self.tell())
        return content


def _open_http(url: str, headers: Mapping[str, str]) -> httpx.Client:
    try:
        host = httpx.URL(url).host
        return httpx.Client(base_url=url, headers=headers, timeout=_TIMEOUT, trust_env=not _is_loopback(host))
    except httpx.InvalidURL:
        raise RequestFailed(f"`{url}` is not a URL. Give one such as http://127.0.0.1:8000.") from None


def _is_loopback(host: str) -> bool:
    """A proxy named by the environment never leads back to this host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _describe_problem(answer: httpx.Response) -> tuple[str, str | None]:
    """The sentence and code of an ``application/problem+json`` body, or the status where there is none."""
    try:
        problem = answer.json()
        return str(problem.get("detail") or problem["title"]), problem.get("code")
    except (ValueError, KeyError, AttributeError):
        return f"The server answered {answer.status_code} {answer.reason_phrase}.", None
