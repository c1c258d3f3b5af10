"""All vendors started together, as ``make vendors`` does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]


def test_the_printed_settings_lead_to_three_vendors_that_answer() -> None:
    command = [sys.executable, "-m", "vendors", "--port", "0", "--scripted", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline().removeprefix("export ").strip() for _ in range(8)]
            settings = dict(line.split("=", 1) for line in lines)
            with httpx.Client(trust_env=False) as client:
                for url, key, path in (
                    ("ERNI_OPENAI__BASE_URL", "ERNI_OPENAI__API_KEY", "/models"),
                    ("ERNI_PYANNOTE__BASE_URL", "ERNI_PYANNOTE__API_KEY", "/v1/test"),
                    ("ERNI_REPLICATE__BASE_URL", "ERNI_REPLICATE__API_TOKEN", "/webhooks/default/secret"),
                ):
                    headers = {"Authorization": f"Bearer {settings[key]}"}
                    assert client.get(f"{settings[url]}{path}", headers=headers).status_code == 200
                    assert client.get(f"{settings[url]}{path}").status_code == 401
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
