from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from cli.demo import SAMPLE
from erni.errors import InputError
from evals.generated import SCENES, generate_recordings, load_lines
from evals.recordings import Recording, find_recordings


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recording]:
    folder = tmp_path_factory.mktemp("generated")
    generate_recordings(SAMPLE, folder)
    return {recording.path.stem: recording for recording in find_recordings(folder, None)}


def test_every_scene_is_a_recording_with_a_reference(generated: dict[str, Recording]) -> None:
    assert set(generated) == set(SCENES)
    assert all(recording.reference.has_speakers for recording in generated.values())


def test_equal_seeds_give_equal_bytes_whichever_scenes_are_asked_for(
    generated: dict[str, Recording], tmp_path: Path
) -> None:
    generate_recordings(SAMPLE, tmp_path, scenes=("overlap",))
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (generated["overlap"].path.parent / path.name).read_bytes()


def test_another_seed_gives_another_recording(generated: dict[str, Recording], tmp_path: Path) -> None:
    generate_recordings(SAMPLE, tmp_path, seed=2, scenes=("tight",))
    assert (tmp_path / "tight.rttm").read_text() != generated["tight"].path.with_suffix(".rttm").read_text()


def test_the_first_scene_says_every_line_twice_and_is_long_enough_for_a_seam(generated: dict[str, Recording]) -> None:
    lines, _ = load_lines(SAMPLE)
    spoken = [word.text for word in generated["turns"].reference.words or ()]
    assert sorted(spoken) == sorted(2 * [word for line in lines for word in line.text.split()])
    assert soundfile.info(generated["turns"].path).duration > 120


def test_turns_lie_where_the_sound_is(generated: dict[str, Recording]) -> None:
    samples, rate_hz = soundfile.read(generated["pauses"].path)
    is_speech = np.zeros(len(samples), dtype=bool)
    for turn in generated["pauses"].reference.turns or ():
        is_speech[round(turn.start_s * rate_hz) : round(turn.end_s * rate_hz)] = True
    loud, quiet = np.sqrt(np.square(samples[is_speech]).mean()), np.abs(samples[~is_speech]).max()
    assert loud > 0.02
    assert quiet < 0.01


def test_only_the_scene_of_that_name_has_people_talk_at_once(generated: dict[str, Recording]) -> None:
    def overlaps(scene: str) -> int:
        turns = generated[scene].reference.turns or ()
        return sum(following.start_s < turn.end_s for turn, following in pairwise(turns))

    assert overlaps("overlap") > 0
    assert [overlaps(scene) for scene in ("turns", "tight", "pauses")] == [0, 0, 0]


def test_nobody_talks_in_the_silence(generated: dict[str, Recording]) -> None:
    silence = generated["silence"]
    assert (silence.reference.words, silence.reference.speech) == ((), ())
    assert soundfile.info(silence.path).duration == pytest.approx(30.0)


def test_a_missing_sample_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.flac or none\.json is missing"):
        generate_recordings(tmp_path / "none.flac", tmp_path)
