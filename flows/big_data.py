"""Stage B: from sources to packed, contract-checked training tokens."""

from prefect import flow

from flows.stage import stage
from flows.step import run_step


@flow(name="big_data")
def big_data(look_again: bool = True) -> None:  # noqa: FBT001, FBT002 - a flow's parameters are a form
    """Look at the sources, then ingest, clean, check and pack them.

    Args:
        look_again: look at the sources and the registry as they are now; else keep the manifest there is.
    """
    with stage("big_data"):
        run_step("discover", look_again=look_again)
        run_step("ingest")
        run_step("clean")
        run_step("privacy")
        run_step("dedup")
        run_step("validate")
        run_step("tokenizer")
        run_step("pack")
        run_step("describe")
