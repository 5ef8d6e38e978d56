"""The rules of quality against datatrove's, document by document: who keeps and who drops.

`python -m benchmarks.rules --corpus FOLDER --json FILE [--peer FOLDER]`. The peer gets a virtual environment of its own
in a temporary folder, or in the one that `--peer` names, which is then kept. The corpus is made of the files of FOLDER
(`shared/data`), the standard library's code, and documents damaged on purpose; both sides see it in normal form. Beside
each filter's agreement stand its differences by the peer's reason and ours.
"""

import argparse
import gzip
import json
import random
import subprocess
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from benchmarks.peers import peer_python
from tasks.big_data import normal
from tasks.big_data.buffers import text_buffers, text_series
from tasks.big_data.kernel import statistics
from tasks.big_data.rules import reasons_against
from tasks.big_data.vocabulary import STOPS_BY_LANGUAGE
from tasks.thresholds import Clean

PEER = ("datatrove==0.10.1", "spacy==3.8.18", "nltk==3.10.4", "regex")
SEED = 1
PAGE = 4000
# Our rules behind each filter of the peer.
FILTERS: Mapping[str, tuple[str, ...]] = {
    "GopherQualityFilter": (
        "few_words", "many_words", "short_words", "long_words", "symbols", "bullet_lines", "ellipsis_lines",
        "few_alphabetic_words", "few_stop_words",
    ),
    "GopherRepetitionFilter": (
        "repeated_lines", "repeated_line_characters", "repeated_paragraphs", "repeated_paragraph_characters",
        "frequent_ngrams", "repeated_ngrams",
    ),
    "C4QualityFilter": ("few_sentences", "lorem_ipsum", "curly_brackets"),
    "FineWebQualityFilter": ("unended_lines", "short_lines", "repeated_text", "lists"),
}  # fmt: skip
LANGUAGES = {"en": "eng", "de": "deu"}
# Runs in the peer's environment: texts in, for each and each filter its reason or null out, and CPU seconds.
JUDGE = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter, FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter)
rows = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
stops, languages = json.loads(sys.argv[3]), json.loads(sys.argv[4])
filters = {
    code: [
        GopherQualityFilter(language=language, stop_words=stops[code]), GopherRepetitionFilter(language=language),
        C4QualityFilter(language=language), FineWebQualityFilter(language=language),
    ]
    for code, language in languages.items()
}
for code in filters:
    for each in filters[code]:
        each.filter(Document(text="One line to load what is loaded late. " * 20, id="0"))
start = time.process_time()
with open(sys.argv[2], "w", encoding="utf-8") as out:
    for row in rows:
        said = {}
        for each in filters[row["language"]]:
            result = each.filter(Document(text=row["text"], id="0"))
            kept, reason = result if isinstance(result, tuple) else (result, None)
            said[type(each).__name__] = None if kept else str(reason)
        print(json.dumps(said), file=out)
    print(json.dumps({"seconds": time.process_time() - start}), file=out)
