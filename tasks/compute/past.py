"""The pinned champion -> what its release says of its own documents, and its bits per byte on others."""

import io
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from tokenizers import Tokenizer

from infra.releases import Registry
from infra.settings import Settings
from infra.signed_log import File
from tasks.algorithm.shape import Shape
from tasks.compute.profile import Profile
from tasks.compute.scorers import Scorers
from tasks.fingerprints import Fingerprints

# In the release: what `drift` left when it was made.
PROFILE, KNOWN = "data/profile.json", "data/known.npy"
_MOST_CHARACTERS = 16_384  # of a document; a book is judged by its beginning


class Baseline(BaseModel):
    """What a release says of the documents that it was made of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    profile: Profile
    rejected_share: float = Field(description="of the documents read")
    text_divergence: float = Field(description="of the held-out documents from those trained on")
    length_distance: float = Field(description="of the held-out documents from those trained on")


class Past(NamedTuple):
    """The champion and its record."""

    ref: str
    files: Mapping[str, File]
    bits_per_byte: float | None
    own: Baseline
    known: Fingerprints


def read_past(pinned: Mapping[str, Any], settings: Settings) -> Past | None:
    """What the pinned champion knows of itself; None: it was released before releases had a profile.

    Raises:
        StorageError: the champion's blobs cannot be read or were changed.
    """
    files = {path: File.model_validate(file) for path, file in pinned["files"].items()}
    if not {PROFILE, KNOWN} <= files.keys():
        return None
    registry, ref = Registry.of(settings), f"{pinned['name']}@v{pinned['version']}"
    own = Baseline.model_validate_json(registry.blob(files[PROFILE], what=f"{ref} {PROFILE}"))
    known = np.load(io.BytesIO(registry.blob(files[KNOWN], what=f"{ref} {KNOWN}")), allow_pickle=False)
    return Past(ref, files, pinned["bits_per_byte"], own, known)


def champion_bits_per_byte(past: Past, texts: Sequence[bytes], settings: Settings) -> float:
    """Bits per byte of texts under the champion, of long ones of their beginnings.

    Raises:
        StorageError: the champion's blobs cannot be read or were changed.
    """
    registry = Registry.of(settings)
    blueprint, tokens_file = (
        registry.blob(past.files[name], what=f"{past.ref} {name}") for name in ("blueprint.json", "tokenizer.json")
    )
    shape = Shape.model_validate(json.loads(blueprint)["shape"])
    tokenizer = Tokenizer.from_str(tokens_file.decode())
    tokenizer.encode_special_tokens = True
    beginnings = [text.decode()[:_MOST_CHARACTERS] for text in texts]
    encoded = tokenizer.encode_batch_fast(beginnings, add_special_tokens=False)
    tokens = [np.array(encoding.ids, dtype=np.uint32) for encoding in encoded]
    scratch = settings.cache / "drift"
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        weights = _weights(past, shape, registry, Path(folder))
        with Scorers(shape, weights, settings) as scorers:
            bits, _ = scorers.start_scores(tokens).collect(lambda _: None)
    return float(bits.sum()) / sum(len(text.encode()) for text in beginnings)


def _weights(past: Past, shape: Shape, registry: Registry, folder: Path) -> Path:
    """The champion's weights in the form that scorers load, experts of a layer in one tensor."""
    # Here, because most nights bring too few new documents to score, and torch takes seconds to import.
    from safetensors.torch import load_file, save_file

    from tasks.algorithm.huggingface import from_hf

    fetched, ours = folder / "fetched.safetensors", folder / "model.safetensors"
    registry.fetch(past.files["model.safetensors"], fetched, what=f"{past.ref} model.safetensors")
    save_file(from_hf(load_file(fetched), shape), ours)
    return ours
