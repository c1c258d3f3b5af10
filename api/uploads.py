"""Uploads: from the socket to a file in one pass, hashed and counted on the way, never held in memory.

A recording comes as the part ``file`` of a multipart form, or as the body itself with options in the query.
"""

from __future__ import annotations

import errno
import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import IO, Final

from flask import Request
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

from erni.errors import InvalidOption, MediaTooLarge, StorageError, StorageFull
from erni.steps.accepting import Upload
from erni.stores.whole_files import start_writing_back

FILE_PART: Final = "file"
BLOCK_BYTES: Final = 512 * 1024
"""Measured: half the time of 64 KiB blocks for a raw body under gunicorn; larger gains nothing."""
MAX_PARTS: Final = 64
MAX_FIELDS_BYTES: Final = 64 * 1024
MAX_FORM_OVERHEAD_BYTES: Final = 1024 * 1024
"""What a form may hold besides the recording: fields, part headers, boundaries."""
MAX_DRAINED_BLOCKS: Final = 32
MAX_FILENAME_CHARS: Final = 255

Fields = dict[str, list[str]]


class UploadInterrupted(BadRequest):
    description = "The upload ended before all of it had arrived. Nothing was accepted; send it again."


class MalformedForm(BadRequest):
    description = "The body is not a well-formed multipart form."


@dataclass(frozen=True, slots=True)
class Received:
    """A recording on disk and the fields that came with it, unchecked."""

    upload: Upload
    fields: Fields


