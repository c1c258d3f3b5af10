from __future__ import annotations

import socket
from pathlib import Path

import pytest

from cli.port_checks import WantedPort, check_ports, free_ports, wanted_ports
from config.settings import Settings
from erni.errors import ConfigError


def test_taken_port_names_its_setting():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ConfigError, match=f"Port {port} is taken by another program. Set ERNI_FLOWER__PORT"):
            check_ports([WantedPort("ERNI_FLOWER", "127.0.0.1", port)])


def test_port_just_given_back_counts_as_free():
    ports = free_ports(3)
    check_ports([WantedPort(f"ERNI_{port}", "127.0.0.1", port) for port in ports])
    assert len(set(ports)) == 3


def test_port_wanted_twice_names_both_settings():
    (port,) = free_ports(1)
    wanted = [WantedPort("ERNI_API", "127.0.0.1", port), WantedPort("ERNI_REDIS", "127.0.0.1", port)]
    with pytest.raises(ConfigError, match=f"ERNI_API__PORT and ERNI_REDIS__PORT are both {port}"):
        check_ports(wanted)


@pytest.mark.parametrize(
    ("host", "message"),
    [("192.0.2.1", "is not an address of this host"), ("no such host", "is not an address")],
)
def test_wrong_address_names_its_setting(host, message):
    with pytest.raises(ConfigError, match=f"ERNI_API__HOST: `{host}` {message}"):
        check_ports([WantedPort("ERNI_API", host, free_ports(1)[0])])


def test_own_redis_needs_no_port():
    embedded = {want.group for want in wanted_ports(Settings(data_dir=Path("x"), redis={"url": None}))}
    external = {want.group for want in wanted_ports(Settings(redis={"url": "redis://elsewhere:6379/0"}))}
    assert embedded - external == {"ERNI_REDIS"}
