"""A corpus of any size from real text: runs of sentences of real documents put together anew, with what real ones have.

Every run is of 2 to 6 sentences in their order, a word in twenty is another word of the same source, so that no two
documents are alike unless they are planted: exact and near copies, personal data, dumps.
"""

import gzip
import json
import random
import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SOURCES = {"novels_en": 0.45, "techdoc_en_postgresql": 0.2, "techdoc_en_python": 0.2, "statutes_de": 0.15}
_SENTENCE = re.compile(r"(?<=[.!?:;])\s+|\n{2,}")
_MOST_SENTENCES = 200_000
_SMALL_MEGABYTES = 10.0
_PERSONAL = (
    "Write to {a}.{b}@{a}-works.com or call +49 30 {n:08d}.", "Server at 10.{x}.{y}.17 and 84.{x}.{y}.33 restarted.",
    "Login https://{a}:{b}{n}@git.{b}.net/{a} was changed.", "Key AKIA{k} was found in the log.",
)  # fmt: skip


def write_corpus(folder: Path, megabytes: float, *, files: int = 8, seed: int = 1) -> int:
    """Write JSONL files with the column `text`; bytes of text in all.

    Args:
        folder: where; made.
        megabytes: of text, about.
        files: how many, of about the same size.
        seed: the same seed and size are the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    work = partial(_write_file, folder, megabytes * 1e6 / files, seed)
    if megabytes < _SMALL_MEGABYTES:
        return sum(map(work, range(files)))
    with ProcessPoolExecutor() as pool:
        return sum(pool.map(work, range(files)))


def _write_file(folder: Path, size: float, seed: int, number: int) -> int:
    written = 0
    with (folder / f"part-{number:03}.jsonl").open("w", encoding="utf-8") as file:
        for text in _documents(random.Random(f"{seed} {number}"), size):
            written += len(text.encode())
            file.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
    return written


def _documents(draw: random.Random, size: float) -> Iterator[str]:
    pools = {name: _sentences(name) for name in SOURCES}
    kept: list[str] = []
    made = 0
    while made < size:
        kind = draw.random()
        if kind < 0.03 and kept:
            text = draw.choice(kept)
        elif kind < 0.06 and kept:
            text = _edited(draw.choice(kept), draw)
        elif kind < 0.08:
            text = "\n".join(f"{draw.getrandbits(64):016x} | {draw.random():.6f} | ----" for _ in range(40))
        else:
            name = draw.choices(list(SOURCES), list(SOURCES.values()))[0]
            text = _remixed(pools[name], draw)
            if draw.random() < 0.03:
                text += "\n\n" + _personal(draw)
        if len(kept) < 200:
            kept.append(text)
        elif draw.random() < 0.05:
            kept[draw.randrange(200)] = text
        made += len(text)
        yield text


def _remixed(sentences: list[str], draw: random.Random) -> str:
    paragraphs = []
    for _ in range(draw.randrange(2, 9)):
        start = draw.randrange(len(sentences) - 6)
        words = " ".join(sentences[start : start + draw.randrange(2, 7)]).split(" ")
        for at in range(draw.randrange(20), len(words), 20):
            words[at] = draw.choice(sentences[draw.randrange(len(sentences))].split(" "))
        paragraphs.append(" ".join(words))
    return "\n\n".join(paragraphs)


def _edited(text: str, draw: random.Random) -> str:
    words = text.split(" ")
    for _ in range(max(1, len(words) // 80)):
        words[draw.randrange(len(words))] = "changed"
    return " ".join(words)


def _personal(draw: random.Random) -> str:
    names = ["anna", "bernd", "carla", "dieter", "erika"]
    key = "".join(draw.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", k=16))
    values = {"a": draw.choice(names), "b": draw.choice(names), "n": draw.randrange(10**8), "k": key}
    return draw.choice(_PERSONAL).format(**values, x=draw.randrange(1, 250), y=draw.randrange(250))


_pools: dict[str, list[str]] = {}


def _sentences(name: str) -> list[str]:
    if name not in _pools:
        found: list[str] = []
        with gzip.open(SHARED / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            for line in lines:
                found += [part for part in _SENTENCE.split(json.loads(line)["text"]) if len(part) > 20]
        step = max(1, len(found) // _MOST_SENTENCES)
        begins = range(0, len(found), step * 100)
        _pools[name] = [part for begin in begins for part in found[begin : begin + 100]]
    return _pools[name]
