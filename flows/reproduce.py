"""The flow that makes a release or a run again and shows, output by output, whether it is the same bytes."""

from typing import Annotated

from prefect import State, flow
from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed
from pydantic import Field

from flows import present
from flows.reproduction import describe, make_again
from infra import checkout
from infra.settings import Settings
from tasks.distribution.markdown import table


@flow(name="reproduce")
def reproduce(ref: Annotated[str, Field(min_length=1, examples=["python-stdlib@v1"])]) -> State[None]:
    """Make a release again from its record; completed: the same bytes, failed: not.

    Args:
        ref: a release, as in python-stdlib@v1, or a run, as `abcd runs` has it.
    """
    settings, logger, is_same = Settings.load(), get_run_logger(), False
    try:
        found = make_again(settings, ref, say=logger.info)
        is_same = found.is_same
    finally:
        checkout.note_end(settings, ended_well=is_same)
    rows = [(row.step, row.path, "same" if row.is_same else "different", row.difference) for row in found.outputs]
    shown = table(("step", "output", "bytes", "difference"), rows)
    present.attempt(create_markdown_artifact, f"# {describe(found)}\n\n{shown}", key="reproduction")
    if is_same:
        return Completed(name="Same bytes", message=describe(found))
    return Failed(name="Different", message=describe(found))
