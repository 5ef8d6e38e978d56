"""What cannot be divided is said before a worker starts, with what to change."""

import pytest

from tasks.algorithm.blueprint import Blueprint
from tasks.algorithm.shape import Shape
from tasks.compute.division import check_division
from tasks.params import parse
from tasks.report import StepError
from tests.tasks.compute.conftest import TINY


def shape(**values) -> Shape:
    return Blueprint.make(parse(TINY | {"blueprint": TINY["blueprint"] | values})).shape


@pytest.mark.parametrize(("workers", "expert_workers"), [(4, 0), (2, 1), (8, 4), (1, 0)])
def test_four_experts_can_be_divided(workers, expert_workers):
    check_division(shape(n_experts=4), workers=workers, expert_workers=expert_workers)


def test_six_experts_cannot_be_divided_among_four_workers():
    wrong = r"n_experts \(6\) .* among 4 workers; set ABCD_EXPERT_WORKERS to 1 or 2, .* a multiple of 4$"
    with pytest.raises(StepError, match=wrong):
        check_division(shape(n_experts=6), workers=4, expert_workers=0)


def test_three_of_four_workers_cannot_divide_experts():
    wrong = r"ABCD_EXPERT_WORKERS \(3\) must divide the number of workers \(4\).* set it to 1 or 2$"
    with pytest.raises(StepError, match=wrong):
        check_division(shape(n_experts=6), workers=4, expert_workers=3)


def test_a_model_without_experts_is_not_asked():
    check_division(shape(n_dense_layers=2), workers=3, expert_workers=2)
