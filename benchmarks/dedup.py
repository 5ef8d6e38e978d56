"""Near copies: what is found by true similarity, how fast, in how much memory, beside datasketch and rensa.

`python -m benchmarks.dedup --json FILE` (options `--copies N`, `--scales 1,4,16`, `--peer DIR`). Documents of real
text, cut after 2 kB at the next blank line; copies of some with 1 to 30 % of their words replaced at random. True
similarity is computed by Python from sets of tuples of words, apart from the code that is measured. Times are CPU
seconds of one thread.
"""

import argparse
import gzip
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import peer_python

DATA = Path(__file__).parents[1] / ".." / "shared" / "data"
EDITED = ("novels_en.jsonl.gz", "techdoc_en_postgresql.jsonl.gz", "techdoc_en_python.jsonl.gz")
OTHERS = ("statutes_de.jsonl.gz",)
SIZE, SHARD = 2000, 16 << 20
THRESHOLD = 0.5
BANDS = ((0.0, 0.3), (0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (0.6, 0.7), (0.7, 0.8), (0.8, 0.9), (0.9, 1.01))
PEERS = ("datasketch==2.0.0", "rensa==0.5.0")
PEER = r"""
import json, re, sys, time
texts = json.load(open(sys.argv[1]))
words = [re.findall(r"\w+", text.casefold()) for text in texts]
grams = [[" ".join(w[i:i + 5]) for i in range(len(w) - 4)] for w in words]
size = sum(len(text.encode()) for text in texts)
from datasketch import MinHash, MinHashLSH
start = time.process_time()
lsh = MinHashLSH(num_perm=112, params=(28, 4))
for i, g in enumerate(grams):
    m = MinHash(num_perm=112); m.update_batch([x.encode() for x in g]); lsh.query(m); lsh.insert(i, m)
datasketch = time.process_time() - start
from rensa import RMinHash, RMinHashLSH
start = time.process_time()
lsh = RMinHashLSH(threshold=0.5, num_perm=112, num_bands=28)
for i, g in enumerate(grams):
    m = RMinHash(num_perm=112, seed=42); m.update(g); lsh.query(m); lsh.insert(i, m)
rensa = time.process_time() - start
start = time.process_time()
for text in texts:
    w = re.findall(r"\w+", text.casefold()); [" ".join(w[i:i + 5]) for i in range(len(w) - 4)]
words = time.process_time() - start
print(json.dumps({"bytes": size, "datasketch": datasketch, "rensa": rensa, "words": words}))
"""


def texts_of(names: Iterable[str]) -> Iterator[str]:
    """Documents of about 2 kB, cut at blank lines."""
    for name in names:
        with gzip.open(DATA / name, "rt", encoding="utf-8") as file:
            for line in file:
                cut: list[str] = []
                for block in json.loads(line)["text"].split("\n\n"):
                    cut.append(block)
                    if sum(map(len, cut)) >= SIZE:
                        yield "\n\n".join(cut)
                        cut = []


def edited(text: str, share: float, vocabulary: list[str], draw: random.Random) -> str:
    """The text with a share of its words replaced."""
    parts = re.split(r"(\s+)", text)
    places = [place for place in range(0, len(parts), 2) if parts[place]]
    for place in draw.sample(places, max(1, round(share * len(places)))):
        parts[place] = draw.choice(vocabulary)
    return "".join(parts)


def grams_of(text: str) -> set[tuple[str, ...]]:
    """Word 5-grams, by Python alone."""
    words = re.findall(r"\w+", text.lower())
    return set(zip(*(words[i:] for i in range(5)), strict=False))


def jaccard(one: str, other: str) -> float:
    """Of the sets of word 5-grams."""
    first, second = grams_of(one), grams_of(other)
    return len(first & second) / len(first | second)


def write(folder: Path, texts: Iterable[str]) -> int:
    """Write a document table; bytes of text."""
    import polars as pl

    from tasks.big_data import documents

    shards: list[documents.Shard] = []
    rows: list[tuple[str, ...]] = []
    size = total = 0
    folder.mkdir(parents=True)

    def flush() -> None:
        frame = pl.DataFrame(rows, schema=documents.SCHEMA, orient="row")
        rejected = documents.REJECTED_SCHEMA.to_frame()
        shard, files = documents.files_of(f"{len(shards):06}", documents.Sifted(frame, rejected))
        for name, data in files.items():
            (folder / name).write_bytes(data)
        shards.append(shard)
        rows.clear()

    for number, text in enumerate(texts):
        uri = f"docs/{number}"
        rows.append((documents.document_id(uri), uri, "docs", uri, "MIT", "", "", text, documents.digest_of(text)))
        size, total = size + len(text.encode()), total + len(text.encode())
        if size >= SHARD:
            flush()
            size = 0
    if rows:
        flush()
    documents.write_index(folder, shards)
    return total


def compare(table: Path, work: Path) -> dict[str, Any]:
    """Sketches, candidates and verified pairs of a table, with the CPU seconds of each."""
    import polars as pl

    from tasks.big_data import keepers, near
    from tasks.big_data.documents import part, read_index
    from tasks.big_data.engine import InProcess
    from tasks.big_data.memory import Memory
    from tasks.big_data.sketches import Without, make_sketches
    from tasks.params import Dedup

    clock, seconds = time.process_time, {}
    shards, where = read_index(table), InProcess()
    start = clock()
    for shard in shards:
        pl.read_parquet((table / part(shard.name)).read_bytes(), columns=["id", "source", "text", "digest"])
    seconds["read"] = clock() - start
    start = clock()
    sketches = make_sketches(
        table, shards, Dedup(), Without((), ()), Memory(work / "memory"), where, work / "scratch"
    )  # fmt: skip
    seconds["sketch, reading included"] = clock() - start
    start = clock()
    merit = keepers.merits(sketches, np.full(len(sketches), keepers.OTHER, np.uint8))
    compared = np.ones(len(sketches), np.bool_)
    exact = keepers.exact_pairs(sketches, compared)
    compared[exact.second] = False
    first, second = near.candidates(sketches, compared, merit, InProcess())
    seconds["candidates"] = clock() - start
    start = clock()
    touched = {number for number, _ in sketches.by_shard(np.unique(np.concatenate([first, second])))}
    for number in sorted(touched):
        pl.read_parquet((table / part(shards[number].name)).read_bytes(), columns=["text"])
    seconds["read again"] = clock() - start
    start = clock()
    pairs = near.verified(first, second, sketches, table, where, work / "scratch", work / "pairs")
    seconds["verify, reading included"] = clock() - start
    start = clock()
    near.verified(first, second, sketches, table, where, work / "scratch", work / "pairs")
    seconds["verify, remembered"] = clock() - start
    stand = keepers.near_stand(pairs.at_least(THRESHOLD), merit)
    return {"seconds": seconds, "pairs": pairs, "stand": stand, "documents": len(sketches)}


def rates(size: int, seconds: dict[str, float]) -> dict[str, float]:
    """MB of text a CPU second, of each part and of all but reading."""
    own = sum(seconds[name] for name in seconds if name.endswith("included") or name == "candidates")
    without = own - seconds["read"] - seconds["read again"]
    return {"reading apart": size / 1e6 / without, "reading included": size / 1e6 / own}


def recall(copies: int, folder: Path) -> dict[str, Any]:
    """Planted pairs that are found, by true similarity; removed documents that are not as near as was asked."""
    draw = random.Random(1)
    originals = list(dict.fromkeys(texts_of(EDITED)))
    vocabulary = sorted({word for text in draw.sample(originals, 500) for word in text.split()})
    chosen = draw.sample(range(len(originals)), min(copies, len(originals)))
    planted, texts = [], list(originals)
    for place in chosen:
        share = draw.uniform(0.01, 0.30) if draw.random() < 0.3 else draw.uniform(0.01, 0.15)
        texts.append(edited(originals[place], share, vocabulary, draw))
        planted.append((place, len(texts) - 1))
    texts += list(texts_of(OTHERS))
    size = write(folder / "table", texts)
    result = compare(folder / "table", folder)  # compiles, and is the first run
    shutil.rmtree(folder / "memory")
    shutil.rmtree(folder / "scratch")
    (folder / "pairs").unlink()
    result = compare(folder / "table", folder)
    pairs, stand = result["pairs"], result["stand"]
    found = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    by_band = {band: [0, 0] for band in BANDS}
    for pair in planted:
        true = jaccard(*(texts[place] for place in pair))
        band = next(band for band in BANDS if band[0] <= true < band[1])
        by_band[band][0] += 1
        by_band[band][1] += pair in found
    checked = list(zip(stand.removed.tolist(), stand.keeper.tolist(), strict=True))
    under = sum(jaccard(texts[gone], texts[by]) < THRESHOLD for gone, by in checked)
    return {
        "documents": len(texts), "bytes": size, "candidates": len(pairs.first), "planted": len(planted),
        "recall": {f"{low:.1f}-{min(high, 1):.1f}": [n, hit, hit / n if n else None]
                   for (low, high), (n, hit) in by_band.items()},
        "removed": len(checked), "removed_under_threshold": under,
        "seconds": result["seconds"], "MB_per_CPU_second": rates(size, result["seconds"]),
    }  # fmt: skip


def scaled(scale: int) -> Iterator[str]:
    """The corpus so many times, each time in another order of words, so that no two are alike; one in ten twice."""
    for text in texts_of((*EDITED, *OTHERS)):
        words = text.split()
        for step in range(1, scale + 1):
            again = " ".join(word for start in range(step) for word in words[start::step])
            yield again
            if len(text) % 10 == 0:
                yield f"{again} once more"


def memory(scales: list[int], folder: Path) -> dict[str, Any]:
    """Peak memory of one process that compares the corpus, and its CPU seconds, by scale."""
    found = {}
    for scale in scales:
        table = folder / f"table-{scale}"
        size = write(table, scaled(scale))
        command = [sys.executable, "-m", "benchmarks.dedup", "--compare", str(table)]
        environment = {**os.environ, "POLARS_MAX_THREADS": "1", "ABCD_WORK": str(folder / f"work-{scale}")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        found[str(scale)] = {"bytes": size, **json.loads(done.stdout.splitlines()[-1])}
        shutil.rmtree(table)
        shutil.rmtree(folder / f"work-{scale}")
    return found


def one(table: Path) -> None:
    """What a process of its own says of one table."""
    result = compare(table, Path(os.environ["ABCD_WORK"]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"peak_mib": peak, "documents": result["documents"], "seconds": result["seconds"]}))


def peers(environment: Path, folder: Path) -> dict[str, float]:
    """MB a CPU second of signatures and index of two libraries, on 5 MB, without verification."""
    python = peer_python(environment, *PEERS)
    texts = list(texts_of(EDITED))[:2500]
    (folder / "peer.json").write_text(json.dumps(texts))
    done = subprocess.run(
        [python, "-c", PEER, folder / "peer.json"], capture_output=True, text=True, check=True
    )  # fmt: skip
    said = json.loads(done.stdout)
    return {
        name: said["bytes"] / 1e6 / (said[name] + (said["words"] if name != "words" else 0))
        for name in ("datasketch", "rensa", "words")
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--copies", type=int, default=6000)
    parser.add_argument("--scales", default="1,4,16")
    parser.add_argument("--peer", type=Path, default=Path(".abcd/peers/dedup"))
    parser.add_argument("--compare", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.compare:
        one(asked.compare)
        return
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found: dict[str, Any] = {"found": recall(asked.copies, folder)}
        print(json.dumps(found["found"], indent=1))
        found["peers"] = peers(asked.peer, folder)
        print(json.dumps(found["peers"], indent=1))
        found["memory"] = memory([int(scale) for scale in asked.scales.split(",") if scale], folder)
        print(json.dumps(found["memory"], indent=1))
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
