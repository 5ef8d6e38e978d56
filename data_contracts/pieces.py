"""What `pack` leaves, read: streams of tokens in pieces and the index of which document is where; the one place.

The stream to train on is one piece for each shard of documents, one after the other in the order of `pieces.json`; the
held-out stream is one piece. A piece has a file of tokens and a file of its part of the index, which counts from the
beginning of the piece, so that both are the same bytes whatever comes before.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

PIECES, TEXTS = "pieces.json", "held_out.parquet"
TRAIN, HELD_OUT = "train", "held_out"
# Mapped at a time; a map takes a tenth of a millisecond to open.
_OPEN = 64
# Tokens looked at, and ends of documents, each a page that is read, at a time.
_TOKENS, _ENDS = 1 << 22, 4096

Tokens = NDArray[np.unsignedinteger]


class Piece(NamedTuple):
    """One piece of a stream: what is measured of its tokens, and of where its documents end.

    `largest` is the largest token, `endings` how many different tokens documents end in, `ending` the smallest of them.
    """

    split: str
    name: str
    documents: int
    tokens: int
    type: str
    largest: int | None
    endings: int
    ending: int | None

    @classmethod
    def measured(cls, split: str, name: str, opened: Callable[[], Tokens], index: pl.DataFrame) -> "Piece":
        """A piece of these tokens (T,), with the rows of the index on it.

        Args:
            split, name: of the piece.
            opened: gives the tokens; of a file mapped anew, as pages that were read count as memory of the process
                while they are mapped.
            index: `offset` and `tokens` of its documents.
        """
        length, kind = len(opened()), str(opened().dtype)
        largest = max((int(opened()[at : at + _TOKENS].max()) for at in range(0, length, _TOKENS)), default=None)
        ends = (index["offset"] + index["tokens"] - 1).to_numpy()
        ends = ends[(ends >= 0) & (ends < length)]
        parts = (opened()[ends[at : at + _ENDS]] for at in range(0, len(ends), _ENDS))
        found = sorted({token for part in parts for token in np.unique(part).tolist()})
        return cls(split, name, index.height, length, kind, largest, len(found), found[0] if found else None)

    @property
    def tokens_file(self) -> str:
        """Its tokens, a flat `.npy` file, in the folder of the step."""
        return tokens_file(self.split, self.name)

    @property
    def index_file(self) -> str:
        """Its part of the index."""
        return index_file(self.split, self.name)


def tokens_file(split: str, name: str) -> str:
    """Tokens of a piece, a flat `.npy` file."""
    return f"{TRAIN}/{name}.npy" if split == TRAIN else f"{split}.npy"


def index_file(split: str, name: str) -> str:
    """Index of a piece."""
    return f"documents/{name}.parquet" if split == TRAIN else f"{split}_index.parquet"


def is_packed(folder: Path) -> bool:
    """Whether a folder is what `pack` leaves."""
    return (folder / PIECES).is_file()


def read_pieces(folder: Path, split: str | None = None) -> list[Piece]:
    """Pieces in their order, by default of both streams.

    Raises:
        FileNotFoundError: nothing is packed.
    """
    listed = json.loads((folder / PIECES).read_text(encoding="utf-8"))
    return [piece for each in listed if split in (None, (piece := Piece(**each)).split)]


def write_pieces(folder: Path, pieces: Iterable[Piece]) -> None:
    """Write the list, one line a piece."""
    lines = (json.dumps(piece._asdict(), separators=(", ", ": ")) for piece in pieces)
    (folder / PIECES).write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def with_starts(pieces: Sequence[Piece]) -> Iterator[tuple[int, Piece]]:
    """Pieces of one stream, each with where it starts in it."""
    start = 0
    for piece in pieces:
        yield start, piece
        start += piece.tokens


def index_parts(
    folder: Path, split: str, columns: Sequence[str] | None = None, *, run: tuple[int, int] | None = None
) -> Iterator[pl.DataFrame]:
    """The index of one stream, a part for each piece, in their order; `offset` counts from the stream's beginning.

    Args:
        folder: of the step.
        split: name of the stream.
        columns: by default all.
        run: only pieces that have some of the tokens from the first to the second number (exclusive); by default all.

    Raises:
        FileNotFoundError: nothing is packed.
    """
    for at, piece in with_starts(read_pieces(folder, split)):
        if run is None or (at < run[1] and at + piece.tokens > run[0]):
            yield index_part(folder, piece, columns, at=at)


def index_part(folder: Path, piece: Piece, columns: Sequence[str] | None = None, *, at: int = 0) -> pl.DataFrame:
    """Index of one piece, which starts at this token."""
    wanted = None if columns is None else list(columns)
    rows = pl.read_parquet(folder / piece.index_file, columns=wanted, glob=False)
    return rows.with_columns(pl.col("offset") + at) if at and "offset" in rows.columns else rows


def read_index(folder: Path, split: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The index of one stream, as `index_parts` has it.

    Raises:
        FileNotFoundError: nothing is packed.
    """
    return pl.concat(index_parts(folder, split, columns))


class Stream:
    """A stream of tokens in pieces, as if it were one flat array of which only slices are taken.

    Pieces are mapped when they are needed, and few stay mapped, so that neither files nor memory are held.
    """

    def __init__(self, folder: Path, split: str = TRAIN) -> None:
        """Of what `pack` left in a folder.

        Raises:
            OSError: nothing is packed, or a piece is missing.
            ValueError: a piece is no flat stream of unsigned numbers, or not as the list says.
        """
        pieces = read_pieces(folder, split)
        self._files = [folder / piece.tokens_file for piece in pieces]
        self._ends = np.cumsum([piece.tokens for piece in pieces], dtype=np.int64)
        self._maps: OrderedDict[int, Tokens] = OrderedDict()
        kinds = set()
        for number, piece in enumerate(pieces):
            kinds.add((tokens := self._mapped(number)).dtype)
            if tokens.ndim != 1 or tokens.dtype.kind != "u" or len(tokens) != piece.tokens:
                raise ValueError(
                    f"{self._files[number]}: expected a flat stream of {piece.tokens:,} unsigned token ids, "
                    f"found {tokens.dtype} {tokens.shape}"
                )
        if len(kinds) > 1:
            raise ValueError(f"{folder}: expected pieces of one type, found {', '.join(sorted(map(str, kinds)))}")
        self.dtype: np.dtype[np.unsignedinteger] = kinds.pop() if kinds else np.dtype(np.uint16)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, place: slice) -> Tokens:
        """Tokens of a slice with step 1, from one piece as they are mapped, from several copied."""
        start, stop, step = place.indices(len(self))
        if step != 1:
            raise ValueError(f"expected a slice with step 1, found {step}")
        parts = []
        number = int(np.searchsorted(self._ends, start, side="right"))
        while start < stop:
            tokens, end = self._mapped(number), int(self._ends[number])
            before = end - len(tokens)
            parts.append(tokens[start - before : min(stop, end) - before])
            start, number = min(stop, end), number + 1
        return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, self.dtype), *parts])

    def _mapped(self, number: int) -> Tokens:
        if number not in self._maps:
            self._maps[number] = np.load(self._files[number], mmap_mode="r", allow_pickle=False)
            if len(self._maps) > _OPEN:
                self._maps.popitem(last=False)
        self._maps.move_to_end(number)
        return self._maps[number]
