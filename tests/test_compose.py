"""The container files say what the Procfile, the queues and the settings say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.processes import parse_procfile
from cli.settings_text import render_environment
from cli.stack import GRACE_S
from config.queue import QUEUES
from config.settings import Settings

ROOT = Path(__file__).parent.parent
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
COMMANDS = {command.name: command.line for command in parse_procfile((ROOT / "Procfile").read_text())}
DOCKERFILE = (ROOT / "Dockerfile").read_text()
LONG_RUNNING = sorted(SERVICES.keys() - {"init"})


def consumed_queues(commands: dict[str, str]) -> list[str]:
    return sorted(queue for line in commands.values() for queue in re.findall(r" -Q (\S+)", line))


def test_services_are_the_processes_and_the_servers_they_need():
    assert SERVICES.keys() == COMMANDS.keys() | {"postgres", "init"}


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - {"redis"}))
def test_service_runs_the_command_of_its_process(name):
    assert SERVICES[name]["command"] == COMMANDS[name].replace("${ERNI_DATA_DIR:-erni-data}", "/data")


def test_every_queue_has_exactly_one_worker():
    assert consumed_queues(COMMANDS) == sorted(QUEUES)
    assert consumed_queues({name: SERVICES[name]["command"] for name in COMMANDS if name != "redis"}) == sorted(QUEUES)


def test_every_variable_of_erni_is_a_setting():
    used = set(re.findall(r"ERNI_[A-Z_]+", COMPOSE_TEXT + DOCKERFILE + "\n".join(COMMANDS.values())))
    assert used
    assert used <= render_environment(Settings()).keys()


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_service_is_watched_and_comes_back(name):
    service = SERVICES[name]
    assert service["healthcheck"]["test"]
    assert service["restart"] == "unless-stopped"
    assert "stop_grace_period" in service
    assert service["read_only"] is True


def test_worker_is_asked_by_its_own_name():
    for name, line in COMMANDS.items():
        if node := re.search(r"-n (\S+)@%h", line):
            assert f"--destination {node[1]}@$$HOSTNAME " in SERVICES[name]["healthcheck"]["test"][1]


@pytest.mark.parametrize("name", [name for name in COMMANDS if name.startswith("worker-")])
def test_worker_may_finish_or_hand_back_its_work_before_it_is_killed(name):
    grace_s = float(SERVICES[name]["stop_grace_period"].removesuffix("s"))
    assert grace_s >= Settings().queue.drain_s + GRACE_S


def test_stores_lie_on_named_volumes():
    mounts = {name: service["volumes"] for name, service in SERVICES.items()}
    assert mounts["redis"] == ["redis:/data"]
    assert mounts["postgres"] == ["postgres:/var/lib/postgresql/data"]
    assert {*mounts["api"], *mounts["worker-media"]} == {"data:/data"}
    assert COMPOSE["volumes"].keys() == {"data", "redis", "postgres"}


def test_redis_keeps_its_queue_over_a_restart():
    assert "--appendonly yes --appendfsync everysec" in SERVICES["redis"]["command"][-1]


def test_everything_waits_for_the_first_set_up():
    for name in COMMANDS.keys() - {"redis"}:
        assert SERVICES[name]["depends_on"]["init"] == {"condition": "service_completed_successfully"}
    assert SERVICES["init"]["restart"] == "no"


def test_passwords_come_from_outside_and_are_demanded():
    secrets = re.findall(r"(?:PASSWORD|AUTH): (.+)|//\w*:(\$\{[^}]*\}|[^@\s]+)@", COMPOSE_TEXT)
    values = [value for pair in secrets for value in pair if value]
    assert len(values) == 5
    for value in values:
        assert re.fullmatch(r"\$\{(\w+):\?set \1 in \.env\}", value), value


def test_demanded_passwords_are_in_the_example_file():
    example = (ROOT / "config" / "example.env").read_text()
    for variable in set(re.findall(r"\$\{(\w+):\?", COMPOSE_TEXT)):
        assert f"# {variable}=\n" in example


def test_ports_are_published_on_loopback_unless_told_otherwise():
    for name in ("api", "flower"):
        (port,) = SERVICES[name]["ports"]
        assert ":-127.0.0.1}:" in port
    assert "ports" not in SERVICES["redis"]
    assert "ports" not in SERVICES["postgres"]


def test_image_runs_as_an_ordinary_user_with_tini_and_a_health_check():
    last_stage = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    assert re.findall(r"^USER (\S+)", last_stage, re.MULTILINE) == ["erni"]
    assert 'ENTRYPOINT ["tini", "--"]' in last_stage
    assert "HEALTHCHECK" in last_stage


def test_secrets_and_state_stay_out_of_the_image():
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".env", ".env.*", "erni-data/", ".git/"} <= set(ignored)
