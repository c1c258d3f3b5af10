"""Weights out of a PyTorch checkpoint without PyTorch, which costs 200 MB and a second to import. Knows no network.

A checkpoint is an uncompressed ZIP archive: ``data.pkl`` names each tensor's shape and storage, and each storage is a
member of its own (PyTorch's ``docs/source/notes/serialization.rst``). Only the names listed here can be unpickled, so
that a checkpoint can hold numbers but run no code, as with ``torch.load(weights_only=True)``.
"""

from __future__ import annotations

import pickle  # only through the unpickler below, which knows four names
import zipfile
from collections import OrderedDict
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_DAMAGES: Final = (
    zipfile.BadZipFile,
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    LookupError,
    StopIteration,
    TypeError,
)
"""What the archive's and the pickle's readers raise on bytes that are no checkpoint."""

DTYPES: Final = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


def read_torch_weights(path: Path) -> dict[str, Array]:
    """Every tensor of a checkpoint that is one flat dictionary, by name.

    Raises:
        ValueError: the file is no such checkpoint.
        OSError: it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            index = next(name for name in archive.namelist() if PurePosixPath(name).name == "data.pkl")
            with archive.open(index) as pickled:
                return dict(_TensorUnpickler(pickled, archive, PurePosixPath(index).parent).load())
    except _DAMAGES as error:
        raise ValueError(f"{path} is no checkpoint of plain tensors ({type(error).__name__}: {error}).") from error


class _TensorUnpickler(pickle.Unpickler):
    def __init__(self, pickled: BinaryIO | Any, archive: zipfile.ZipFile, root: PurePosixPath) -> None:
        super().__init__(pickled)
        self._archive = archive
        self._root = root

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a checkpoint")

    def persistent_load(self, pid: Any) -> Array:
        _, dtype, key, _, _ = pid
        return np.frombuffer(self._archive.read(str(self._root / "data" / key)), dtype)


def _rebuild_tensor(storage: Array, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> Array:
    last = offset + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
    if offset < 0 or min(strides, default=0) < 0 or last >= len(storage):
        raise pickle.UnpicklingError(f"a tensor of shape {shape} lies outside its storage")
    in_bytes = tuple(stride * storage.itemsize for stride in strides)
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, in_bytes, writeable=False)
