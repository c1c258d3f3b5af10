from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.bootstrap import build_offers, build_services
from config.engine_settings import PyannoteSettings, ReplicateSettings, WebhookSettings
from config.settings import JobSettings, Settings
from erni.errors import ConfigError
from erni.offers import Offers


def offers(directory: Path, **job_settings: object) -> Offers:
    """Of an installation with a second transcriber."""
    settings = Settings(data_dir=directory, jobs=JobSettings.model_validate(job_settings))
    services = build_services(settings)
    engines = {**services.transcribers, "second": services.transcribers["whisper"]}
    return build_offers(settings, replace(services, transcribers=engines))


def test_fallback_of_the_settings_is_offered_in_its_order(tmp_path: Path) -> None:
    assert offers(tmp_path).default_fallback == ()
    assert offers(tmp_path, fallback=" second, whisper ").default_fallback == ("second", "whisper")


def test_no_caller_may_ask_for_more_time_than_the_settings_allow(tmp_path: Path) -> None:
    assert offers(tmp_path, deadline_s=60.0).max_deadline_s == 60.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fallback": "second,third"}, "ERNI_JOBS__FALLBACK: no engine 'third'"),
        ({"fallback": "second,second"}, "ERNI_JOBS__FALLBACK: names an engine twice"),
        ({"engine": "third"}, "ERNI_JOBS__ENGINE: no engine 'third'"),
        ({"diarizer": "third"}, "ERNI_JOBS__DIARIZER: no diarizer 'third'"),
    ],
)
def test_default_that_is_not_set_up_is_refused_by_its_variable(
    tmp_path: Path, settings: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        offers(tmp_path, **settings)


def test_an_address_that_no_vendor_calls_is_refused(tmp_path: Path) -> None:
    hidden = Settings(data_dir=tmp_path, webhooks=WebhookSettings.model_validate({"public_url": "http://erni.example"}))
    with pytest.raises(ConfigError, match="ERNI_WEBHOOKS__PUBLIC_URL must begin with https"):
        build_services(hidden)
    for url in ("https://erni.example", "http://127.0.0.1:8000"):
        build_services(Settings(data_dir=tmp_path, webhooks=WebhookSettings.model_validate({"public_url": url})))


def test_a_vendor_calls_where_its_webhooks_can_be_verified_and_there_is_an_address(tmp_path: Path) -> None:
    replicate = ReplicateSettings.model_validate({"api_token": "r8_token"})
    pyannote = PyannoteSettings.model_validate({"api_key": "key"})
    settings = Settings(data_dir=tmp_path, replicate=replicate, pyannote=pyannote)
    assert build_offers(settings, build_services(settings)).callers == frozenset()
    webhooks = WebhookSettings.model_validate({"public_url": "https://erni.example", "silent_s": 60.0})
    called = settings.model_copy(update={"webhooks": webhooks})
    assert build_services(called).limits.remote.silent_s == 60.0
    assert build_offers(called, build_services(called)).callers == {"replicate"}
    signing = pyannote.model_copy(update={"webhook_secret": SecretStr("whs_secret")})
    both = called.model_copy(update={"pyannote": signing})
    assert build_offers(both, build_services(both)).callers == {"pyannote", "replicate"}
