"""The pinned champion, from the registry's blobs, becomes bits of each held-out document, as evaluate counts them.

What was evaluated once is remembered by the digests of all that it depends on; the memory never changes a result.
"""

import hashlib
import io
import logging
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import tasks.algorithm
from infra.releases import Registry
from infra.settings import Settings
from infra.signed_log import File, canonical
from tasks.progress import Progress
from tasks.report import sha256_of
from tasks.sealed import read_sealed, write_sealed

logger = logging.getLogger(__name__)


def champion_bits(pinned: Mapping[str, Any], settings: Settings, held_out: Path) -> pl.DataFrame:
    """Columns id and bits (float64), a row a document of `held_out`.

    Args:
        pinned: what `infra.releases.champion` said when discover looked.
        settings: registry, cache, device.
        held_out: Parquet table with id and text.

    Raises:
        StorageError: the champion's blobs cannot be read or were changed.
    """
    files = {path: File.model_validate(file) for path, file in pinned["files"].items()}
    ref = f"{pinned['name']}@v{pinned['version']}"
    remembered = remembered_bits(pinned, settings, held_out)
    known = read_sealed(remembered)
    if known is not None:
        logger.info("%s was evaluated on these documents before", ref)
        return pl.read_parquet(io.BytesIO(known))
    logger.info("evaluating %s, the champion, on the same documents", ref)
    bits = _evaluate(files, ref, settings, pl.read_parquet(held_out, columns=["id", "text"]))
    table = io.BytesIO()
    bits.write_parquet(table)
    write_sealed(remembered, table.getvalue())
    return bits


def remembered_bits(pinned: Mapping[str, Any], settings: Settings, held_out: Path) -> Path:
    """File that remembers the bits of these documents under this champion."""
    files = {path: File.model_validate(file) for path, file in pinned["files"].items()}
    return settings.cache / "gate" / f"{_key(files, held_out)}.bits"


def _evaluate(files: Mapping[str, File], ref: str, settings: Settings, documents: pl.DataFrame) -> pl.DataFrame:
    # Here, because what is remembered needs no torch, which takes seconds to import.
    import torch

    from tasks.algorithm.scoring import count_windows, document_bits
    from tasks.distribution.release_model import load_release
    from tasks.distribution.threads import threads_for

    model, tokenizer = load_release(Registry.of(settings), files, ref=ref, scratch=settings.cache / "gate")
    if settings.device != "cpu" and torch.cuda.is_available():
        model = model.cuda()
    encodings = tokenizer.encode_batch_fast(documents["text"].to_list(), add_special_tokens=False)
    tokens = [np.array(encoding.ids, dtype=np.int64) for encoding in encodings]
    total = count_windows(tokens, model.shape.sequence_length)
    file = settings.runs / "progress" / "gate.json"
    with Progress("gate", total=total, unit="windows", file=file) as shown, threads_for(model):
        bits = document_bits(model, tokens, on_progress=shown.update)
    return documents.select("id").with_columns(bits=pl.Series(bits, dtype=pl.Float64))


def _key(files: Mapping[str, File], held_out: Path) -> str:
    """Digest of the champion, the documents, and the code and library that count its bits."""
    code = sorted([*Path(tasks.algorithm.__path__[0]).glob("*.py"), Path(__file__)])
    champion = {path: file.sha256 for path, file in files.items()}
    parts = [champion, sha256_of(held_out), version("torch"), [sha256_of(path) for path in code]]
    return hashlib.sha256(canonical(parts)).hexdigest()
