from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from cli.demo import demo_settings
from config.settings import Settings


def test_demo_touches_nothing_of_an_installation(tmp_path):
    production = Settings(
        data_dir="/srv/erni",
        redis={"url": "redis://production/0"},
        records={"url": "postgresql+psycopg://production/erni"},
        blobs={"url": "s3://production"},
        flower={"host": "192.0.2.1", "password": "production"},
    )
    own = demo_settings(production, tmp_path)
    assert own.data_dir == tmp_path
    assert own.redis_url.startswith("redis://127.0.0.1:")
    assert own.records_url == f"sqlite:///{tmp_path}/records.db"
    assert own.blobs_url == f"file://{tmp_path}/blobs"
    assert (own.flower.host, own.flower.password) == ("127.0.0.1", None)
    assert len(own.admin_key.get_secret_value()) >= 20


def test_demo_uses_the_engines_that_are_set():
    settings = Settings(whisper={"model": "small"}, jobs={"diarizer": "none"})
    own = demo_settings(settings, settings.data_dir)
    assert (own.whisper, own.jobs) == (settings.whisper, settings.jobs)


@pytest.mark.stack
def test_interrupted_demo_leaves_neither_processes_nor_files(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-m", "cli.main", "demo"],
        env=dict(os.environ) | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        deadline_s = time.monotonic() + 60
        while len(family := psutil.Process(demo.pid).children(recursive=True)) < 8:
            assert time.monotonic() < deadline_s
            time.sleep(0.1)
        demo.send_signal(signal.SIGINT)
        told = demo.stderr.read()
    assert (demo.returncode, told) == (1, "Aborted!\n")
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family)
    assert list(tmp_path.iterdir()) == []
