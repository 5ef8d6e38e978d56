"""The flow `rollback`: an earlier champion is the champion again, by a form in the UI."""

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger
from pydantic import BaseModel, ConfigDict, Field

from flows import present
from infra import checkout
from infra.settings import Settings
from tasks.distribution import promotion
from tasks.params import NAME_PATTERN


class EarlierChampion(BaseModel):
    """Which release users get again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=NAME_PATTERN, description="name of the model, as `abcd releases` lists it")
    version: int | None = Field(
        default=None, ge=1, description="number of an earlier champion; empty: the one before the present"
    )


@flow(name="rollback")
def rollback(champion: EarlierChampion) -> str:
    """Make an earlier champion the champion again; no later run takes that back by itself.

    Args:
        champion: the release that users get again.
    """
    to = None if champion.version is None else f"v{champion.version}"
    settings = Settings.load()
    try:
        done = promotion.rollback(settings, champion.name, to)
    finally:
        checkout.note_end(settings, ended_well=True)  # nothing in it to look into
    said = f"{done.ref} is the champion again, v{done.before} was it before."
    get_run_logger().info(said)
    present.attempt(create_markdown_artifact, f"# {done.ref}\n\n{said}", key="rollback")
    return done.ref
