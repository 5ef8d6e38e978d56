"""Stage C: from packed tokens to a trained and evaluated model."""

from prefect import flow

from flows.stage import stage
from flows.step import run_step


@flow(name="compute")
def compute() -> None:
    """Measure drift, train on Ray workers, then evaluate on the held-out documents."""
    with stage("compute"):
        run_step("drift")
        run_step("train")
        run_step("evaluate")
