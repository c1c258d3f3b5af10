"""What callers see while the server's disk is full, and what stays behind: nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

StartFullDisk = Callable[[int], AbstractContextManager[Any]]

ROOM_BYTES = 1024 * 1024
TOO_MUCH = b"s" * (ROOM_BYTES + 1)


@pytest.mark.parametrize("upload", [{"content": TOO_MUCH}, {"files": {"file": ("talk.wav", TOO_MUCH)}}])
def test_upload_the_disk_cannot_take_is_refused_and_leaves_nothing(
    full_disk: StartFullDisk, upload: dict[str, Any]
) -> None:
    with full_disk(ROOM_BYTES) as disk:
        answer = disk.client.post("/v1/jobs", **upload)
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (507, "storage_full")
        assert problem["detail"] == "No space is left to store this. Try again later, and tell the operator."
        assert int(answer.headers["Retry-After"]) >= 1
        assert disk.client.get("/v1/jobs").json()["jobs"] == []
        assert disk.files("tmp") == disk.files("blobs") == []
        assert disk.client.post("/v1/jobs", content=b"what fits").status_code == 202


def test_upload_that_cannot_be_recorded_is_refused_and_leaves_nothing(full_disk: StartFullDisk) -> None:
    with full_disk(256 * 1024) as disk:
        answers = []
        while not answers or answers[-1].status_code == 202:
            assert len(answers) < 200, "the records never filled up"
            answers.append(disk.client.post("/v1/jobs", content=b"sound"))
        *accepted, refused = answers
        assert refused.status_code in {503, 507}
        assert int(refused.headers["Retry-After"]) >= 1
        job_ids = [answer.json()["id"] for answer in accepted]
        assert job_ids
        assert disk.services.jobs.existing(job_ids) == set(job_ids)
        assert disk.files("blobs") == ["source"] * len(job_ids)
        assert disk.files("tmp") == []
