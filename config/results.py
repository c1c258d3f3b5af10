"""Where Celery keeps results: only a chord's counter and its members' small statuses, which nobody waits for."""

from __future__ import annotations

from typing import Any

from celery.backends.redis import RedisBackend


class UnwatchedResults(RedisBackend):  # type: ignore[misc]  # Celery ships no types
    """Results in Redis to which no sender subscribes.

    Celery subscribes to the result of every task it sends, one channel per member of a chord, and keeps that until
    somebody reads the result. Here nobody does, so a sender would hold more and more of them.
    """

    def add_pending_result(self, result: Any, **_: Any) -> Any:
        return result

    def _set(self, key: str, value: bytes, expires: float | None = None) -> None:
        """Store without telling those who watch the result, because nobody does: one command instead of four."""
        self.client.set(key, value, ex=int(expires or self.expires))

    def on_task_call(self, producer: Any, task_id: str) -> dict[str, Any]:  # noqa: ARG002  # Celery calls it with both
        return {}
