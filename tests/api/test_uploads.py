from __future__ import annotations

import hashlib
import resource
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from api.uploads import MAX_FIELDS_BYTES, SpoolFile, clean_filename
from config.settings import Settings
from erni import blob_paths
from erni.errors import MediaTooLarge, StorageError, StorageFull
from erni.services import Services

MAX_UPLOAD_BYTES = 2_000_000
"""As the ``settings`` fixture has it."""
SOUND = bytes(range(256)) * 4000
BOUNDARY = "frontier"


@pytest.fixture(autouse=True)
def no_spool_file_is_left(settings: Settings) -> Iterator[None]:
    yield
    deadline_s = time.monotonic() + 5
    while left := list(settings.temporary_dir.glob("upload-*")):
        # A caller that hung up is gone before the server has noticed.
        assert time.monotonic() < deadline_s, left
        time.sleep(0.05)


def assert_stored(services: Services, answer: httpx.Response, content: bytes) -> None:
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert job["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert job["size_bytes"] == len(content)
    assert services.blobs.get_bytes(blob_paths.source(job["id"])) == content


def part(disposition: str, content: bytes = b"x") -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n"
    return head.encode() + content + b"\r\n"


def post_form(client: httpx.Client, *parts: bytes, ended: bool = True) -> httpx.Response:
    body = b"".join(parts) + (f"--{BOUNDARY}--\r\n".encode() if ended else b"")
    return client.post("/v1/jobs", content=body, headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})


FILE_PART = part('name="file"; filename="a.wav"')


def assert_refused(answer: httpx.Response, status: int, code: str, field: str | None = None) -> None:
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem.get("field")) == (status, code, field)


def test_form_upload_is_stored_byte_for_byte(client: httpx.Client, services: Services) -> None:
    answer = client.post("/v1/jobs", files={"file": ("a.wav", SOUND)}, data={"language": "en"})
    assert_stored(services, answer, SOUND)
    assert answer.json()["filename"] == "a.wav"
    assert answer.json()["options"]["language"] == "en"


def test_raw_upload_is_stored_byte_for_byte(client: httpx.Client, services: Services) -> None:
    answer = client.post("/v1/jobs?language=en&filename=b.flac", content=SOUND, headers={"Content-Type": "audio/flac"})
    assert_stored(services, answer, SOUND)
    assert answer.json()["filename"] == "b.flac"
    assert answer.json()["options"]["language"] == "en"


def test_raw_upload_needs_no_content_type(client: httpx.Client, services: Services) -> None:
    assert_stored(services, client.post("/v1/jobs", content=SOUND), SOUND)


def test_raw_upload_takes_its_name_from_content_disposition(client: httpx.Client) -> None:
    headers = {"Content-Disposition": "attachment; filename*=UTF-8''%C3%BCber.ogg"}
    assert client.post("/v1/jobs", content=b"x", headers=headers).json()["filename"] == "über.ogg"


def in_pieces(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), 70_001):
        yield content[start : start + 70_001]


def test_raw_upload_of_unknown_length_is_stored(client: httpx.Client, services: Services) -> None:
    assert_stored(services, client.post("/v1/jobs", content=in_pieces(SOUND)), SOUND)


def test_form_upload_of_unknown_length_is_stored(client: httpx.Client, services: Services) -> None:
    body = part('name="file"; filename="a.wav"', SOUND) + f"--{BOUNDARY}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    assert_stored(services, client.post("/v1/jobs", content=in_pieces(body), headers=headers), SOUND)


