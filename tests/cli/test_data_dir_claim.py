from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import psutil
import pytest

from cli.data_dir_claim import claim_data_dir, record_processes
from erni.errors import ConfigError


@pytest.fixture
def family():
    """A process leading a session with one child; yields both."""
    code = "import subprocess, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as leader:
        child = psutil.Process(int(leader.stdout.readline()))
        yield leader, child
        if child.is_running():
            child.kill()
        leader.kill()


def has_ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_second_stack_on_a_directory_is_refused_by_name(tmp_path):
    code = f"""
import time
from pathlib import Path
from cli.data_dir_claim import claim_data_dir
with claim_data_dir(Path({str(tmp_path)!r})):
    print("held", flush=True)
    time.sleep(60)
"""
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with holder:
        assert holder.stdout.readline() == "held\n"
        message = f"process {holder.pid}.*already runs on .*ERNI_DATA_DIR"
        with pytest.raises(ConfigError, match=message), claim_data_dir(tmp_path):
            pass
        holder.kill()


def test_directory_is_free_again_after_its_holder_was_killed(tmp_path):
    test_second_stack_on_a_directory_is_refused_by_name(tmp_path)
    with claim_data_dir(tmp_path):
        assert (tmp_path / "stack.lock").read_text() == f"{os.getpid()}\n"


def test_stacks_on_two_directories_do_not_disturb_each_other(tmp_path):
    with claim_data_dir(tmp_path / "one"), claim_data_dir(tmp_path / "two"):
        assert (tmp_path / "two" / "stack.lock").exists()


def test_unusable_directory_names_the_setting(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ConfigError, match="ERNI_DATA_DIR: cannot use"),
        claim_data_dir(tmp_path / "file" / "data"),
    ):
        pass


def test_next_claim_ends_families_left_behind(tmp_path, family):
    leader, child = family
    record_processes(tmp_path, [leader.pid])
    with claim_data_dir(tmp_path):
        assert leader.wait(5) is not None
        assert has_ended(child)


def test_orphans_whose_leader_is_gone_are_ended(tmp_path, family):
    leader, child = family
    record_processes(tmp_path, [leader.pid])
    leader.kill()
    leader.wait()
    assert not has_ended(child)
    with claim_data_dir(tmp_path):
        deadline_s = time.monotonic() + 5
        while not has_ended(child):
            assert time.monotonic() < deadline_s


@pytest.mark.parametrize("shift_s", [-1000.0, -1e9])
def test_process_with_a_recorded_id_but_another_start_is_left_alone(tmp_path, family, shift_s):
    leader, child = family
    started_at = psutil.Process(leader.pid).create_time() + shift_s
    (tmp_path / "stack.json").write_text(json.dumps([{"pid": leader.pid, "started_at": started_at}]))
    with claim_data_dir(tmp_path):
        assert leader.poll() is None
        assert not has_ended(child)


def test_damaged_record_does_not_stop_a_start(tmp_path):
    (tmp_path / "stack.json").write_text("{")
    with claim_data_dir(tmp_path):
        assert not (tmp_path / "stack.json").exists()
