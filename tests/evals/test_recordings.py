from __future__ import annotations

from pathlib import Path

import pytest

from erni.errors import InputError
from evals.recordings import find_recordings, language_in_name


def put(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("hello")


def test_recordings_are_found_in_all_folders_in_order(tmp_path: Path) -> None:
    put(tmp_path, "b/deep/two.FLAC", "b/deep/two.txt", "a/one.mp3", "a/one.txt", "top.wav", "top.txt", "LICENCE.txt")
    found = find_recordings(tmp_path, None)
    assert [(each.name, each.folder) for each in found] == [
        ("a/one.mp3", "a"),
        ("b/deep/two.FLAC", "b"),
        ("top.wav", ""),
    ]


def test_a_folder_without_audio_is_an_error(tmp_path: Path) -> None:
    put(tmp_path, "notes.txt")
    with pytest.raises(InputError, match="holds no audio"):
        find_recordings(tmp_path, None)


def test_a_recording_without_reference_is_an_error_that_names_it(tmp_path: Path) -> None:
    put(tmp_path, "one.wav", "one.txt", "two.wav")
    with pytest.raises(InputError, match=r"two\.wav has no reference"):
        find_recordings(tmp_path, None)


def test_recordings_that_would_share_a_reference_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "one.wav", "one.mp3", "one.txt")
    with pytest.raises(InputError, match="Rename one of them"):
        find_recordings(tmp_path, None)


@pytest.mark.parametrize(
    ("stem", "language"),
    [
        ("talk.de", "de"),
        ("talk-de-001", "de"),
        ("talk-de", "de"),
        ("talk", None),
        ("de", None),
        ("talk.xx", None),
        ("talk-de-final", None),
        ("talk.de.edit", None),
    ],
)
def test_a_name_may_end_with_its_language(stem: str, language: str | None) -> None:
    assert language_in_name(stem) == language


def test_the_given_language_holds_for_all(tmp_path: Path) -> None:
    put(tmp_path, "talk.de.wav", "talk.de.txt")
    assert [each.language for each in find_recordings(tmp_path, None)] == ["de"]
    assert [each.language for each in find_recordings(tmp_path, "fr")] == ["fr"]
