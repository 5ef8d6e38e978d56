"""How often the language of a text is told rightly: `python -m benchmarks.languages`.

Labelled by where they come from: statutes, novels, documentation and work orders of `../shared/data`, and translated
messages of the programs on this machine (`/usr/share/locale`), one by one and six in a row. Each kind of
text is one source, as `clean` would see it.
"""

import gettext
import random
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import polars as pl

from tasks.big_data.buffers import text_buffers
from tasks.big_data.language import Guess, expected, guesses, language

DATA = Path(__file__).parents[2] / "shared" / "data"
LOCALES = Path("/usr/share/locale")
LANGUAGES = (
    "cs", "da", "de", "es", "fi", "fr", "hu", "it", "ja", "ko", "nl", "pl", "pt", "ro", "ru", "sv", "tr", "uk", "zh",
)  # fmt: skip
ONE_BY_ONE, IN_A_ROW, MESSAGES = 150, 60, 6
_PLACEHOLDERS = re.compile(r"%[-0-9$.]*[a-z]+|[%\\]\S*|\{\w*\}")


def files() -> Iterator[tuple[str, str, list[str]]]:
    """Kind, language, texts."""
    for name, column, code in (
        ("statutes_de", "text", "de"), ("novels_en", "text", "en"), ("techdoc_en_python", "text", "en"),
        ("techdoc_en_postgresql", "text", "en"), ("maintnorm", "raw", "en"),
    ):  # fmt: skip
        yield name, code, pl.read_ndjson(DATA / f"{name}.jsonl.gz")[column].to_list()


def messages(code: str, rng: random.Random) -> list[str]:
    """Translated messages of 30 characters or more, shuffled."""
    found = set()
    for path in sorted(LOCALES.glob(f"{code}*/LC_MESSAGES/*.mo")):
        if not re.fullmatch(rf"{code}(_[A-Z]+)?", path.parts[-3]):
            continue
        try:
            with path.open("rb") as file:
                catalog = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
        except UnicodeDecodeError:  # an old one, with a header of another encoding
            continue
        for key, text in catalog.items():
            if key and text not in (key, "") and isinstance(text, str):
                text = " ".join(_PLACEHOLDERS.sub("", text).split())
                if len(text) >= 30:
                    found.add(text)
    ordered = sorted(found)
    rng.shuffle(ordered)
    return ordered


def told(texts: list[str]) -> tuple[list[Guess], float]:
    """What is told of them, and seconds of CPU."""
    data, offsets = text_buffers(pl.Series(texts))
    start = time.process_time()
    return guesses(data, offsets, np.arange(len(texts))), time.process_time() - start


def line(kind: str, codes: list[str], texts: list[str]) -> None:
    """Measure and print one kind of text."""
    found, seconds = told(texts)
    source = expected(Counter(guess.language for guess in found if guess.sure))
    labels = [language(guess, source) for guess in found]
    sure = [(guess.language, code) for guess, code in zip(found, codes, strict=True) if guess.sure]
    shares = (
        _right(zip((guess.language for guess in found), codes, strict=True)), len(sure) / len(texts), _right(sure),
        _right(zip(labels, codes, strict=True)), labels.count("") / len(texts),
    )  # fmt: skip
    figures = " | ".join(f"{100 * share:.1f}" for share in shares)
    print(f"| {kind} | {len(texts):,} | {figures} | {1e6 * seconds / len(texts):.0f} |")


def _right(pairs: Iterable[tuple[str, str]]) -> float:
    same = [told == code for told, code in pairs]
    return sum(same) / max(len(same), 1)


def main() -> None:
    """Print a table."""
    rng = random.Random(1)
    print("| text | documents | right, alone % | sure % | right where sure % | label right % | no label % | µs |")
    print("|---|---|---|---|---|---|---|---|")
    together: list[tuple[str, str]] = []
    for kind, code, texts in files():
        line(kind, [code] * len(texts), texts)
        together += [(code, text) for text in texts]
    line("all of these in one source", [code for code, _ in together], [text for _, text in together])
    singles: list[tuple[str, str]] = []
    rows: list[tuple[str, str]] = []
    for code in LANGUAGES:
        found = messages(code, rng)
        singles += [(code, text) for text in found[:ONE_BY_ONE]]
        rest = found[ONE_BY_ONE : ONE_BY_ONE + IN_A_ROW * MESSAGES]
        rows += [(code, " ".join(rest[n : n + MESSAGES])) for n in range(0, len(rest) - MESSAGES + 1, MESSAGES)]
    for kind, drawn in (("messages, 19 languages in one source", singles), ("six messages in a row", rows)):
        line(kind, [code for code, _ in drawn], [text for _, text in drawn])


if __name__ == "__main__":
    main()
