"""A short chaos run: a whole stack and a second host, five seeded faults, nothing lost and nothing paid twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.campaign import SHORT_SCALE, run_campaign
from chaos.report import complaints

pytestmark = pytest.mark.stack

SEED = 7


def test_nothing_is_lost_or_paid_twice_under_a_few_faults(tmp_path: Path) -> None:
    report = run_campaign(tmp_path, SEED, SHORT_SCALE)
    assert report.is_good, list(complaints(report))
    assert {row.kind for row in report.rows} == set(SHORT_SCALE.kinds)
    assert report.total.accepted >= SHORT_SCALE.in_flight
