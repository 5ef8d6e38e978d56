"""Stage B: from sources to packed, contract-checked training tokens."""

from prefect import flow

from flows.stage import stage
from flows.step import run_step


@flow(name="big_data")
def big_data() -> None:
    """Look at the sources, then ingest, clean, check and pack them."""
    with stage("big_data"):
        run_step("discover", look_again=True)
        run_step("ingest")
        run_step("clean")
        run_step("privacy")
        run_step("dedup")
        run_step("validate")
        run_step("tokenizer")
        run_step("pack")
