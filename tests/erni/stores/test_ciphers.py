"""Keys of what is kept of voices: made once, kept private, replaced without loss."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from erni.errors import ConfigError, DocumentDamaged
from erni.stores.ciphers import load_cipher

MAKE_KEY = """
import sys
from pathlib import Path
from erni.stores.ciphers import load_cipher
print("ready", flush=True)
input()
load_cipher(None, Path(sys.argv[1]))
print(Path(sys.argv[1]).read_text().strip())
"""


def new_key() -> str:
    return Fernet.generate_key().decode()


def test_key_file_is_made_once_and_read_by_its_owner_only(tmp_path: Path) -> None:
    key_file = tmp_path / "data" / "voices.key"
    sealed = load_cipher(None, key_file).encrypt(b"voice")
    assert load_cipher(None, key_file).decrypt(sealed) == b"voice"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert [path.name for path in key_file.parent.iterdir()] == ["voices.key"]


def test_processes_that_start_together_end_up_with_one_key(
    tmp_path: Path, run_together: Callable[..., list[str]]
) -> None:
    assert len(set(run_together(MAKE_KEY, str(tmp_path / "voices.key"), processes=4))) == 1


def test_newest_key_encrypts_and_older_ones_still_decrypt(tmp_path: Path) -> None:
    older, newer = new_key(), new_key()
    sealed = load_cipher(older, tmp_path / "unused").encrypt(b"voice")
    both = load_cipher(f"{newer}, {older}", tmp_path / "unused")
    assert both.decrypt(sealed) == b"voice"
    assert load_cipher(newer, tmp_path / "unused").decrypt(both.encrypt(b"voice")) == b"voice"
    with pytest.raises(DocumentDamaged, match="ERNI_VOICES__KEY"):
        load_cipher(older, tmp_path / "unused").decrypt(both.encrypt(b"voice"))
    assert not (tmp_path / "unused").exists()


@pytest.mark.parametrize("secret", ["", "not a key", "c2hvcnQ="])
def test_malformed_key_is_named_without_being_shown(secret: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ERNI_VOICES__KEY") as caught:
        load_cipher(secret, tmp_path / "unused")
    assert not secret or secret not in caught.value.message


def test_damaged_key_file_is_told_instead_of_replaced(tmp_path: Path) -> None:
    key_file = tmp_path / "voices.key"
    key_file.write_text("damaged")
    with pytest.raises(ConfigError, match="restore it"):
        load_cipher(None, key_file)
    assert key_file.read_text() == "damaged"


def test_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be read or made"):
        load_cipher(None, tmp_path / "file" / "voices.key")
