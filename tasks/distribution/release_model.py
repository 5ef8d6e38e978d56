"""A release's blobs become its model and its tokenizer, every byte verified on the way."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file
from tokenizers import Tokenizer

from infra.releases import Registry, RegistryError
from infra.signed_log import File
from tasks.algorithm.huggingface import from_hf
from tasks.algorithm.model import Model
from tasks.algorithm.shape import Shape

_NEEDED = ("blueprint.json", "model.safetensors", "tokenizer.json")


def load_release(registry: Registry, files: Mapping[str, File], *, ref: str, scratch: Path) -> tuple[Model, Tokenizer]:
    """Model, ready to be asked, and tokenizer, which takes special tokens in a text for text.

    Args:
        registry: where the blobs are.
        files: of the release.
        ref: its name for people.
        scratch: folder for the weights while they are read.

    Raises:
        RegistryError: a file is missing, or its bytes were changed.
    """
    missing = [name for name in _NEEDED if name not in files]
    if missing:
        raise RegistryError(f"{ref} has no {', '.join(missing)}, expected a release with {', '.join(_NEEDED)}")
    blueprint = json.loads(registry.blob(files["blueprint.json"], what=f"{ref} blueprint.json"))
    shape = Shape.model_validate(blueprint["shape"])
    tokenizer = Tokenizer.from_str(registry.blob(files["tokenizer.json"], what=f"{ref} tokenizer.json").decode())
    tokenizer.encode_special_tokens = True
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        weights = Path(folder) / "model.safetensors"
        registry.fetch(files["model.safetensors"], weights, what=f"{ref} model.safetensors")
        model = Model(shape)
        model.load_state_dict(from_hf(load_file(weights), shape))
    return model.eval(), tokenizer
