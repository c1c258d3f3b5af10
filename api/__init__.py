"""Entrance for callers: REST over Flask. Speaks HTTP; decides nothing about speech."""

from __future__ import annotations

from flask import Flask

from api import problems, request_record
from api.routes import engines, health, hooks, jobs, metrics, quotes, usage, voiceprints
from api.runtime import Runtime, attach_runtime


def create_app(runtime: Runtime) -> Flask:
    """The WSGI application. Opens nothing: connections are made by the first request that needs them."""
    app = Flask(__name__, static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it, its base class not
    attach_runtime(app, runtime)
    request_record.install(app, runtime.redis)
    problems.install(app)
    app.register_blueprint(jobs.blueprint)
    app.register_blueprint(hooks.blueprint)
    app.register_blueprint(quotes.blueprint)
    app.register_blueprint(usage.blueprint)
    app.register_blueprint(engines.blueprint)
    app.register_blueprint(voiceprints.blueprint)
    app.register_blueprint(voiceprints.naming)
    app.register_blueprint(health.blueprint)
    app.register_blueprint(metrics.blueprint)
    return app
