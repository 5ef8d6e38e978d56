"""Where a model got better or worse: figures by hand, and nothing made of too few documents."""

import numpy as np
import polars as pl
import pytest

from tasks.distribution.bootstrap import Interval
from tasks.distribution.gate_picture import draw_groups
from tasks.distribution.group_differences import group_differences, seed_of
from tasks.params import Gate

PARAMS = Gate(resamples=500)


def differences(groups):
    """From group to (bytes, candidate minus champion) of each document; the champion needs 2 bits a byte."""
    rows = [(group, size, 2 * size + more) for group, parts in groups.items() for size, more in parts]
    documents = pl.DataFrame(rows, schema=["group", "bytes", "bits"], orient="row")
    found = group_differences(documents, 2.0 * documents["bytes"].to_numpy(), PARAMS)
    return {row.group: row for row in found}


def test_a_row_a_group_by_hand():
    found = differences({"small": [(10, 1.0)], "large": [(30, 3.0), (10, -1.0)]})
    assert list(found) == ["large", "small"]
    assert (found["small"].documents, found["small"].size, found["small"].difference) == (1, 10, 0.1)
    assert found["small"].interval is None
    assert (found["large"].documents, found["large"].size, found["large"].difference) == (2, 40, 0.05)
    # Two documents: the draws are one twice, both, the other twice; nothing is beyond the extremes.
    assert found["large"].interval == (-0.1, 0.1)


@pytest.mark.parametrize(("documents", "is_worse"), [(2, False), (5, False), (6, True), (40, True)])
def test_few_documents_are_not_called_worse(documents, is_worse):
    worse = [(100, 1.0 + place % 2) for place in range(documents)]
    assert differences({"a": worse, "b": [(5, 0.0)]})["a"].is_worse == is_worse


def test_a_difference_within_chance_is_not_called_worse():
    mixed = [(100, -3.0), (100, 4.0)] * 5
    found = differences({"a": mixed, "b": [(100, -1.0)] * 9})
    assert not found["a"].is_worse
    assert found["a"].interval[0] < 0 < found["a"].interval[1]
    assert not found["b"].is_worse


def test_a_groups_draws_do_not_depend_on_the_other_groups():
    generator = np.random.default_rng(1)
    one = [(100, float(more)) for more in generator.normal(0, 3, 20)]
    alone = differences({"a": one})["a"]
    assert differences({"b": one[:5], "a": one, "c": one[5:]})["a"] == alone
    assert seed_of("a", 1) != seed_of("b", 1) != seed_of("b", 2)


def test_the_picture_is_the_same_bytes_with_any_names_and_many_groups(tmp_path):
    parts = {f"$folder/{'long' * 20}{place}": [(100, place - 10.0)] * (place % 8 + 1) for place in range(40)}
    groups = list(differences(parts).values())
    written = []
    for name in ("one.png", "two.png"):
        draw_groups(tmp_path / name, groups, Interval(0.01, -0.01, 0.03), margin=0.005, confidence=0.95)
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]
    assert written[0].startswith(b"\x89PNG")


def test_a_picture_without_any_difference(tmp_path):
    groups = list(differences({"a": [(10, 0.0)] * 2}).values())
    draw_groups(tmp_path / "same.png", groups, Interval(0, 0, 0), margin=0.0, confidence=0.95)
    assert (tmp_path / "same.png").stat().st_size > 1000
