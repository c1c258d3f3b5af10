"""A Redis server that a test may stop, suspend and start again."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from cli.port_checks import free_ports
from cli.redis_server import find_redis_server

StartRedis = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture
def own_client() -> Iterator[Redis]:
    """A client of the test's own server, once that is started; it gives up a hung one after a second.

    Made from a URL as the service's client is: made otherwise, it would repeat what fails.
    """
    (port,) = free_ports(1)
    url = f"redis://127.0.0.1:{port}"
    with Redis.from_url(url, socket_timeout=1.0, socket_connect_timeout=1.0) as client:
        yield client


@pytest.fixture
def start_redis(own_client: Redis) -> Iterator[StartRedis]:
    """Starts the test's own server, empty, always on the same port; returns when it answers."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        port = own_client.get_connection_kwargs()["port"]
        arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        server = subprocess.Popen([find_redis_server(), *arguments], stdout=subprocess.DEVNULL)
        started.append(server)
        wait_until_answered(own_client)
        return server

    yield start
    for server in started:
        server.send_signal(signal.SIGCONT)
        server.kill()
        server.wait(10)


def wait_until_answered(client: Redis) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            client.ping()
        except RedisConnectionError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("the server did not start in time")
