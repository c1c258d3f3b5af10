"""How gunicorn serves the API; a gunicorn configuration file, so its names are gunicorn's.

``on_starting`` readies the data directory, so that the API also comes up without the supervisor.
"""

from __future__ import annotations

import sys

from config.bootstrap import initialise
from config.settings import load_settings

_settings = load_settings()
_settings.temporary_dir.mkdir(parents=True, exist_ok=True)

bind = f"{_settings.api.host}:{_settings.api.port}"
proc_name = "erni-api"
worker_class = "gthread"
workers = _settings.api.workers
threads = _settings.api.threads
timeout = 60
graceful_timeout = 10
keepalive = 5
control_socket_disable = True  # It would lie in the home directory, one for all stacks of the user.
accesslog = None
worker_tmp_dir = str(_settings.temporary_dir)


def on_starting(_server: object) -> None:
    """Migrate the records and make the first admin key, before any API process starts."""
    token = initialise(_settings)
    if token is not None:
        sys.stderr.write(f"The first admin key, shown once: {token}\n")
