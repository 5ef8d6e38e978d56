"""Stage A: from params to the blueprint of the model."""

from prefect import flow

from flows.stage import stage
from flows.step import run_step


@flow(name="algorithm")
def algorithm() -> None:
    """Work out the model's shape and what it costs."""
    with stage("algorithm"):
        run_step("blueprint")