"""


class Page(NamedTuple):
    """A document of the corpus."""

    group: str
    language: str
    text: str


def pages(folder: Path) -> Iterator[Page]:
    """Real documents; long ones as pages."""
    draw = random.Random(SEED)
    for name, key, language, most in (
        ("novels_en", "text", "en", 1200),
        ("techdoc_en_postgresql", "text", "en", 900),
        ("statutes_de", "text", "de", 500),
        ("maintnorm", "raw", "en", 150),
    ):
        with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            texts = [piece for line in file for piece in _pieces(json.loads(line)[key])]
        for text in draw.sample(texts, most):
            yield Page(name, language, text)
    library = Path(sysconfig.get_path("stdlib"))
    files = sorted(path for path in library.glob("*/*.py") if path.parts[-2] != "site-packages")
    for text in draw.sample([piece for path in files for piece in _pieces(path.read_text(errors="replace"))], 350):
        yield Page("stdlib", "en", text)


def _pieces(text: str) -> Iterator[str]:
    """Pages that end where a line or a word does."""
    while len(text) > PAGE:
        cut = max(text.rfind("\n", PAGE // 2, PAGE), text.rfind(" ", PAGE - 200, PAGE), 1)
        yield text[:cut]
        text = text[cut:]
    yield text


def damaged(good: list[Page]) -> Iterator[Page]:
    """Each kind of damage in many degrees, so that some come near the thresholds."""
    draw = random.Random(SEED)
    prose = [page.text for page in good if page.group in ("novels_en", "techdoc_en_postgresql")]
    for kind, damage in DAMAGES.items():
        for text in draw.sample(prose, 40):
            yield Page(kind, "en", damage(text, draw))


def _some_lines(change: Callable[[str], str]) -> Callable[[str, random.Random], str]:
    def damage(text: str, draw: random.Random) -> str:
        share = draw.random()
        return "\n".join(change(line) if draw.random() < share else line for line in text.split("\n"))

    return damage


def _repeat(unit: Callable[[str], list[str]], glue: str) -> Callable[[str, random.Random], str]:
    def damage(text: str, draw: random.Random) -> str:
        units = [each for each in unit(text) if each.strip()]
        if not units:
            return text
        again = draw.choices(units, k=draw.randrange(1, max(2, len(units))))
        return glue.join(draw.sample(units + again, len(units) + len(again)))

    return damage


def _phrase(words: int) -> Callable[[str, random.Random], str]:
    def damage(text: str, draw: random.Random) -> str:
        parts = text.split(" ")
        at = draw.randrange(max(1, len(parts) - words))
        piece = parts[at : at + words]
        for _ in range(draw.randrange(1, 30)):
            parts[(spot := draw.randrange(len(parts))) : spot] = piece
        return " ".join(parts)

    return damage


def _wrap(text: str, draw: random.Random) -> str:
    width, words, lines = draw.randrange(10, 60), text.split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > width:
            lines.append(word)
        else:
            lines[-1] += " " + word
    return "\n".join(line.strip() for line in lines)


DAMAGES: dict[str, Callable[[str, random.Random], str]] = {
    "lines again": _repeat(lambda text: text.split("\n"), "\n"),
    "paragraphs again": _repeat(lambda text: text.split("\n\n"), "\n\n"),
    "2 words again": _phrase(2),
    "4 words again": _phrase(4),
    "9 words again": _phrase(9),
    "cut short": lambda text, draw: text[: draw.randrange(20, 600)],
    "narrow lines": _wrap,
    "bullets": _some_lines(lambda line: "- " + line),
    "ellipses": _some_lines(lambda line: line.rstrip(".") + "..."),
    "no ends": _some_lines(lambda line: line.rstrip('.?!"')),
    "hashes": lambda text, draw: text.replace(" ", " # ", draw.randrange(200)),
    "numbers": lambda text, draw: " ".join(
        str(draw.randrange(9999)) if draw.random() < draw.random() / 2 else word for word in text.split(" ")
    ),
    "few stop words": lambda text, draw: " ".join(word for word in text.split(" ") if len(word) > 4)[:1500],
    "long words": lambda text, draw: text.replace(" ", "_", draw.randrange(500)),
    "placeholder": _some_lines(lambda line: line + " Lorem ipsum dolor sit amet."),
    "brackets": lambda text, draw: text.replace("The ", "{The} ", draw.randrange(3)),
    "script": _some_lines(lambda line: line + " Please enable JavaScript."),
    "policy": _some_lines(lambda line: line + " We use cookies; see our Privacy Policy."),
    "citations": _some_lines(lambda line: line + "[12][citation needed]"),
}


def in_normal_form(corpus: list[Page]) -> list[Page]:
    """The same documents as the rules see them."""
    data, offsets = text_buffers(pl.Series([page.text for page in corpus]))
    tails = np.ones(len(corpus), np.bool_)
    texts = text_series(*normal.normalised(data, offsets, normal.look(data, offsets, tails), tails))
    return [page._replace(text=text) for page, text in zip(corpus, texts, strict=True)]


def ours(corpus: list[Page]) -> tuple[list[tuple[str, ...]], float]:
    """Reasons of each document by the thresholds as published, and CPU seconds."""
    data, offsets = text_buffers(pl.Series([page.text for page in corpus]))
    statistics(data[: offsets[1]], offsets[:2])
    start = time.process_time()
    figures = statistics(data, offsets)
    said = reasons_against(figures, Clean().thresholds("web"), [page.language for page in corpus])
    return said, time.process_time() - start


def theirs(corpus: list[Page], folder: Path) -> tuple[list[dict[str, str | None]], float]:
    """What the peer's filters say of each document, and CPU seconds."""
    python = peer_python(folder, *PEER)
    texts, said = folder / "texts.jsonl", folder / "said.jsonl"
    texts.write_text("".join(json.dumps(page._asdict()) + "\n" for page in corpus), encoding="utf-8")
    subprocess.run(
        [python, "-c", JUDGE, texts, said, json.dumps(STOPS_BY_LANGUAGE), json.dumps(LANGUAGES)], check=True
    )  # fmt: skip
    *rows, last = map(json.loads, said.read_text(encoding="utf-8").splitlines())
    return rows, last["seconds"]


