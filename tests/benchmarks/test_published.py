"""What others reported of their trainings is within a stated factor of what the planner says."""

import pytest

from benchmarks.published import RUNS, Published, compare


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_published_hours_are_within_a_factor_of_two(run: Published):
    row = compare(run)
    assert 0.5 < row["factor"] < 2
    # Factor and MFU are two words for the same: hours at the peak over hours reported.
    assert row["mfu_reached"] == pytest.approx(row["factor"] * row["mfu"])
