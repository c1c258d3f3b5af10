from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.demo import SAMPLE
from cli.main import main
from evals.generated import generate_recordings


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["eval", *map(str, arguments)])


def test_a_folder_without_audio_is_told_in_one_line(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.exit_code == 1
    assert result.stderr == f"Error: {tmp_path} holds no audio. Name a folder with recordings and their references.\n"


def test_a_recording_without_reference_is_told_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "talk.wav").write_bytes(b"")
    result = run(tmp_path)
    assert result.exit_code == 1
    assert "talk.wav has no reference. Put talk.seglst.json" in result.stderr


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    result = run(tmp_path / "none")
    assert (result.exit_code, "does not exist" in result.stderr) == (2, True)


def test_a_language_that_is_none_is_told(tmp_path: Path) -> None:
    result = run(tmp_path, "--language", "english")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: --language english is no ISO 639-1 code, such as en or de.\n",
    )


def test_help_needs_none_of_the_measuring_libraries() -> None:
    script = "import sys, cli.eval_command; sys.exit('evals' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_missing_library_is_told_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for name in [name for name in sys.modules if name.startswith(("cli.eval_session", "evals.plots"))]:
        monkeypatch.delitem(sys.modules, name)
    result = run()
    assert result.exit_code == 1
    assert "pip install -e '.[eval]'" in result.stderr


@pytest.mark.models
@pytest.mark.stack
def test_a_recording_is_measured_from_end_to_end_and_a_broken_one_is_named(tmp_path: Path) -> None:
    data, raw, plots = tmp_path / "data", tmp_path / "raw.json", tmp_path / "plots"
    generate_recordings(SAMPLE, data, scenes=("tight",))
    (data / "broken.wav").write_text("no audio")
    (data / "broken.txt").write_text("hello")
    command = [sys.executable, "-m", "cli.main", "eval", data, "--quick", "--json", raw, "--plots", plots]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 1, ran.stderr
    assert "1 of 2 recordings were not measured:\n  broken.wav: failed: " in ran.stderr
    assert "tight.flac" in ran.stdout
    broken, recording, total = json.loads(raw.read_text())["rows"]
    measured = recording["measured"]
    assert (recording["name"], recording["status"], total["name"]) == ("tight.flac", "succeeded", "all")
    assert measured["words"]["expected"] > 80
    assert measured["words"]["rate"] < 0.1
    assert measured["speakers"] == {"expected": 3, "found": 3, "wrong_by": 0}
    assert measured["turns"]["rate"] < 0.2
    assert set(recording["border_errors"]) == {"plain", "boundary", "overlap", "weighted", "majority"}
    assert recording["border_errors"]["boundary"]["words"] > 10
    assert recording["in_one_piece"] is None
    assert broken["failure"].startswith("failed: ")
    assert total["measured"]["words"] == measured["words"]
    assert [path.name for path in plots.iterdir()] == ["tight.flac.png"]
