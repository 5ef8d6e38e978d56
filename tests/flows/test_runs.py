"""`abcd runs`: ages as people say them."""

from datetime import timedelta

import pytest

from flows.runs import describe_age


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (timedelta(seconds=-1), "0 s"),
        (timedelta(seconds=59), "59 s"),
        (timedelta(seconds=61), "1 min"),
        (timedelta(hours=23), "23 h"),
        (timedelta(days=9), "9 d"),
    ],
)
def test_an_age_is_said_in_its_largest_unit(age: timedelta, said: str):
    assert describe_age(age) == said
