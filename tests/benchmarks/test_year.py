"""Nights on a simulated clock: every move explained, none over the margin, the disk as large as the releases."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.nights import EVENTS, calendar
from benchmarks.year import judge, open_year
from tests.conftest import make_clone

pytestmark = [pytest.mark.thread, pytest.mark.timeout(900)]


@pytest.mark.parametrize("nights", [28, pytest.param(365, marks=pytest.mark.long)])
def test_nights(nights: int, tmp_path: Path):
    year = open_year(tmp_path, seed=3, project=make_clone(tmp_path / "project").root)
    for night in calendar(nights, seed=3):
        year.live(night)
    found = judge(year, margin=0.005)
    assert sum(found["outcomes"].values()) == nights
    assert {"promoted", "refused", "nothing new"} <= found["outcomes"].keys()
    # What a night that died had stored is gone after the next gc; what is left grows with the releases alone.
    sizes = np.array([(row["releases"], row["after"]) for row in year.disk])
    each = (sizes[-1] - sizes[0])[1] / (sizes[-1] - sizes[0])[0]
    assert sizes[:, 1].max() <= sizes[0, 1] + 1.5 * each * sizes[:, 0].max()
    assert all(row["after"] < row["before"] for row in year.disk if row["before"] != row["after"])


def test_a_year_has_all_events():
    assert {night.event for night in calendar(365, seed=1)} == EVENTS.keys()
