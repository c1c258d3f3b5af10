"""The cipher of what is kept of voices, and its key. Knows nothing of what is encrypted.

Fernet (https://github.com/fernet/spec): AES-128 in CBC mode with an HMAC-SHA256 over all of it. Of several keys the
first encrypts and each decrypts, so that a key is replaced by putting the new one before it.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from erni.errors import ConfigError, DocumentDamaged

_HOW: Final = (
    "Each of its keys, separated by commas, is 32 bytes in URL-safe base64, as printed by "
    "python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'."
)


class VoiceCipher:
    """``voice_ports.Cipher`` over these keys."""

    def __init__(self, keys: MultiFernet) -> None:
        self._keys = keys

    def encrypt(self, content: bytes) -> bytes:
        return self._keys.encrypt(content)

    def decrypt(self, content: bytes) -> bytes:
        try:
            return self._keys.decrypt(content)
        except InvalidToken:
            raise DocumentDamaged(
                "What is stored of a voice cannot be decrypted: have the key it was encrypted with in "
                "ERNI_VOICES__KEY, behind the newer ones, on every host."
            ) from None


def load_cipher(secret: str | None, key_file: Path) -> VoiceCipher:
    """The cipher of these keys, newest first and separated by commas; without any, of the one in ``key_file``.

    Where there is no such file one is made, readable by its owner only. Of processes that do so at once one wins.

    Raises:
        ConfigError: a key is malformed, or the file cannot be read or made.
    """
    if secret is not None:
        return _build(secret, f"ERNI_VOICES__KEY is malformed. {_HOW}")
    try:
        text = _read_or_make(key_file)
    except OSError as error:
        raise ConfigError(
            f"The key of the voiceprints, {key_file}, cannot be read or made: {error.strerror}. "
            "Make its directory writable, or set ERNI_VOICES__KEY."
        ) from error
    return _build(text, f"The key of the voiceprints in {key_file} is malformed: restore it. {_HOW}")


def _build(keys: str, complaint: str) -> VoiceCipher:
    try:
        return VoiceCipher(MultiFernet([Fernet(key.strip()) for key in keys.split(",") if key.strip()]))
    except ValueError:
        # Without its cause, which may show a part of the key.
        raise ConfigError(complaint) from None


def _read_or_make(key_file: Path) -> str:
    try:
        return key_file.read_text("ascii")
    except FileNotFoundError:
        key_file.parent.mkdir(parents=True, exist_ok=True)
    written = key_file.with_name(f"{key_file.name}-{uuid.uuid4().hex}")
    descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(Fernet.generate_key() + b"\n")
            file.flush()
            os.fsync(descriptor)
        # A link, unlike a rename, leaves the file of whoever was first in place.
        key_file.hardlink_to(written)
    except FileExistsError:
        return key_file.read_text("ascii")
    finally:
        written.unlink()
    return key_file.read_text("ascii")
