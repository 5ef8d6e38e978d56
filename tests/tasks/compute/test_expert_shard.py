"""Experts divided among processes give what all of them give in one, and so do rows of Muon's directions."""

import json

import pytest

from tests.tasks.compute.gloo_worker import start


@pytest.mark.parametrize("workers", [2, 4])
def test_forward_and_backward_are_those_of_one_process_however_uneven_the_loads(workers):
    for out in start("tests.tasks.compute.gloo_pieces", workers):
        said = json.loads(out)
        assert said.keys() == {"even", "all to one worker", "of no tokens here", "directions"}
        assert set(said.pop("directions").values()) == {0.0}
        for case, distances in said.items():
            assert max(distances.values()) < 1e-6, (case, distances)
