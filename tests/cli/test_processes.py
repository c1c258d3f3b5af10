from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from cli.processes import Command, SupervisedProcess, Surroundings, parse_procfile, restart_delay_s
from erni.errors import ConfigError

Start = Callable[[str], SupervisedProcess]


def wait_for(condition: Callable[[], bool], limit_s: float = 10.0) -> None:
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, "gave up waiting"
        time.sleep(0.02)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a line of Python as a supervised process."""
    started: list[SupervisedProcess] = []

    def start_line(line: str) -> SupervisedProcess:
        surroundings = Surroundings(tmp_path, tmp_path, dict(os.environ) | {"GREETING": "hello"})
        process = SupervisedProcess(Command("one", line), surroundings)
        process.start()
        started.append(process)
        return process

    yield start_line
    for process in started:
        process.kill()


def python(code: str) -> str:
    return f'{sys.executable} -u -c "{code}"'


def test_procfile_keeps_order_and_skips_comments():
    text = "# the stack\n\nredis: redis-server --port ${PORT:-1}\nworker-media:   celery worker\n"
    assert parse_procfile(text) == (
        Command("redis", "redis-server --port ${PORT:-1}"),
        Command("worker-media", "celery worker"),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("api gunicorn", "line 1: expected `name: command`"),
        ("api:", "line 1: expected `name: command`"),
        ("api: a\n\napi: b", "line 3: `api` is there twice"),
    ],
)
def test_malformed_procfile_names_the_line(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_procfile(text)


def test_restart_delay_doubles_up_to_ten_seconds():
    delays, previous = [], None
    for _ in range(7):
        previous = restart_delay_s(previous, lived_s=1.0)
        delays.append(previous)
    assert delays == [0.5, 1, 2, 4, 8, 10, 10]


def test_restart_delay_starts_over_after_a_steady_minute():
    assert restart_delay_s(10.0, lived_s=60.0) == 0.5


def test_command_sees_environment_variables_as_a_shell_would(start):
    process = start(f"{sys.executable} -c 'import sys; print(sys.argv[1:])' $GREETING ${{ABSENT:-fallback}}")
    wait_for(lambda: process.read_output() == ["['hello', 'fallback']"])


def test_process_is_the_program_itself_in_a_session_of_its_own(start):
    process = start(python("import time; time.sleep(60)"))
    wait_for(lambda: "python" in psutil.Process(process.pid).name())
    assert os.getsid(process.pid) == process.pid != os.getsid(0)


def test_output_is_handed_over_once_and_in_whole_lines(start):
    process = start(python("import time; print('one'); print('tw', end=''); time.sleep(0.4); print('o')"))
    wait_for(lambda: process.log_path.stat().st_size >= 6)
    assert process.read_output() == ["one"]
    wait_for(lambda: not process.is_running)
    assert process.read_output() == ["two"]
    assert process.read_output() == []


def test_death_takes_the_descendants_along(start):
    code = "import subprocess, time; print(subprocess.Popen(['sleep', '60']).pid); time.sleep(60)"
    process = start(python(code))
    wait_for(lambda: process.log_path.stat().st_size > 0)
    child = psutil.Process(int(process.read_output()[0]))
    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: not process.is_running)
    assert child.is_running()
    process.tend()
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_dead_process_comes_back_after_its_delay(start):
    process = start(python("print('run')"))
    wait_for(lambda: not process.is_running)
    began_s = time.monotonic()
    assert process.tend() is False
    assert process.pid is None
    wait_for(process.tend)
    assert 0.4 <= time.monotonic() - began_s < 3
    assert process.deaths_within(10) == 1


def test_deaths_are_forgotten_outside_the_window(start):
    process = start(python("pass"))
    wait_for(lambda: not process.is_running)
    process.tend()
    time.sleep(0.1)
    assert process.deaths_within(0.05) == 0


def test_kill_ends_a_process_that_ignores_termination(start):
    process = start(python("import signal, time; signal.signal(15, signal.SIG_IGN); print('up'); time.sleep(60)"))
    wait_for(lambda: process.log_path.stat().st_size > 0)
    pid = process.pid
    process.terminate()
    time.sleep(0.2)
    assert process.is_running
    process.kill()
    assert not psutil.pid_exists(pid)


def test_grown_log_is_set_aside_and_a_small_one_kept(start, monkeypatch):
    monkeypatch.setattr("cli.processes.MAX_LOG_BYTES", 100)
    process = start(python("print('x' * 200)"))
    wait_for(lambda: not process.is_running)
    process.rotate_log()
    assert process.log_path.with_suffix(".log.1").stat().st_size == 201
    assert not process.log_path.exists()
    process.log_path.write_text("small\n")
    process.rotate_log()
    assert process.log_path.read_text() == "small\n"
    assert process.read_output() == []


def test_last_lines_are_the_end_of_the_log(start):
    process = start(python("[print(n) for n in range(20000)]"))
    wait_for(lambda: not process.is_running)
    assert process.last_lines(2) == ["19998", "19999"]


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(PR_SET_PDEATHSIG) is a call of Linux")
def test_process_ends_with_a_killed_supervisor(tmp_path):
    code = f"""
import os, sys, time
from pathlib import Path
from cli.processes import Command, SupervisedProcess, Surroundings
surroundings = Surroundings(Path("{tmp_path}"), Path("{tmp_path}"), {{}})
process = SupervisedProcess(Command("one", "sleep 60"), surroundings)
process.start()
print(process.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as supervisor:
        child = psutil.Process(int(supervisor.stdout.readline()))
        supervisor.kill()
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
