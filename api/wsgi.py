"""The application a WSGI server imports: ``gunicorn api.wsgi:app``."""

from __future__ import annotations

from api import create_app
from api.runtime import Runtime
from config.bootstrap import build_offers, build_redis, build_services
from config.engines import build_catalogue, build_verifiers
from config.logging import configure_logging
from config.queue import QUEUES
from config.settings import load_settings
from erni.steps.probing import warn_of_retirements

settings = load_settings()
configure_logging(settings.log)
services = build_services(settings)
warn_of_retirements(services)
app = create_app(
    Runtime(
        services=services,
        redis=build_redis(settings),
        queues=QUEUES,
        offers=build_offers(settings, services),
        max_upload_bytes=settings.api.max_upload_bytes,
        page_size=settings.api.page_size,
        catalogue=build_catalogue(settings),
        verifiers=build_verifiers(settings),
    )
)
