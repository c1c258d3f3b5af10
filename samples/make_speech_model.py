"""Write ``erni/media/silero_vad_v6_dense.onnx``: faster-whisper's Silero VAD v6 with matrix products for convolutions.

    pip install onnx && python samples/make_speech_model.py

Each frame is 576 samples, in which Silero's convolutions have four, four, two and one places to go. ONNX Runtime
multiplies matrices that narrow at a quarter of a processor's speed. So each convolution over so few places is written
as one matrix over all of them (zeros where a kernel does not reach), and a window of frames becomes one product.
The weights are Silero's own (MIT licence, beside the file); only their order changes.
"""

from __future__ import annotations

from pathlib import Path

import faster_whisper
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).parents[1]
SOURCE = Path(faster_whisper.__file__).parent / "assets" / "silero_vad_v6.onnx"
TARGET = ROOT / "erni" / "media" / "silero_vad_v6_dense.onnx"

FRAME, CONTEXT, FOURIER, HOP, PLACES, BINS = 576, 64, 256, 128, 4, 129
STRIDES = (1, 2, 2, 1)
STATE = [1, 1, 128]


def dense(kernel: np.ndarray, places: int, stride: int) -> tuple[np.ndarray, int]:
    """The matrix of a convolution with padding 1 over ``places``, and how many places it leaves."""
    outputs, inputs, width = kernel.shape
    left = (places + 2 - width) // stride + 1
    matrix = np.zeros((places * inputs, left * outputs), np.float32)
    for to in range(left):
        for tap in range(width):
            at = to * stride + tap - 1
            if 0 <= at < places:
                matrix[at * inputs : (at + 1) * inputs, to * outputs : (to + 1) * outputs] = kernel[:, :, tap].T
    return matrix, left


class Graph:
    """Nodes and constants, in the order they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, kind: str, inputs: list[str], *outputs: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, inputs, outputs, **attributes))
        return outputs[0]

    def constant(self, name: str, value: object) -> str:
        array = np.asarray(value, np.int64 if isinstance(value, list) else np.float32)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name


def build(weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    graph = Graph()
    spectrum = add_spectrum(graph, weights["encoder.feature_extractor.forward_basis_buffer"][:, 0, :].T)
    features, places = spectrum, PLACES
    for layer, stride in enumerate(STRIDES):
        matrix, left = dense(weights[f"encoder.conv_layers.{layer}.weight"], places, stride)
        bias = np.tile(weights[f"encoder.conv_layers.{layer}.bias"], left)
        inputs = [features, graph.constant(f"weight_{layer}", matrix), graph.constant(f"bias_{layer}", bias)]
        features = graph.add("Relu", [graph.add("Gemm", inputs, f"layer_{layer}")], f"features_{layer}")
        places = left
    add_decoder(graph, features, weights)
    return wrap(graph)


def add_spectrum(graph: Graph, basis: np.ndarray) -> str:
    """Magnitudes of four overlapping short-time Fourier transforms per frame."""
    padded = graph.add("Pad", ["input", graph.constant("padding", [0, 0, 0, CONTEXT])], "padded", mode="reflect")
    axis = graph.constant("axis", [1])
    windows = []
    for place in range(PLACES):
        start, end = place * HOP, place * HOP + FOURIER
        bounds = [graph.constant(f"start_{place}", [start]), graph.constant(f"end_{place}", [end]), axis]
        windows.append(graph.add("Slice", [padded, *bounds], f"window_{place}"))
    side_by_side = graph.add("Concat", windows, "side_by_side", axis=1)
    rows = graph.add("Reshape", [side_by_side, graph.constant("row", [-1, FOURIER])], "rows")
    squares = []
    for name, columns in (("cosine", basis[:, :BINS]), ("sine", basis[:, BINS:])):
        part = graph.add("MatMul", [rows, graph.constant(f"{name}s", columns)], name)
        squares.append(graph.add("Mul", [part, part], f"{name}_squared"))
    magnitude = graph.add("Sqrt", [graph.add("Add", squares, "power")], "magnitude")
    return graph.add("Reshape", [magnitude, graph.constant("frame", [-1, PLACES * BINS])], "spectrum")


def add_decoder(graph: Graph, features: str, weights: dict[str, np.ndarray]) -> None:
    sequence = graph.add("Unsqueeze", [features, "axis"], "sequence")
    parts = [graph.constant(name, weights[f"onnx::LSTM_{at}"]) for name, at in (("w", 209), ("r", 210), ("b", 211))]
    graph.add("LSTM", [sequence, *parts, "", "h", "c"], "heard", "hn", "cn", hidden_size=STATE[-1])
    rows = graph.add("Reshape", ["heard", graph.constant("state", [-1, STATE[-1]])], "states")
    inputs = [
        graph.add("Relu", [rows], "active"),
        graph.constant("weight_out", weights["decoder.conv1d.weight"][0]),
        graph.constant("bias_out", weights["decoder.conv1d.bias"]),
    ]
    chance = graph.add("Sigmoid", [graph.add("Gemm", inputs, "logits")], "chance")
    graph.add("Reshape", [chance, graph.constant("flat", [-1])], "speech_probs")


def wrap(graph: Graph) -> onnx.ModelProto:
    def value(name: str, shape: list[object]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    inputs = [value("input", ["frames", FRAME]), value("h", STATE), value("c", STATE)]
    outputs = [value("speech_probs", ["frames"]), value("hn", STATE), value("cn", STATE)]
    body = helper.make_graph(graph.nodes, "silero_vad_v6_dense", inputs, outputs, graph.constants)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], producer_name="erni")
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model


if __name__ == "__main__":
    initial = onnx.load(SOURCE).graph.initializer
    onnx.save(build({tensor.name: numpy_helper.to_array(tensor) for tensor in initial}), TARGET)
    print(f"{TARGET.relative_to(ROOT)}: {TARGET.stat().st_size} bytes")
