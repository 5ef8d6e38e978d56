"""What `pack` leaves, written by hand: pieces of streams and their index."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from data_contracts.pieces import HELD_OUT, TRAIN, Piece, index_file, read_index, tokens_file


def write_piece(folder: Path, split: str, name: str, tokens: Sequence[int], index: pl.DataFrame) -> Piece:
    """Tokens and index of one piece, for the list."""
    for file in (tokens_file(split, name), index_file(split, name)):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
    stream = np.array(tokens, np.uint16)
    np.save(folder / tokens_file(split, name), stream)
    index.write_parquet(folder / index_file(split, name))
    return Piece.measured(split, name, lambda: stream, index)


def whole_index(folder: Path) -> pl.DataFrame:
    """Index of both streams, which counts from the beginning of each."""
    return pl.concat([read_index(folder, split) for split in (TRAIN, HELD_OUT)])
