"""Two files of weights -> by how much they differ, in words."""

from pathlib import Path

from safetensors import safe_open

WEIGHTS_SUFFIX = ".safetensors"


def describe_difference(then: Path, now: Path) -> str:
    """Largest absolute difference of any weight, and in how many tensors there is one."""
    with safe_open(then, framework="pt") as old, safe_open(now, framework="pt") as new:
        names, others = set(old.keys()), set(new.keys())
        if names != others:
            return f"{len(names ^ others)} tensors are not in both, as {min(names ^ others)}"
        reshaped = [
            name for name in sorted(names) if old.get_slice(name).get_shape() != new.get_slice(name).get_shape()
        ]
        if reshaped:
            return f"{len(reshaped)} tensors have another shape, as {reshaped[0]}"
        largest = {
            name: float((old.get_tensor(name).double() - new.get_tensor(name).double()).abs().max())
            for name in sorted(names)
        }
    differing = [name for name, value in largest.items() if value]
    return f"max |difference| {max(largest.values(), default=0.0):.3g} in {len(differing)} of {len(names)} tensors"
