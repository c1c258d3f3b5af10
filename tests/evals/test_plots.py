from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from erni.model import Span, Turn
from evals.hearing import Hearing
from evals.normalising import SpokenWord
from evals.plots import draw_recording
from evals.references import Reference

BLUE, ORANGE, GREY, RED = (0x1F, 0x77, 0xB4), (0xFF, 0x7F, 0x0E), (0x8C, 0x8C, 0x8C), (0xFF, 0, 0)


def reference(*turns: Turn) -> Reference:
    return Reference((), turns, (), has_word_times=False)


def hearing(*turns: Turn, duration_s: float = 100.0) -> Hearing:
    return Hearing("succeeded", "en", duration_s, 1.0, (), turns, seams_s=(50.0,), gaps=(Span(60, 70),))


def count_pixels(file: Path, colour: tuple[int, int, int]) -> int:
    image = np.rint(imread(file)[:, :, :3] * 255)
    return int((np.abs(image - colour).max(axis=2) <= 1).sum())


def draw(tmp_path: Path, expected: Reference, heard: Hearing, *wrong: SpokenWord) -> Path:
    file = tmp_path / "plots" / "talk.png"
    draw_recording("talk", expected, heard, wrong, file)
    return file


def test_a_heard_speaker_has_the_colour_of_the_real_one(tmp_path: Path) -> None:
    two = reference(Turn(0, 40, "anna"), Turn(50, 90, "ben"))
    unheard = draw(tmp_path, two, hearing())
    blue, orange = count_pixels(unheard, BLUE), count_pixels(unheard, ORANGE)
    heard = draw(tmp_path, two, hearing(Turn(0, 40, "1"), Turn(50, 90, "0")))
    # The legend keeps its size, so that twice as many bars are a little less than twice as many pixels.
    assert count_pixels(heard, BLUE) == pytest.approx(2 * blue, rel=0.1)
    assert count_pixels(heard, ORANGE) == pytest.approx(2 * orange, rel=0.1)


def test_a_speaker_who_is_nobody_is_grey(tmp_path: Path) -> None:
    one = reference(Turn(0, 40, "anna"))
    known = count_pixels(draw(tmp_path, one, hearing(Turn(0, 40, "1"))), GREY)
    stranger = count_pixels(draw(tmp_path, one, hearing(Turn(0, 40, "1"), Turn(50, 90, "2"))), GREY)
    assert stranger > known + 1000


def test_wrong_words_are_marked(tmp_path: Path) -> None:
    one, heard = reference(Turn(0, 40, "anna")), hearing(Turn(0, 40, "1"))
    without = count_pixels(draw(tmp_path, one, heard), RED)
    marked = count_pixels(
        draw(tmp_path, one, heard, SpokenWord("hi", Span(10, 11)), SpokenWord("ho", Span(20, 21))), RED
    )
    assert marked > without


def test_a_long_recording_has_more_strips(tmp_path: Path) -> None:
    short = imread(draw(tmp_path, reference(), hearing(duration_s=180.0)))
    long = imread(draw(tmp_path, reference(), hearing(duration_s=541.0)))
    assert long.shape[0] - short.shape[0] == 3 * 200
    assert long.shape[1] == short.shape[1]


def test_a_recording_without_turns_is_drawn(tmp_path: Path) -> None:
    heard = Hearing("succeeded", None, 10.0, 1.0, (), None, (), ())
    assert draw(tmp_path, Reference((), None, None, has_word_times=False), heard).stat().st_size > 1000
