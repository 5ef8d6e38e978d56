"""The base that `discover` fetched -> the weights that training starts from."""

from pathlib import Path
from typing import Any

from tasks.algorithm.shape import Shape
from tasks.report import StepError, read_json

BASE_FILE = "base.json"


def read_base(artifacts: Path) -> dict[str, Any]:
    """What `discover` pinned; {}: training starts from nothing."""
    base: dict[str, Any] = read_json(artifacts / "discover" / BASE_FILE)
    return base


def require_same_shape(artifacts: Path, shape: Shape) -> None:
    """See that the base's weights fit the blueprint.

    Raises:
        StepError: they do not; the message names each value that differs.
    """
    base = read_base(artifacts)
    if not base:
        return
    # An older release does not say what came later: it has the value that changes nothing.
    unsaid = {key: field.default for key, field in Shape.model_fields.items() if not field.is_required()}
    theirs = unsaid | read_json(artifacts / "discover" / "base" / "blueprint.json")["shape"]
    ours = shape.model_dump(mode="json")
    differing = [
        f"{key} {ours[key]}, {base['ref']} has {theirs.get(key)}" for key in ours if theirs.get(key) != ours[key]
    ]
    if differing:
        raise StepError(
            f"training goes on from weights of the same shape only; found in the blueprint {'; '.join(differing)}; "
            "set blueprint.* and tokenizer.vocab_size in params.yaml to the base's, or discover.base to null to start "
            "from nothing"
        )


def base_weights(artifacts: Path, shape: Shape) -> dict[str, Any] | None:
    """Weights for `Model.load_state_dict`; None: training starts from nothing."""
    if not read_base(artifacts):
        return None
    # Here, because the process that waits for the workers reads only what the base is.
    from safetensors.torch import load_file

    from tasks.algorithm.huggingface import from_hf

    return from_hf(load_file(artifacts / "discover" / "base" / "model.safetensors"), shape)
