"""Serves a vendor's application on loopback, on a thread of this process. Knows no vendor."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from werkzeug.serving import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Served:
    """Where an application listens: ``http://127.0.0.1:<port>``, without a slash behind it."""

    url: str
    port: int


class _QuietHandler(WSGIRequestHandler):
    """``Faults`` keeps the log."""

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  # the name is werkzeug's
        """Write nothing."""


@contextmanager
def serve(app: WSGIApplication, port: int = 0) -> Iterator[Served]:
    """Serve while inside, a thread per connection; port 0 takes a free one."""
    server = make_server(HOST, port, app, threaded=True, request_handler=_QuietHandler)
    server.daemon_threads = True  # type: ignore[attr-defined]  # a caller that never reads on must not keep us
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield Served(f"http://{HOST}:{server.server_port}", server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
