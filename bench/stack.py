"""An embedded stack for measuring, with workers as a small host would run them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.client import ErniClient
from cli.demo import demo_settings
from cli.embedded import open_embedded_stack
from cli.interrupts import Interrupts
from config.settings import Settings, load_settings


@dataclass(frozen=True)
class BenchStack:
    """A running stack and its settings."""

    api_url: str
    key: str
    settings: Settings

    def client(self) -> ErniClient:
        return ErniClient(self.api_url, self.key)

    def run(self, recording: Path, **options: str) -> dict[str, Any]:
        """Submit and wait; returns the job, which must have succeeded."""
        with self.client() as client:
            job = client.wait(client.submit(recording, {"language": "en", "cache": "bypass", **options})["id"])
        if job["status"] != "succeeded":
            raise RuntimeError(f"{recording.name}: {job['status']}: {job['error']}")
        return job

    def transcript(self, job: dict[str, Any]) -> bytes:
        with self.client() as client:
            return client.transcript(job["id"], "json")


@contextmanager
def open_stack(data_dir: Path, **groups: object) -> Iterator[BenchStack]:
    """``groups`` replace whole groups of the settings."""
    data_dir.mkdir()
    settings = demo_settings(load_settings(), data_dir).model_copy(update=groups)
    with Interrupts() as interrupts, open_embedded_stack(settings, interrupts, lambda *_: None) as embedded:
        if settings.admin_key is None:
            raise RuntimeError("the demo's settings carry a key")
        yield BenchStack(embedded.api_url, settings.admin_key.get_secret_value(), settings)
