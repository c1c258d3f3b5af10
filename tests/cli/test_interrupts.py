from __future__ import annotations

import os
import signal

import click
import pytest

from cli.interrupts import Interrupts


def test_first_request_stops_and_the_second_hurries():
    with Interrupts() as interrupts:
        interrupts.check()
        assert not interrupts.is_stop_wanted
        os.kill(os.getpid(), signal.SIGINT)
        assert (interrupts.is_stop_wanted, interrupts.is_hurry_wanted) == (True, False)
        with pytest.raises(click.Abort):
            interrupts.check()
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupts.is_hurry_wanted


def test_signals_mean_afterwards_what_they_meant_before():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with Interrupts():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
