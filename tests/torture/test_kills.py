"""A run with random kills, continued by the same command, ends with the results of an undisturbed one.

One method on one task, evaluated with two networks, has a job of every kind in half a minute. `make
torture` kills the whole smoke study, which takes an hour.
"""

from __future__ import annotations

import pytest
from kills import SMOKE, Torture, say, undisturbed

pytestmark = pytest.mark.slow
KILLS = 10
MEASURED = "evaluation={extractors: [inception, convnext]}"
ONE_METHOD = (*SMOKE, "methods=[sd-vae-mse]", "tasks=[imagenet]", MEASURED)


def test_ten_kills_lose_nothing_and_leave_nothing(working_copy, tmp_path):
    copies = []
    for name in ("undisturbed", "killed"):
        (tmp_path / name).mkdir()
        copies.append(working_copy(tmp_path / name))
    torture = Torture(copies[1], ONE_METHOD, undisturbed(copies[0], ONE_METHOD), 17, say)
    report = torture.run(KILLS)
    say(report.text())
    assert not report.faults, report.text()
    assert len(report.kills) == KILLS
