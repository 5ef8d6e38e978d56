"""What ingest remembers of sources that the present manifest does not name."""

import io
from pathlib import Path

import polars as pl

from infra.settings import Settings
from infra.storage import LocalStore
from infra.unused import Unused
from tasks.big_data.ingest import memory_keys
from tasks.big_data.manifest import read_manifest
from tasks.big_data.memory import ROWS_SUFFIX
from tasks.params import Params
from tasks.report import StepError
from tasks.sealed import read_sealed


def unused(params: Params, settings: Settings) -> list[Unused]:
    """Files of the memory that hold rows of no source in the manifest."""
    store = LocalStore(settings.cache / "ingest")
    kind = "remembered sources"
    if others := Unused.of_others(settings, store, kind=kind, setting="ABCD_CACHE"):
        return [others]
    try:
        keys = memory_keys(read_manifest(settings.artifacts / "discover"), params)
    except StepError as error:
        return [Unused(kind, "", store, left_alone=f"which sources are there cannot be told: {error}")]
    files = tuple(
        file
        for file in store.files()
        if file.name.endswith(ROWS_SUFFIX) and "/" not in file.name and not _holds_any(store, file.name, keys)
    )
    return [Unused(kind, "the manifest names none of these sources", store, files)]


def _holds_any(store: LocalStore, name: str, keys: set[str]) -> bool:
    """Whether a file holds rows under one of the keys; one that was damaged goes by itself."""
    data = read_sealed(Path(store.where(name)))
    return data is None or not keys.isdisjoint(pl.read_parquet(io.BytesIO(data), columns=["key"])["key"])
