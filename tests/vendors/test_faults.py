"""Faults around a small application, asked over real connections."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import httpx
import pytest

from vendors.faults import Fault, Faults
from vendors.server import serve

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def write_error(status: int, code: str | None) -> tuple[bytes, dict[str, str]]:
    return f"no {status} {code}".encode(), {"X-Vendor": "ours"}


@pytest.fixture
def faults() -> Faults:
    return Faults(write_error)


@pytest.fixture
def client(faults: Faults) -> Iterator[httpx.Client]:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        faults.bill("work", 2.0, environ["PATH_INFO"])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"all ", b"is well"]

    with serve(faults.wrap(app)) as served, httpx.Client(base_url=served.url, trust_env=False) as client:
        yield client


def test_without_orders_everything_is_answered_and_logged(client: httpx.Client, faults: Faults) -> None:
    assert client.post("/v1/a?b=c", content=b"x" * 3_000_000, headers={"X-Own": "1"}).text == "all is well"
    (received,) = faults.received
    assert (received.method, received.path, received.query, received.status) == ("POST", "/v1/a", "b=c", 200)
    assert received.headers["x-own"] == "1"


def test_an_ordered_error_is_the_vendors_own_and_does_no_work(client: httpx.Client, faults: Faults) -> None:
    faults.order(Fault(status=503, code="busy", headers={"Retry-After": "2"}), count=2)
    answers = [client.post("/v1/a", content=b"x" * 3_000_000) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 503, 200]
    assert (answers[0].text, answers[0].headers["X-Vendor"]) == ("no 503 busy", "ours")
    assert answers[0].headers["Retry-After"] == "2"
    assert len(faults.billed) == 1


def test_a_fault_waits_for_the_request_it_is_meant_for(client: httpx.Client, faults: Faults) -> None:
    faults.order(Fault(status=500, path="/v1/jobs", methods=("GET",)))
    assert client.post("/v1/jobs").status_code == 200
    assert client.get("/v1/models").status_code == 200
    assert client.get("/v1/jobs/7").status_code == 500


@pytest.mark.parametrize(("kind", "is_billed"), [("cut", False), ("lost", True), ("torn", True)])
def test_a_broken_connection_says_whether_work_was_done(
    client: httpx.Client, faults: Faults, kind: str, *, is_billed: bool
) -> None:
    faults.order(Fault(kind))  # type: ignore[arg-type]  # one of them
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        client.get("/v1/a")
    assert bool(faults.billed) is is_billed
    assert [(entry.status, entry.fault) for entry in faults.received] == [(0, kind)]


def test_garbage_comes_with_a_good_status(client: httpx.Client, faults: Faults) -> None:
    faults.order(Fault("garbage", body=b"\xff\xfe"))
    answer = client.get("/v1/a")
    assert (answer.status_code, answer.content) == (200, b"\xff\xfe")


def test_a_delayed_answer_is_whole(client: httpx.Client, faults: Faults) -> None:
    faults.order(Fault("delay", delay_s=0.3))
    started = time.perf_counter()
    assert client.get("/v1/a").text == "all is well"
    assert time.perf_counter() - started >= 0.3


def test_a_share_of_requests_fails_and_the_same_ones_for_the_same_seed(client: httpx.Client, faults: Faults) -> None:
    runs = []
    for _ in range(2):
        faults.share(Fault(status=500), 0.3, seed=5)
        runs.append([client.get("/v1/a").status_code for _ in range(60)])
    assert runs[0] == runs[1]
    assert 8 <= runs[0].count(500) <= 28


def test_beyond_the_limit_requests_are_told_when_to_come_back(client: httpx.Client, faults: Faults) -> None:
    faults.limit(3, window_s=1.0)
    answers = [client.get("/v1/a/b") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[3].headers["Retry-After"] == "1"
    assert client.get("/v1/other").status_code == 200
    time.sleep(1.0)
    assert client.get("/v1/a/c").status_code == 200


def test_another_process_orders_and_reads_over_http(client: httpx.Client) -> None:
    orders = {"next": {"kind": "status", "status": 502, "count": 1}, "share": {"kind": "cut", "share": 0.0}}
    assert client.post("/_faults", json=orders | {"requests_per_minute": 10}).status_code == 200
    assert [client.get("/v1/a").status_code for _ in range(2)] == [502, 200]
    account = client.get("/_faults").json()
    assert account["by_status"] == {"502": 1, "200": 1}
    assert account["billed"] == [{"work": "work", "audio_s": 2.0, "digest": "/v1/a"}]
    assert client.post("/_faults", json={"clear": True}).json()["requests"] == 0


def test_an_order_that_makes_no_sense_is_refused(client: httpx.Client) -> None:
    assert client.post("/_faults", json={"next": {"sort": "status"}}).status_code == 400
