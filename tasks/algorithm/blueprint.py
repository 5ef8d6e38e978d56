"""Params -> `blueprint.json`: the model's shape, its parameters, the work and memory of training it.

Nothing in it depends on the machine.
"""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.settings import Settings
from tasks.algorithm.cost import Memory, active_parameters, flops_per_token, memory, total_parameters
from tasks.algorithm.shape import Shape
from tasks.params import Params, Train
from tasks.report import Report, StepError, write_json

__all__ = ["BLUEPRINT_FILE", "Blueprint", "Shape", "run"]

BLUEPRINT_FILE = "blueprint.json"


class Blueprint(BaseModel):
    """What will be trained, how, and at what price."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shape: Shape
    training: Train
    total_parameters: int = Field(description="all weights, embedding and output head included")
    active_parameters: int = Field(description="weights that one token meets, embedding and output head included")
    flops_per_token: int = Field(description="floating-point operations to train on a token, forward and backward")
    training_flops: int = Field(description="flops_per_token x tokens of all optimizer steps")
    steps: int = Field(description="optimizer steps")
    memory: Memory = Field(description="of a worker, predicted")
    memory_bytes: int = Field(description="sum of `memory`")

    @classmethod
    def make(cls, params: Params) -> Self:
        """Blueprint of params.

        Raises:
            ValueError: the shape cannot be run; the message names the key.
        """
        shape = Shape(vocab_size=params.tokenizer.vocab_size, **params.blueprint.model_dump(exclude={"preset"}))
        training = params.train
        steps = training.tokens // training.batch_tokens
        flops, needs = flops_per_token(shape), memory(shape, training)
        return cls(
            shape=shape,
            training=training,
            total_parameters=total_parameters(shape),
            active_parameters=active_parameters(shape),
            flops_per_token=flops,
            training_flops=flops * steps * training.batch_tokens,
            steps=steps,
            memory=needs,
            memory_bytes=needs.total,
        )

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Blueprint in the output folder of the step, or in a release."""
        return cls.model_validate_json((folder / BLUEPRINT_FILE).read_bytes())


def run(params: Params, settings: Settings, out: Path) -> Report:
    """Write `blueprint.json`.

    Raises:
        StepError: the shape cannot be run.
    """
    try:
        blueprint = Blueprint.make(params)
    except ValidationError as error:
        raise StepError("; ".join(problem["msg"].removeprefix("Value error, ") for problem in error.errors())) from None
    write_json(out / BLUEPRINT_FILE, blueprint.model_dump(mode="json"))
    facts = blueprint.model_dump(exclude={"shape", "training", "memory"})
    return Report(step="blueprint", facts={"preset": params.blueprint.preset, **facts})
