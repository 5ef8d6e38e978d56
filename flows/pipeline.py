"""The whole pipeline: algorithm, big data, compute, distribution, in that order."""

from prefect import flow
from prefect.logging import get_run_logger

from flows.account import account
from flows.algorithm import algorithm
from flows.big_data import big_data
from flows.compute import compute
from flows.distribution import distribution
from flows.keep import begin_with_last
from infra.lock import workspace_lock
from infra.settings import Settings
from infra.workspace import prepare
from tasks import params
from tasks.distribution.publish import PublishedRelease
from tasks.overrides import Overrides


@flow(name="pipeline")
def pipeline(overrides: Overrides | None = None) -> PublishedRelease:
    """Text in, published model out.

    Args:
        overrides: values to change in `params.yaml` first; what is empty stays as it is there.
    """
    with account("pipeline"):
        settings = Settings.load()
        prepare(settings)
        with workspace_lock(settings.state, what="flow pipeline"):
            if overrides is not None:
                for line in params.override(settings.workspace / params.PARAMS_FILE, overrides.dotted()):
                    get_run_logger().info("params.yaml %s", line)
            begin_with_last(settings)
            algorithm()
            big_data()
            compute()
            return distribution()
