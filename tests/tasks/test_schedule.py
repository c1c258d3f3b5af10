"""What beat sends is there to be done."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from config.queue import ROUTES, WARN_OF_RETIREMENTS

RUN = f"""
from tasks.app import celery_app
celery_app.loader.import_default_modules()
print("missing:", sorted({set(ROUTES)!r} - set(celery_app.tasks)))
celery_app.tasks[{WARN_OF_RETIREMENTS!r}].apply(throw=True)
"""


def test_a_worker_warns_of_an_engine_that_came_within_its_notice(tmp_path: Path, redis_url: str) -> None:
    end = datetime.now(UTC).date() + timedelta(days=30)
    catalogue = tmp_path / "own.toml"
    catalogue.write_text(f'[[row]]\nprovider = "openai"\nmodel = "whisper-1"\nretires_on = {end}\n', encoding="utf-8")
    environment = {
        **os.environ,
        "ERNI_CATALOGUE": str(catalogue),
        "ERNI_DATA_DIR": str(tmp_path),
        "ERNI_OPENAI__API_KEY": "sk-loopback",
        "ERNI_REDIS__URL": redis_url,
    }
    done = subprocess.run([sys.executable, "-c", RUN], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "missing: []" in done.stdout
    (line,) = [line for line in (done.stdout + done.stderr).splitlines() if "openai/whisper-1" in line]
    assert "engine_retires" in line
