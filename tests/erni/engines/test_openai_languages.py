"""Names of languages."""

from __future__ import annotations

import pytest

from erni.engines.openai_languages import language_code


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("english", "en"),
        ("German", "de"),
        ("de", "de"),
        ("EN", "en"),
        ("en-US", "en"),
        ("pt_BR", "pt"),
        ("haitian creole", "ht"),
        ("cantonese", "yue"),
        ("klingon", None),
        ("tlh", None),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_names_and_codes_become_codes(name: object, code: str | None) -> None:
    assert language_code(name) == code
