"""How many workers a run gets, and on what; Ray itself is started in `test_train.py`."""

import pytest

from infra.settings import Settings
from tasks.compute import cluster
from tasks.report import StepError


@pytest.mark.parametrize(
    ("available", "micro_shards", "workers"),
    [(1, 4, 1), (2, 4, 2), (3, 4, 2), (4, 4, 4), (64, 4, 4), (7, 16, 4), (2, 1, 1), (0, 4, 1)],
)
def test_workers_are_a_power_of_two_that_divides_micro_shards(available: int, micro_shards: int, workers: int):
    assert cluster.fitting_workers(available, micro_shards) == workers


@pytest.mark.parametrize(
    ("settings", "resources", "layout"),
    [
        ({}, {"CPU": 6.0}, (4, "cpu")),
        ({"workers": 2}, {"CPU": 6.0}, (2, "cpu")),
        ({}, {"CPU": 64.0, "GPU": 8.0}, (8, "cuda")),
        ({"device": "cpu"}, {"CPU": 64.0, "GPU": 8.0}, (16, "cpu")),
        ({"device": "cuda", "workers": 3}, {"CPU": 64.0, "GPU": 8.0}, (2, "cuda")),
    ],
)
def test_workers_are_what_ray_reports_unless_settings_say_less(tmp_path, settings, resources, layout):
    assert cluster._layout(Settings(workspace=tmp_path, **settings), resources, 16) == layout


def test_a_device_that_ray_does_not_have_is_refused(tmp_path):
    with pytest.raises(StepError, match=r"ABCD_DEVICE=cuda.*CPU.*ABCD_DEVICE=cpu"):
        cluster._layout(Settings(workspace=tmp_path, device="cuda"), {"CPU": 2.0}, 4)
