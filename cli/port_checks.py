"""Whether the ports a stack wants are free, said before anything starts and with the setting to change."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from config.settings import Settings
from erni.errors import ConfigError


@dataclass(frozen=True, slots=True)
class WantedPort:
    """A port and the setting it comes from (``ERNI_API`` for ``ERNI_API__PORT``)."""

    group: str
    host: str
    port: int


def wanted_ports(settings: Settings) -> tuple[WantedPort, ...]:
    """What the embedded stack listens on; its Redis only where no other server is named."""
    ports = [
        WantedPort("ERNI_API", settings.api.host, settings.api.port),
        WantedPort("ERNI_FLOWER", settings.flower.host, settings.flower.port),
    ]
    if settings.redis.url is None:
        ports.append(WantedPort("ERNI_REDIS", "127.0.0.1", settings.redis.port))
    return tuple(ports)


def check_ports(wanted: Iterable[WantedPort]) -> None:
    """Try each port.

    Raises:
        ConfigError: one is taken, wanted twice, or its address is not one of this host.
    """
    seen: dict[int, WantedPort] = {}
    for want in wanted:
        if want.port in seen:
            raise ConfigError(f"{seen[want.port].group}__PORT and {want.group}__PORT are both {want.port}. Change one.")
        seen[want.port] = want
        _check_port(want)


def _check_port(want: WantedPort) -> None:
    try:
        family, _, _, _, address = socket.getaddrinfo(want.host, want.port, type=socket.SOCK_STREAM)[0]
        socket.create_server(address, family=family).close()
    except socket.gaierror:
        raise ConfigError(f"{want.group}__HOST: `{want.host}` is not an address.") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            message = f"Port {want.port} is taken by another program. Set {want.group}__PORT to a free one."
        elif error.errno == errno.EADDRNOTAVAIL:
            message = f"{want.group}__HOST: `{want.host}` is not an address of this host."
        else:
            message = f"Cannot listen on {want.host}:{want.port} ({error.strerror}). Set {want.group}__PORT."
        raise ConfigError(message) from None


def free_ports(count: int) -> tuple[int, ...]:
    """Ports of the loopback interface nobody listens on just now, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = tuple(int(listener.getsockname()[1]) for listener in sockets)
    for listener in sockets:
        listener.close()
    return ports
