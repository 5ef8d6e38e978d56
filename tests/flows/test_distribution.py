"""When publishing is tried again: the store was out of reach, not when something was refused."""

import pytest
from prefect.states import Failed

from flows.distribution import publish
from flows.graph import StaleUpstreamError
from infra.storage import StorageError
from tasks.report import StepError


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (StorageError("s3://bucket: could not connect to the endpoint"), True),
        (StepError("2 outputs are not in the DVC remote"), False),
        (StaleUpstreamError("not current: train"), False),
    ],
)
def test_publish_is_tried_again_only_for_a_store(error: Exception, again: bool):
    assert publish.retry_condition_fn(publish, None, Failed(data=error)) is again


def test_an_outage_of_a_minute_is_covered():
    assert publish.retries == len(publish.retry_delay_seconds)
    assert sum(publish.retry_delay_seconds) > 60
