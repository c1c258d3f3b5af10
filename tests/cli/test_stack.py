from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import psutil
import pytest

from cli.failures import StackFailed
from cli.interrupts import Interrupts
from cli.port_checks import free_ports
from cli.processes import Surroundings, parse_procfile
from cli.readiness import Readiness, probe_readiness
from cli.stack import Stack

SLEEPER = f"{sys.executable} -c 'import time; time.sleep(60)'"
STUBBORN = " ".join(
    [
        sys.executable,
        "-u -c",
        "'import signal, time; signal.signal(15, signal.SIG_IGN); print(\"up\"); time.sleep(60)'",
    ]
)

API = """
import http.server, json, pathlib, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        is_ready = pathlib.Path("ready").exists()
        probes = {"redis": {"ok": True, "detail": ""}, "queue:media": {"ok": is_ready, "detail": "no worker"}}
        self.send_response(200 if is_ready else 503)
        self.end_headers()
        answer = {"status": "ready" if is_ready else "unavailable", "probes": probes}
        self.wfile.write(json.dumps(answer).encode())

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def wait_for(condition: Callable[[], bool], limit_s: float = 10.0) -> None:
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, "gave up waiting"
        time.sleep(0.02)


def answer_nothing(_readiness: Readiness) -> None:
    """For tests that do not look at the probes."""


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    with Interrupts() as opened:
        yield opened


@pytest.fixture
def build(tmp_path: Path, interrupts: Interrupts) -> Iterator[Callable[[str], Stack]]:
    stacks = []

    def build_stack(procfile: str) -> Stack:
        surroundings = Surroundings(tmp_path, tmp_path / "logs", dict(os.environ))
        stack = Stack(parse_procfile(procfile), surroundings, data_dir=tmp_path, interrupts=interrupts)
        stacks.append(stack)
        return stack

    yield build_stack
    for stack in stacks:
        stack.stop()


def pids_of(stack: Stack) -> list[int]:
    return [process.pid for process in stack.processes if process.pid is not None]


def test_killed_process_comes_back_under_a_new_id(build):
    stack = build(f"one: {SLEEPER}\ntwo: {SLEEPER}")
    stack.start()
    first, second = pids_of(stack)
    os.kill(first, signal.SIGKILL)
    stack.pause(1.5)
    again, same = pids_of(stack)
    assert again != first
    assert same == second
    assert stack.processes[0].is_running


def test_stack_is_ready_when_its_api_says_so(build, tmp_path):
    (port,) = free_ports(1)
    (tmp_path / "api.py").write_text(API)
    stack = build(f"api: {sys.executable} api.py {port}\nworker-media: {SLEEPER}")
    stack.start()
    seen: list[Readiness] = []

    def note(readiness: Readiness) -> None:
        seen.append(readiness)
        if "queue:media" in readiness.missing:
            (tmp_path / "ready").touch()

    stack.wait_until_ready(lambda: probe_readiness(f"http://127.0.0.1:{port}"), limit_s=20, on_probe=note)
    assert any(readiness.missing == {"queue:media": "no worker"} for readiness in seen)
    assert seen[-1].present == {"redis", "queue:media"}


def test_time_limit_names_what_is_missing_and_shows_its_log(build):
    stack = build(f"api: {SLEEPER}\nworker-media: sh -c 'echo no model here; sleep 60'")
    stack.start()
    missing = Readiness(is_ready=False, missing={"queue:media": "no worker"})
    with pytest.raises(StackFailed) as caught:
        stack.wait_until_ready(lambda: missing, limit_s=1.0, on_probe=answer_nothing)
    assert "Not ready after 1 s. Missing: queue:media (no worker)." in caught.value.message
    assert "no model here" in caught.value.message
    assert "api.log" not in caught.value.message


def test_process_that_keeps_dying_ends_the_start_with_its_last_words(build, monkeypatch):
    monkeypatch.setattr("cli.processes.FIRST_DELAY_S", 0.01)
    stack = build(f"api: {sys.executable} -c 'raise SystemExit(chr(98) + \"ad wiring\")'\nbeat: {SLEEPER}")
    stack.start()
    never = Readiness(is_ready=False, missing={"api": "does not answer yet"})
    with pytest.raises(StackFailed, match=r"`api` died [5-9] times while starting\.(?s:.*)bad wiring"):
        stack.wait_until_ready(lambda: never, limit_s=30, on_probe=answer_nothing)


def test_interrupt_ends_the_wait(build):
    stack = build(f"api: {SLEEPER}")
    stack.start()

    def interrupt(_readiness: Readiness) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(click.Abort):
        stack.wait_until_ready(lambda: Readiness(is_ready=False), limit_s=30, on_probe=interrupt)


def test_stop_goes_from_makers_of_work_over_workers_to_redis(build, tmp_path):
    note_end = textwrap.dedent("""
        import pathlib, signal, sys, time
        def end(*_):
            with open("order", "a") as order:
                order.write(sys.argv[1] + " ")
            sys.exit()
        signal.signal(signal.SIGTERM, end)
        pathlib.Path("up-" + sys.argv[1]).touch()
        time.sleep(60)
    """)
    (tmp_path / "note_end.py").write_text(note_end)
    names = ["redis", "worker-media", "api"]
    stack = build("\n".join(f"{name}: {sys.executable} note_end.py {name}" for name in names))
    stack.start()
    wait_for(lambda: all((tmp_path / f"up-{name}").exists() for name in names))
    stack.stop()
    assert (tmp_path / "order").read_text().split() == ["api", "worker-media", "redis"]


def test_second_interrupt_does_not_wait_for_the_stubborn(build, tmp_path):
    stack = build(f"worker-media: {STUBBORN}")
    stack.start()
    (pid,) = pids_of(stack)
    wait_for(lambda: (tmp_path / "logs" / "worker-media.log").read_text() == "up\n")
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
    began_s = time.monotonic()
    stack.stop()
    assert time.monotonic() - began_s < 5
    assert not psutil.pid_exists(pid)


def test_process_that_outstays_its_grace_is_killed(build, tmp_path, monkeypatch):
    monkeypatch.setattr("cli.stack.GRACE_S", 0.3)
    stack = build(f"api: {STUBBORN}")
    stack.start()
    (pid,) = pids_of(stack)
    wait_for(lambda: (tmp_path / "logs" / "api.log").read_text() == "up\n")
    stack.stop()
    assert not psutil.pid_exists(pid)


def test_only_workers_get_time_to_finish_their_work(tmp_path, interrupts, monkeypatch):
    monkeypatch.setattr("cli.stack.GRACE_S", 0.3)
    procfile = parse_procfile(f"api: {STUBBORN}\nworker-media: {STUBBORN}")
    surroundings = Surroundings(tmp_path, tmp_path / "logs", dict(os.environ))
    stack = Stack(procfile, surroundings, data_dir=tmp_path, interrupts=interrupts, drain_s=2.0)
    stack.start()
    wait_for(lambda: all((tmp_path / "logs" / f"{name}.log").read_text() for name in ("api", "worker-media")))
    began_s = time.monotonic()
    stack.stop()
    assert 2.6 <= time.monotonic() - began_s < 4.5


def test_terminated_supervisor_leaves_nothing_running(tmp_path):
    code = f"""
import os
from pathlib import Path
from cli.interrupts import Interrupts
from cli.processes import Surroundings, parse_procfile
from cli.stack import Stack
here = Path({str(tmp_path)!r})
with Interrupts() as interrupts:
    stack = Stack(
        parse_procfile("api: sleep 60\\nworker-media: sleep 60"),
        Surroundings(here, here / "logs", dict(os.environ)), data_dir=here, interrupts=interrupts,
    )
    stack.start()
    print(*[process.pid for process in stack.processes], flush=True)
    while not interrupts.is_stop_wanted:
        stack.pause(0.1)
    stack.stop()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as supervisor:
        pids = [int(pid) for pid in supervisor.stdout.readline().split()]
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(10) == 0
    assert not any(psutil.pid_exists(pid) for pid in pids)
