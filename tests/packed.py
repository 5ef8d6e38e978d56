"""What `pack` leaves, written by hand: pieces of streams and their index."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from data_contracts.pieces import (
    HELD_OUT,
    TRAIN,
    Piece,
    index_file,
    is_packed,
    read_index,
    read_pieces,
    tokens_file,
    write_pieces,
)


def write_piece(folder: Path, split: str, name: str, tokens: Sequence[int], index: pl.DataFrame) -> Piece:
    """Tokens and index of one piece, for the list."""
    for file in (tokens_file(split, name), index_file(split, name)):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
    stream = np.array(tokens, np.uint16)
    np.save(folder / tokens_file(split, name), stream)
    index.write_parquet(folder / index_file(split, name))
    return Piece.measured(split, name, lambda: stream, index)


def write_stream(folder: Path, *parts: Sequence[int]) -> None:
    """Other tokens to train on, a piece for each part, of one document each; what is held out stays."""
    made = []
    for number, tokens in enumerate(parts):
        index = pl.DataFrame({"id": [f"{number:032x}"], "offset": [0], "tokens": [len(tokens)]})
        made.append(write_piece(folder, TRAIN, f"part{number}", tokens, index))
    held_out = read_pieces(folder, HELD_OUT) if is_packed(folder) else []
    write_pieces(folder, [*made, *held_out])


def whole_index(folder: Path) -> pl.DataFrame:
    """Index of both streams, which counts from the beginning of each."""
    return pl.concat([read_index(folder, split) for split in (TRAIN, HELD_OUT)])