@pytest.mark.parametrize("size", [255, 512 * 1024 - 1, 512 * 1024, 512 * 1024 + 1])
def test_sound_that_looks_like_line_ends_survives_the_form(client: httpx.Client, services: Services, size: int) -> None:
    content = (b"\r\n--frontie" * (size // 10 + 1))[:size]
    assert_stored(services, post_form(client, part('name="file"; filename="a"', content)), content)


def test_file_part_without_a_file_name_is_taken(client: httpx.Client, services: Services) -> None:
    answer = post_form(client, part('name="file"', SOUND))
    assert_stored(services, answer, SOUND)
    assert answer.json()["filename"] is None


def test_options_may_stand_behind_the_file_and_in_the_query(client: httpx.Client) -> None:
    answer = client.post(
        "/v1/jobs?diarizer=none",
        files=[("file", ("a.wav", b"x")), ("join", (None, "majority"))],
    )
    options = answer.json()["options"]
    assert (options["join"], options["diarizer"]) == ("majority", None)


def test_option_in_form_and_query_is_given_twice(client: httpx.Client) -> None:
    answer = client.post("/v1/jobs?join=majority", files={"file": b"x"}, data={"join": "majority"})
    assert_refused(answer, 422, "invalid_option", "join")


def test_two_recordings_are_refused(client: httpx.Client) -> None:
    assert_refused(post_form(client, FILE_PART, FILE_PART), 422, "invalid_option", "file")


def test_form_without_a_recording_is_refused(client: httpx.Client) -> None:
    assert_refused(post_form(client, part('name="language"', b"en")), 422, "invalid_option", "file")
    assert_refused(post_form(client), 422, "invalid_option", "file")


def test_file_part_of_another_name_is_refused_by_name(client: httpx.Client) -> None:
    answer = client.post("/v1/jobs", files={"audio": ("a.wav", b"x")})
    assert_refused(answer, 422, "invalid_option", "audio")


def test_unknown_field_is_refused_by_name(client: httpx.Client) -> None:
    answer = client.post("/v1/jobs", files={"file": b"x"}, data={"langauge": "en"})
    assert_refused(answer, 422, "invalid_option", "langauge")
    assert "Did you mean language" in answer.json()["detail"]


def test_field_without_a_name_is_refused(client: httpx.Client) -> None:
    assert_refused(post_form(client, FILE_PART, part("nothing=1")), 422, "invalid_option", "")


def test_field_that_is_not_text_is_refused(client: httpx.Client) -> None:
    answer = post_form(client, FILE_PART, part('name="prompt"', b"\xff"))
    assert_refused(answer, 422, "invalid_option", "prompt")


def test_fields_cannot_fill_the_memory(client: httpx.Client) -> None:
    answer = post_form(client, part('name="prompt"', b"x" * (MAX_FIELDS_BYTES + 1)), FILE_PART)
    assert_refused(answer, 422, "invalid_option", "prompt")
    many = [part(f'name="metadata[{number}]"') for number in range(70)]
    assert_refused(post_form(client, *many, FILE_PART), 400, "malformed_form")


def test_headers_and_epilogue_of_a_form_cannot_fill_the_memory(client: httpx.Client) -> None:
    endless = f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=".encode() + b"x" * 1_300_000
    assert_refused(post_form(client, endless, ended=False), 400, "malformed_form")
    ended = f"--{BOUNDARY}--\r\n".encode()
    assert_refused(post_form(client, FILE_PART, ended, b"x" * 1_300_000), 400, "malformed_form")


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=ü"])
def test_form_without_a_usable_boundary_is_refused(client: httpx.Client, content_type: str) -> None:
    headers = {b"Content-Type": content_type.encode()}
    assert_refused(client.post("/v1/jobs", content=FILE_PART, headers=headers), 400, "malformed_form")


def test_form_that_breaks_off_is_refused(client: httpx.Client) -> None:
    assert_refused(post_form(client, FILE_PART, ended=False), 400, "malformed_form")
    assert_refused(post_form(client, b"nothing of the kind", ended=False), 400, "malformed_form")


def test_urlencoded_body_is_told_how_to_send_a_recording(client: httpx.Client) -> None:
    answer = client.post("/v1/jobs", data={"file": "x"})
    assert_refused(answer, 415, "unsupported_media_type")
    assert "application/octet-stream" in answer.json()["detail"]


def test_empty_uploads_are_refused(client: httpx.Client) -> None:
    assert_refused(client.post("/v1/jobs"), 422, "empty_upload", "file")
    assert_refused(client.post("/v1/jobs", files={"file": b""}), 422, "empty_upload", "file")


def test_upload_of_exactly_the_limit_is_taken(client: httpx.Client, services: Services) -> None:
    content = b"x" * MAX_UPLOAD_BYTES
    assert_stored(services, client.post("/v1/jobs", content=content), content)
    assert_stored(services, client.post("/v1/jobs", files={"file": content}), content)


def test_upload_one_byte_over_the_limit_is_refused(client: httpx.Client) -> None:
    content = b"x" * (MAX_UPLOAD_BYTES + 1)
    assert_refused(client.post("/v1/jobs", content=content), 413, "media_too_large", "file")
    assert_refused(client.post("/v1/jobs", files={"file": content}), 413, "media_too_large", "file")
    assert_refused(client.post("/v1/jobs", content=in_pieces(content)), 413, "media_too_large", "file")


def test_announced_length_over_the_limit_is_refused_before_a_byte_is_sent(url: str, token: str) -> None:
    answer = exchange(url, token, b"Content-Length: 5000000000\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")


def exchange(url: str, token: str, rest: bytes) -> bytes:
    """Send a request that may be broken, half-close, and return the whole answer."""
    target = httpx.URL(url)
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: erni\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n"
    with socket.create_connection((target.host, target.port or 80), timeout=10) as connection:
        connection.sendall(head.encode() + rest)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 1000\r\n\r\nonly this",
        b"Content-Length: 1000\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n10\r\nonly this",
        b"Transfer-Encoding: chunked\r\n\r\n4\r\nthis\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nnot a length\r\n",
        b"Content-Type: multipart/form-data; boundary=frontier\r\nContent-Length: 1000\r\n\r\n" + FILE_PART,
    ],
)
def test_upload_that_ends_early_is_not_accepted(url: str, token: str, client: httpx.Client, rest: bytes) -> None:
    answer = exchange(url, token, rest)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"upload_interrupted" in answer
    assert client.get("/v1/jobs").json()["jobs"] == []


