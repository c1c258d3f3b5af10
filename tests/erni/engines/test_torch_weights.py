"""Checkpoints as PyTorch writes them, and files that are none."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from erni.engines.torch_weights import read_torch_weights

torch = pytest.importorskip("torch", reason="PyTorch, which erni[local] brings, writes the checkpoints")


def test_tensors_are_read_as_they_were_saved(tmp_path: Path) -> None:
    grid = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    saved = {"grid": grid, "turned": grid.transpose(0, 2), "part": grid[1, 1:], "count": torch.tensor(7)}
    torch.save(saved, tmp_path / "weights.pt")
    read = read_torch_weights(tmp_path / "weights.pt")
    assert list(read) == list(saved)
    for name, tensor in saved.items():
        assert read[name].dtype == tensor.numpy().dtype
        np.testing.assert_array_equal(read[name], tensor.numpy())


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("burst"),)  # type: ignore[return-value]  # pickle takes any callable


def test_a_checkpoint_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("bomb.pt", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"weight": Bomb()}))
    with pytest.raises(ValueError, match="not allowed"):
        read_torch_weights(Path("bomb.pt"))
    assert not Path("burst").exists()


def test_a_tensor_cannot_reach_beyond_its_storage(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(4)}, tmp_path / "honest.pt")
    with zipfile.ZipFile(tmp_path / "honest.pt") as honest, zipfile.ZipFile(tmp_path / "short.pt", "w") as short:
        for member in honest.namelist():
            content = honest.read(member)
            short.writestr(member, content[:8] if "/data/" in member else content)
    with pytest.raises(ValueError, match="outside its storage"):
        read_torch_weights(tmp_path / "short.pt")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_checkpoint_is_told_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"odd\.pt is no checkpoint"):
        read_torch_weights(tmp_path / "odd.pt")


@pytest.mark.parametrize("pickled", [b"", b"\x80\x02", b"\x80\x02K\x07.", b"\x80\x02}q", b"N.", b"t."])
def test_a_damaged_index_is_told_by_name(tmp_path: Path, pickled: bytes) -> None:
    with zipfile.ZipFile(tmp_path / "odd.pt", "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
    with pytest.raises(ValueError, match=r"odd\.pt is no checkpoint"):
        read_torch_weights(tmp_path / "odd.pt")
