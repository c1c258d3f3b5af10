"""Having a vendor make its own form of a voiceprint: paid for, submitted a few times at most, and waited for no longer
than any job of a vendor. One that is given up costs the voice nothing but that vendor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

import structlog

from erni.engine_ports import VoiceprintMaker
from erni.errors import EngineError, EngineRejected, ErniError, RemoteJobLost, SpendingCapReached, WorkPostponed
from erni.media.excerpts import Sample, first_seconds, write_excerpt
from erni.money import Charge
from erni.services import Services
from erni.steps.calling import gate
from erni.steps.paying import NOT_BILLED, close_charge, paid, settle_charge
from erni.voiceprints import Making, Voiceprint

log = structlog.get_logger(__name__)

MOST_SUBMISSIONS: Final = 3
"""Each may be billed: pyannote.ai knows no idempotency key, and its list of jobs does not say which is whose."""
MOST_REMOTE_S: Final = 30.0
"""What pyannote.ai takes."""
RETRY_S: Final = 30.0
"""Before a vendor that is out is asked again, where it does not say."""
POLL_S: Final = 10.0
LEDGER_KIND: Final = "voiceprint"


@dataclass(frozen=True, slots=True)
class VendorPrint:
    """A vendor's form of a voiceprint, to be made by ``maker``. How far that is stands in the records."""

    services: Services
    voiceprint: Voiceprint
    maker: VoiceprintMaker

    @property
    def making(self) -> Making:
        return self.services.voiceprints.find_making(self.voiceprint.voiceprint_id, self._engine)

    @property
    def _engine(self) -> str:
        return self.maker.capabilities.engine

    def advance(self, sample: Sample | None) -> WorkPostponed | None:
        """Submit the ``sample``, unless that is done, and keep what was made of it.

        Returns when to look again; ``None`` where it is made, or given up for a reason that is noted.

        Raises:
            StorageError: records are away, or the sample cannot be read.
        """
        try:
            if self.making.remote_id is None and sample is not None:
                self._submit(sample)
            return self._collect()
        except WorkPostponed as wait:
            return wait
        except (EngineError, SpendingCapReached) as error:
            return self._postpone_or_give_up(error)

    def _submit(self, sample: Sample) -> None:
        """Begin the vendor's job, unless it is at work on one whose submission could not be noted."""
        making, key = self.making, f"voiceprint:{self.voiceprint.voiceprint_id}"
        remote_id = self.maker.find_submitted(key) if making.submissions else None
        if remote_id is None:
            _check_submissions(making)
            speech = first_seconds(sample.speech, MOST_REMOTE_S)
            excerpt = sample.audio.with_name("excerpt.flac")
            write_excerpt(sample.audio, speech, excerpt)
            remote_id = self._submit_paid(excerpt, sum(span.duration_s for span in speech), key)
            log.info("voiceprint_submitted", engine=self._engine)
        self._note(replace(self.making, remote_id=remote_id))

    def _submit_paid(self, excerpt: Path, audio_s: float, key: str) -> str:
        """Noted before the call, since afterwards nobody may be there to do so; taken back where nothing was done."""
        before, now = self.making, self.services.clock()
        begun = replace(before, submissions=before.submissions + 1, submitted_at=now)
        charge = self._make_charge(begun, audio_s)
        with gate(self.services, self.maker.capabilities, key), paid(self.services, charge):
            self._note(begun)
            try:
                return self.maker.submit(excerpt, key, None)
            except NOT_BILLED:
                self._note(before)
                raise

    def _make_charge(self, making: Making, audio_s: float) -> Charge:
        capabilities = self.maker.capabilities
        return Charge(
            charge_id=self._charge_id(making),
            at=self.services.clock(),
            tenant=self.voiceprint.tenant,
            key_id=self.voiceprint.key_id,
            job_id=self.voiceprint.voiceprint_id,
            kind=LEDGER_KIND,
            part=0,
            engine=capabilities.engine,
            model=capabilities.model,
            audio_s=audio_s,
            estimated_usd=capabilities.price(audio_s),
        )

    def _charge_id(self, making: Making) -> str:
        """One for each submission: each may be billed."""
        return f"{self.voiceprint.voiceprint_id}/{LEDGER_KIND}/{self._engine}/{making.submissions}"

    def _collect(self) -> WorkPostponed | None:
        making = self.making
        if making.remote_id is None:
            # Deleted meanwhile: the next look finds no voiceprint.
            return WorkPostponed(f"{self._engine} is to be asked.", retry_after_s=0.0)
        try:
            made = self.maker.collect(making.remote_id)
        except (RemoteJobLost, EngineRejected) as end:
            close_charge(self.services, self._charge_id(making), end)
            if isinstance(end, RemoteJobLost):
                self._note(replace(making, remote_id=None))
            raise
        if made is None:
            self._check_patience(making)
            poll_s = self.services.limits.remote.poll_s.get(self.maker.capabilities.provider, POLL_S)
            return WorkPostponed(f"{self._engine} is at work on the voiceprint.", retry_after_s=poll_s)
        self.services.voiceprints.put_print(self.voiceprint.voiceprint_id, self._engine, made.encode())
        settle_charge(self.services, self._charge_id(making), None)
        return None

    def _postpone_or_give_up(self, error: ErniError) -> WorkPostponed | None:
        making, end = self.making, error
        if error.retryable:
            try:
                self._check_patience(making, error.message)
                if making.remote_id is None:
                    _check_submissions(making, error.message)
            except EngineRejected as spent:
                end = spent
            else:
                return WorkPostponed(error.message, retry_after_s=error.retry_after_s or RETRY_S)
        self._note(replace(making, given_up=end.message))
        log.warning("voiceprint_maker_given_up", engine=self._engine, code=error.code)
        return None

    def _check_patience(self, making: Making, said: str = "") -> None:
        """Raises EngineRejected once the vendor takes longer than any job of one, or the enrolment longer than any."""
        limits, now = self.services.limits, self.services.clock()
        ends = [self.voiceprint.created_at + timedelta(seconds=limits.deadline_s)]
        if making.remote_id is not None and making.submitted_at is not None:
            ends.append(making.submitted_at + timedelta(seconds=limits.remote.longest_s))
        if now > min(ends):
            raise EngineRejected(_join(said, f"{self._engine} did not make the voiceprint in time."))

    def _note(self, making: Making) -> None:
        self.services.voiceprints.put_making(self.voiceprint.voiceprint_id, self._engine, making)


def find_vendor_prints(services: Services, voiceprint: Voiceprint) -> list[VendorPrint]:
    """Those still to be made."""
    makers = services.voiceprint_makers.values()
    prints = [VendorPrint(services, voiceprint, one) for one in makers]
    unmade = [one for one in prints if one.maker.capabilities.engine not in voiceprint.engines]
    return [one for one in unmade if one.making.given_up is None]


def explain_missing(services: Services, voiceprint: Voiceprint) -> str | None:
    """Why vendors were given up, if any were."""
    makings: Sequence[Making] = [
        VendorPrint(services, voiceprint, maker).making for maker in services.voiceprint_makers.values()
    ]
    return " ".join(making.given_up for making in makings if making.given_up is not None) or None


def _check_submissions(making: Making, said: str = "") -> None:
    """Raises EngineRejected: it was submitted often enough."""
    if making.submissions >= MOST_SUBMISSIONS:
        reason = f"It was submitted {making.submissions} times; as each may be billed, it is not submitted again."
        raise EngineRejected(_join(said, reason))


def _join(*sentences: str) -> str:
    return " ".join(filter(None, sentences))