def test_connection_lost_in_an_upload_leaves_no_job(url: str, token: str, client: httpx.Client) -> None:
    target = httpx.URL(url)
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: erni\r\nAuthorization: Bearer {token}\r\nContent-Length: 99\r\n\r\n"
    with socket.create_connection((target.host, target.port or 80)) as connection:
        connection.sendall(head.encode() + b"half")
    assert client.get("/v1/jobs").json()["jobs"] == []


def test_uploads_at_the_same_time_do_not_mix(client: httpx.Client, services: Services) -> None:
    contents = [bytes([number]) * 300_000 for number in range(10)]
    with ThreadPoolExecutor(10) as executor:
        answers = list(executor.map(lambda content: client.post("/v1/jobs", content=content), contents))
    for content, answer in zip(contents, answers, strict=True):
        assert_stored(services, answer, content)


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("talk.wav", "talk.wav"),
        ("../../etc/passwd", "passwd"),
        ("C:\\meetings\\talk.wav", "talk.wav"),
        ("a\r\nSet-Cookie: b.wav", "aSet-Cookie: b.wav"),
        ("x" * 300, "x" * 255),
        ("/", None),
        ("", None),
        (None, None),
    ],
)
def test_file_name_is_made_fit_for_display(sent: str | None, shown: str | None) -> None:
    assert clean_filename(sent) == shown


def test_spool_file_refuses_the_block_that_outgrows_it(tmp_path: Path) -> None:
    spool = SpoolFile(tmp_path / "new", 5)
    spool.write(b"12345")
    with pytest.raises(MediaTooLarge):
        spool.write(b"6")
    spool.discard()
    assert list((tmp_path / "new").iterdir()) == []


def test_disk_that_takes_no_more_is_told_as_full(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    spool = SpoolFile(tmp_path, 10_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StorageFull):
            spool.write(b"x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        spool.discard()


def test_directory_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        SpoolFile(tmp_path / "file", 5)
