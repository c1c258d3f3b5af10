"""What the pipeline is measured beside: one process that recognises with two threads and then diarizes with senko.

``python -m bench.baselines sequential|batched`` loads its models, then answers each path it reads with a line of JSON,
so that its runs can take turns with others while it stays warm. Both recognisers are faster-whisper with the bundled
model, greedy and with word times, as Erni asks for them: over the whole file in sequence, or in batches.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import soundfile

from cli.embedded import PROJECT_DIR

Kind = Literal["sequential", "batched"]
KINDS: Final[tuple[Kind, ...]] = ("sequential", "batched")
THREADS: Final = 2
BATCH_SIZE: Final = 8
"""faster-whisper's own default."""


@contextmanager
def open_baseline(kind: Kind) -> Iterator[Callable[[str], dict[str, Any]]]:
    """A warm process; yields a function from a path to ``total_s``, ``transcribe_s``, ``diarize_s`` and ``text``."""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "bench.baselines", kind],
        cwd=PROJECT_DIR,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("both are pipes")
        asked, answers = process.stdin, process.stdout

        def ask(path: str) -> dict[str, Any]:
            asked.write(f"{path}\n")
            asked.flush()
            if not (line := answers.readline()):
                raise RuntimeError(f"the {kind} baseline ended")
            result: dict[str, Any] = json.loads(line)
            return result

        yield ask
        asked.close()


def main(kind: Kind, paths: Iterable[str]) -> None:
    """Answer every path with a line."""
    recognise, diarize = _load_recogniser(kind), _load_diarizer()
    for path in paths:
        started_s = time.perf_counter()
        samples, _ = soundfile.read(path.strip(), dtype="float32")
        text = recognise(samples)
        transcribed_s = time.perf_counter()
        diarize(samples)
        ended_s = time.perf_counter()
        result = {
            "total_s": ended_s - started_s,
            "transcribe_s": transcribed_s - started_s,
            "diarize_s": ended_s - transcribed_s,
            "text": text,
        }
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()


def _load_recogniser(kind: Kind) -> Callable[[npt.NDArray[np.float32]], str]:
    from faster_whisper import BatchedInferencePipeline, WhisperModel  # noqa: PLC0415  # seconds; not for the caller

    from erni.engines.whisper import check_bundled_model  # noqa: PLC0415  # the same

    model = WhisperModel(str(check_bundled_model()), device="cpu", compute_type="int8", cpu_threads=THREADS)
    options = {"language": "en", "beam_size": 1, "word_timestamps": True, "condition_on_previous_text": False}
    if kind == "batched":
        recogniser, options = BatchedInferencePipeline(model), {**options, "batch_size": BATCH_SIZE}
    else:
        recogniser = model

    def recognise(samples: npt.NDArray[np.float32]) -> str:
        segments, _ = recogniser.transcribe(samples, **options)
        return " ".join(segment.text for segment in segments)

    return recognise


def _load_diarizer() -> Callable[[npt.NDArray[np.float32]], object]:
    import senko  # noqa: PLC0415  # seconds; not for the caller

    diarizer = senko.Diarizer(device="cpu", vad="silero", clustering="cpu", warmup=False, quiet=True)
    return lambda samples: diarizer.diarize_samples(samples, 16000)


if __name__ == "__main__":
    main(next(kind for kind in KINDS if kind == sys.argv[1]), sys.stdin)
