"""Jobs a vendor works off on its own time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from vendors.remote_jobs import JobBook, VendorJob

Ended = list[VendorJob]


@pytest.fixture
def ended() -> Ended:
    return []


@pytest.fixture
def book(ended: Ended) -> Iterator[JobBook]:
    book = JobBook(waiting="created", working="running", retention_s=60.0, on_end=ended.append, slots=2)
    yield book
    book.close()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.01)


def status_of(book: JobBook, job_id: str) -> str:
    job = book.find(job_id)
    assert job is not None
    return job.status


def test_a_job_waits_works_and_ends(book: JobBook, ended: Ended) -> None:
    go = threading.Event()
    assert book.start("a", {}, lambda: go.wait() and {"answer": 7}).status == "created"
    wait_until(lambda: status_of(book, "a") == "running")
    go.set()
    wait_until(lambda: status_of(book, "a") == "succeeded")
    assert [job.output for job in ended] == [{"answer": 7}]


def test_no_more_jobs_than_slots_are_at_work(book: JobBook) -> None:
    go = threading.Event()
    for name in "abc":
        book.start(name, {}, go.wait)
    wait_until(lambda: status_of(book, "b") == "running")
    time.sleep(0.05)
    assert status_of(book, "c") == "created"
    go.set()
    wait_until(lambda: status_of(book, "c") == "succeeded")


def test_work_that_breaks_is_a_failed_job(book: JobBook, ended: Ended) -> None:
    def break_down() -> None:
        raise ValueError("no audio")

    book.start("a", {}, break_down)
    wait_until(lambda: bool(ended))
    assert (ended[0].status, ended[0].error, ended[0].output) == ("failed", "no audio", None)


def test_an_ordered_end_comes_without_work(book: JobBook, ended: Ended) -> None:
    worked: list[str] = []
    book.order_end("aborted")
    book.start("a", {}, lambda: worked.append("a"))
    wait_until(lambda: bool(ended))
    book.start("b", {}, lambda: worked.append("b"))
    wait_until(lambda: len(ended) == 2)
    assert ([job.status for job in ended], worked) == (["aborted", "succeeded"], ["b"])


def test_a_job_ends_once(book: JobBook, ended: Ended) -> None:
    book.pace_s = 0.05
    book.start("a", {}, lambda: "answer")
    book.end("a", "canceled")
    time.sleep(0.2)
    assert [job.status for job in ended] == ["canceled"]
    assert status_of(book, "a") == "canceled"


def test_answers_are_deleted_after_their_time(book: JobBook) -> None:
    book.start("a", {}, lambda: "answer")
    wait_until(lambda: status_of(book, "a") == "succeeded")
    book.retention_s = 0.0
    (job,) = book.all()
    assert (job.status, job.output, job.is_deleted) == ("succeeded", None, True)
