"""A worker that counts the statements it sends to the records: ``python -m bench.counting_worker DIRECTORY QUEUE …``.

It is Erni's own worker with its own settings; after each task its pool process writes its sums so far to a file.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from celery.signals import task_postrun
from sqlalchemy import Engine, event

_counts: Counter[str] = Counter()


def read_counts(directory: Path) -> dict[str, int]:
    """The sums of all processes: ``statements``, ``transactions`` (those that write) and ``tasks`` (messages)."""
    total: Counter[str] = Counter()
    for file in directory.glob("*.json"):
        total.update(json.loads(file.read_text()))
    return dict(total)


def main(directory: Path, arguments: Sequence[str]) -> None:
    """Serve until told to stop."""
    event.listen(Engine, "before_cursor_execute", _count_statement)
    event.listen(Engine, "commit", _count_commit)

    def write(**_: Any) -> None:
        _counts["tasks"] += 1
        file = directory / f"{os.getpid()}.json"
        temporary = file.with_suffix(".new")
        temporary.write_text(json.dumps(_counts))
        temporary.replace(file)

    task_postrun.connect(write, weak=False)
    from tasks.app import celery_app  # noqa: PLC0415  # after the listeners, and not where only the counts are read

    celery_app.worker_main(["worker", *arguments, "--without-gossip", "--without-mingle"])


def _count_statement(_connection: object, _cursor: object, statement: str, *_: object) -> None:
    if not statement.startswith("BEGIN"):
        _counts["statements"] += 1


def _count_commit(_connection: object) -> None:
    _counts["transactions"] += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