class SpoolFile:
    """A file in the making that knows its digest and refuses to outgrow its limit."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self.path = directory / f"upload-{uuid.uuid4().hex}"
        self._max_bytes = max_bytes
        self._hash = hashlib.sha256()
        self._size_bytes = 0
        with _disk_errors():
            directory.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("xb", buffering=0)

    def write(self, block: bytes) -> None:
        """Raises MediaTooLarge, StorageFull, StorageError."""
        offset = self._size_bytes
        self._size_bytes += len(block)
        check_size(self._size_bytes, self._max_bytes)
        self._hash.update(block)
        rest = memoryview(block)
        with _disk_errors():
            while rest:  # an unbuffered write may take less than all, as on a disk that is just getting full
                rest = rest[self._file.write(rest) :]
        start_writing_back(self._file.fileno(), offset, len(block))

    def finish(self, filename: str | None) -> Upload:
        self._file.close()
        return Upload(self.path, self._hash.hexdigest(), self._size_bytes, clean_filename(filename))

    def discard(self) -> None:
        """Remove the file, unless whoever accepted it has moved it away."""
        self._file.close()
        self.path.unlink(missing_ok=True)


@contextmanager
def receive_upload(request: Request, directory: Path, max_bytes: int) -> Iterator[Received]:
    """Receive the recording of ``request`` into ``directory``; what is left there goes with the context.

    Raises:
        MediaTooLarge: more than ``max_bytes``; noticed before the first byte when the length is announced.
        InvalidOption: a part is unknown, missing, too long or comes twice.
        UploadInterrupted: the body ended early.
        MalformedForm: the form cannot be parsed.
        StorageError: the disk cannot take it.
    """
    if request.mimetype == "application/x-www-form-urlencoded":
        raise UnsupportedMediaType(
            "Send the recording as the part 'file' of multipart/form-data, or as the body itself with an "
            "audio content type or application/octet-stream."
        )
    spool = SpoolFile(directory, max_bytes)
    try:
        yield _receive(request, spool, max_bytes)
    finally:
        spool.discard()


def check_size(size_bytes: int, max_bytes: int) -> None:
    """Raises MediaTooLarge."""
    if size_bytes > max_bytes:
        raise MediaTooLarge(
            f"The upload is larger than the limit of {max_bytes} bytes. Send a compressed format, or have "
            "the operator raise ERNI_API__MAX_UPLOAD_BYTES.",
            field=FILE_PART,
        )


def clean_filename(filename: str | None) -> str | None:
    """The last part of the name, printable and of bounded length: for display, never for use as a path."""
    name = PureWindowsPath(filename or "").name
    return "".join(character for character in name if character.isprintable())[:MAX_FILENAME_CHARS] or None


def _receive(request: Request, spool: SpoolFile, max_bytes: int) -> Received:
    is_form = request.mimetype == "multipart/form-data"
    overhead_bytes = MAX_FORM_OVERHEAD_BYTES if is_form else 0
    try:
        check_size((request.content_length or 0) - overhead_bytes, max_bytes)
        return _receive_form(request, spool) if is_form else _receive_body(request, spool)
    except (InvalidOption, MediaTooLarge, MalformedForm):
        _drain(request)
        raise


def _drain(request: Request) -> None:
    """Take what is still being sent, within a limit: who is busy sending does not read the answer."""
    with suppress(UploadInterrupted):
        for _ in range(MAX_DRAINED_BLOCKS):
            if not _read_block(request.stream):
                return


def _receive_body(request: Request, spool: SpoolFile) -> Received:
    fields: Fields = dict(request.args.lists())
    names = fields.pop("filename", [])
    if len(names) > 1:
        raise InvalidOption("filename is given more than once.", field="filename")
    disposition = parse_options_header(request.headers.get("Content-Disposition"))[1]
    for block in _blocks(request):
        spool.write(block)
    return Received(spool.finish(names[0] if names else disposition.get("filename")), fields)


def _receive_form(request: Request, spool: SpoolFile) -> Received:
    boundary = request.mimetype_params.get("boundary", "")
    if not boundary or not boundary.isascii():
        raise MalformedForm("The multipart form names no boundary.")
    reader = _FormReader(boundary.encode(), spool, dict(request.args.lists()))
    for block in _blocks(request):
        reader.feed(block)
    return reader.finish()


def _blocks(request: Request) -> Iterator[bytes]:
    """The body, block by block. Raises UploadInterrupted when it ends before its announced length."""
    stream: IO[bytes] = request.stream
    received = 0
    while block := _read_block(stream):
        received += len(block)
        yield block
    if request.content_length is not None and received < request.content_length:
        raise UploadInterrupted


def _read_block(stream: IO[bytes]) -> bytes:
    try:
        return stream.read(BLOCK_BYTES)
    except Exception as error:  # each WSGI server has errors of its own for a broken body
        raise UploadInterrupted from error


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageFull("The disk for uploads is full.") from error
        raise StorageError("The upload cannot be written to disk.") from error


class _FormReader:
    """Sorts a form's parts as they arrive: the recording to its file, fields to a bounded buffer."""

    def __init__(self, boundary: bytes, spool: SpoolFile, fields: Fields) -> None:
        # The decoder's own limit bounds what it buffers: a block, plus a part's headers or an epilogue.
        self._decoder = MultipartDecoder(boundary, 2 * BLOCK_BYTES, max_parts=MAX_PARTS)
        self._spool = spool
        self._fields = fields
        self._fields_bytes = 0
        self._part = ""
        self._value = bytearray()
        self._upload: Upload | None = None
        self._filename: str | None = None
        self._has_file = False

    def feed(self, block: bytes | None) -> None:
        """Take the next block of the body, ``None`` for its end."""
        try:
            self._decoder.receive_data(block)
            while not isinstance(event := self._decoder.next_event(), NeedData | Epilogue):
                self._take(event)
        except ValueError as error:  # the decoder's word for whatever breaks the form
            raise MalformedForm from error
        except RequestEntityTooLarge as error:
            raise MalformedForm("The form has too many parts, or a part's headers are too long.") from error

    def finish(self) -> Received:
        self.feed(None)
        if self._upload is None:
            raise InvalidOption(
                f"The form has no part '{FILE_PART}'. Send the recording under this name.", field=FILE_PART
            )
        return Received(self._upload, self._fields)

    def _take(self, event: Event) -> None:
        match event:
            case File(name=name, filename=filename):
                self._begin_part(name, filename)
            case Field(name=name):
                self._begin_part(name, None)
            case Data(data=data, more_data=more_data):
                self._take_data(data)
                if not more_data:
                    self._end_part()

    def _begin_part(self, name: str | None, filename: str | None) -> None:
        self._part = name or ""
        self._value.clear()
        if self._part == FILE_PART:
            if self._has_file:
                raise InvalidOption("Send one recording per job; the form has two.", field=FILE_PART)
            self._has_file = True
            self._filename = filename
        elif filename is not None:
            shown = clean_filename(self._part) or "without a name"
            raise InvalidOption(
                f"The form has a file part {shown}; the recording's part must be named '{FILE_PART}'.",
                field=shown,
            )

    def _take_data(self, data: bytes) -> None:
        if self._part == FILE_PART:
            self._spool.write(data)
            return
        self._fields_bytes += len(self._part) + len(data)
        if self._fields_bytes > MAX_FIELDS_BYTES:
            raise InvalidOption(
                f"The form's fields hold more than {MAX_FIELDS_BYTES} bytes.",
                field=self._part[:MAX_FILENAME_CHARS],
            )
        self._value += data

    def _end_part(self) -> None:
        if self._part == FILE_PART:
            self._upload = self._spool.finish(self._filename)
            return
        try:
            value = self._value.decode()
        except UnicodeDecodeError as error:
            raise InvalidOption(f"{self._part} is not UTF-8 text.", field=self._part) from error
        self._fields.setdefault(self._part, []).append(value)
