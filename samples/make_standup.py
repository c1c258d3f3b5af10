"""Makes the sample recording from its script with the flite speech synthesiser; run by hand, see README.md.

The same script, seed and flite give the same samples and times. Needs the program ``flite``.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf

HERE = Path(__file__).parent
SAMPLE_RATE_HZ = 16_000
SEED = 20_240
GAP_S = (0.25, 0.9)
EDGE_S = 0.6
LEVEL_DB = {"slt": -24.0, "rms": -25.5, "awb": -26.5}
LEVEL_JITTER_DB = 1.0
NOISE_DB = -72.0
SILENCE_DB = -45.0
FRAME_S = 0.01


@dataclass(frozen=True)
class Line:
    """A turn of the script: who speaks (a flite voice) and what."""

    voice: str
    text: str


def parse_script(script: str) -> list[Line]:
    """Read ``voice: text`` lines; lines beginning with ``#`` are comments."""
    lines = [line for line in script.splitlines() if line and not line.startswith("#")]
    return [Line(voice, text) for voice, text in (line.split(": ", 1) for line in lines)]


def speak(line: Line) -> np.ndarray:
    """Synthesise a turn: float samples (n,) at 16 kHz, without the silence around the speech."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as wav:
        subprocess.run(["flite", "-voice", line.voice, "-t", line.text, "-o", wav.name], check=True)
        samples, rate_hz = sf.read(wav.name, dtype="float64")
    if rate_hz != SAMPLE_RATE_HZ:
        raise SystemExit(f"The flite voice {line.voice} speaks at {rate_hz} Hz; use one of {SAMPLE_RATE_HZ} Hz.")
    return trim(samples)


def trim(samples: np.ndarray) -> np.ndarray:
    """Cut silent frames off both ends; silent is ``SILENCE_DB`` below the loudest frame."""
    frame = int(FRAME_S * SAMPLE_RATE_HZ)
    energy = np.square(samples[: len(samples) // frame * frame]).reshape(-1, frame).mean(axis=1)
    loud = np.flatnonzero(energy > energy.max() * 10 ** (SILENCE_DB / 10))
    return samples[loud[0] * frame : (loud[-1] + 1) * frame]


def set_level(samples: np.ndarray, level_db: float) -> np.ndarray:
    """Scale to a root mean square of ``level_db`` below full scale."""
    return samples * (10 ** (level_db / 20) / np.sqrt(np.square(samples).mean()))


def make_recording(lines: list[Line]) -> tuple[np.ndarray, list[dict[str, object]]]:
    """Put the turns one after another: the samples and each turn's speaker, times and words."""
    random = np.random.default_rng(SEED)
    speakers = {voice: f"speaker_{n}" for n, voice in enumerate(dict.fromkeys(line.voice for line in lines), 1)}
    pieces = [np.zeros(int(EDGE_S * SAMPLE_RATE_HZ))]
    turns: list[dict[str, object]] = []
    position = len(pieces[0])
    for line in lines:
        level_db = LEVEL_DB[line.voice] + random.uniform(-LEVEL_JITTER_DB, LEVEL_JITTER_DB)
        voice = set_level(speak(line), level_db)
        gap = np.zeros(int(random.uniform(*GAP_S) * SAMPLE_RATE_HZ))
        turns.append(
            {
                "speaker": speakers[line.voice],
                "start_s": round(position / SAMPLE_RATE_HZ, 3),
                "end_s": round((position + len(voice)) / SAMPLE_RATE_HZ, 3),
                "text": line.text,
            }
        )
        pieces += [voice, gap]
        position += len(voice) + len(gap)
    pieces[-1] = np.zeros(int(EDGE_S * SAMPLE_RATE_HZ))
    recording = np.concatenate(pieces)
    return recording + random.normal(0.0, 10 ** (NOISE_DB / 20), len(recording)), turns


def main() -> None:
    """Write ``standup.flac`` and its reference ``standup.json`` beside this script."""
    recording, turns = make_recording(parse_script((HERE / "standup.txt").read_text(encoding="utf-8")))
    sf.write(HERE / "standup.flac", recording, SAMPLE_RATE_HZ, subtype="PCM_16")
    reference = {"language": "en", "duration_s": round(len(recording) / SAMPLE_RATE_HZ, 3), "turns": turns}
    (HERE / "standup.json").write_text(json.dumps(reference, indent=1) + "\n", encoding="utf-8")
    print(f"{reference['duration_s']} s, {len(turns)} turns, peak {np.abs(recording).max():.2f}")


if __name__ == "__main__":
    main()