def compare(
    corpus: list[Page], mine: list[tuple[str, ...]], peer: list[dict[str, str | None]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Agreement of each filter and of all, in all and by group; differences by reasons."""
    table: dict[str, Any] = {}
    differences: dict[str, Any] = {}
    every = tuple(rule for group in FILTERS.values() for rule in group)
    for name, rules in [*FILTERS.items(), ("all", every)]:
        same: Counter[str] = Counter()
        kept = [0, 0]
        found: Counter[str] = Counter()
        for page, reasons, said in zip(corpus, mine, peer, strict=True):
            against = [rule for rule in reasons if rule in rules]
            verdict = [v for key, v in said.items() if v and name in (key, "all")]
            kept[0] += not against
            kept[1] += not verdict
            same[page.group] += bool(against) == bool(verdict)
            if bool(against) != bool(verdict):
                found[f"{page.group}: theirs {' '.join(verdict) or 'keeps'}, ours {' '.join(against) or 'keeps'}"] += 1
        groups = Counter(page.group for page in corpus)
        table[name] = {
            "same": sum(same.values()) / len(corpus), "kept_ours": kept[0], "kept_theirs": kept[1],
            "groups": {group: same[group] / count for group, count in groups.items()},
        }  # fmt: skip
        differences[name] = dict(found.most_common())
    return table, differences


def main() -> None:
    """Print the table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="folder with novels_en.jsonl.gz and the others")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--peer", type=Path, help="folder of the peer's environment, made if it is not there")
    given = parser.parse_args()
    good = list(pages(given.corpus))
    corpus = in_normal_form([*good, *damaged(good)])
    with tempfile.TemporaryDirectory() as temporary:
        peer, their_seconds = theirs(corpus, given.peer or Path(temporary) / "peer")
    mine, our_seconds = ours(corpus)
    table, differences = compare(corpus, mine, peer)
    megabytes = sum(len(page.text.encode()) for page in corpus) / 1e6
    console = Console(width=140)
    shown = Table(
        "filter", "same", "kept by us", "kept by the peer", title=f"{len(corpus)} documents, {megabytes:.1f} MB"
    )
    for name, row in table.items():
        shown.add_row(name, f"{row['same']:.2%}", str(row["kept_ours"]), str(row["kept_theirs"]))
    console.print(shown)
    for name, found in differences.items():
        console.print(name, dict(list(found.items())[:12]))
    speeds = {"ours_mb_per_cpu_second": megabytes / our_seconds, "theirs": megabytes / their_seconds}
    console.print(speeds)
    result = {"documents": len(corpus), "megabytes": megabytes, **speeds, "filters": table, "differences": differences}
    given.json.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
