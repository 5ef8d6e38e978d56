"""How often the encoding of an old text file is detected, and how fast, against charset-normalizer.

The labelled set is made of real text in many languages, written in the encodings that were in use for each: German
statutes (`../shared/data`) and the message catalogues that Debian's programs are translated by (`/usr/share/locale`).
An answer counts as right if it decodes the file to the text that it was made from. Catalogues that the table of letters
(`tasks/big_data/letters.py`, made by `--letters`) was counted in take no part.

    python -m benchmarks.encodings [--json OUT] [--letters]
"""

import argparse
import gettext
import gzip
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

CATALOGUES = Path("/usr/share/locale")
STATUTES = Path(__file__).parents[2] / "shared" / "data" / "statutes_de.jsonl.gz"
# Counted for the table of letters; all others are for the test.
COUNTED = (
    "coreutils", "bash", "bfd", "binutils", "git", "gnupg2", "libc", "gtk20", "gtk30", "gtk20-properties",
    "gtk30-properties", "glib20", "gettext-tools", "iso_3166", "iso_639_3", "gas", "ld", "libapt-pkg6.0", "adduser",
    "aspell", "psmisc", "shared-mime-info", "xkeyboard-config",
)  # fmt: skip
LANGUAGES = {
    **dict.fromkeys(("de", "fr", "es", "it", "pt", "sv", "da", "nb", "fi", "nl"),
                    ("cp1252", "latin-1", "iso8859-15", "cp850", "cp437", "mac-roman", "utf-16-le", "utf-16-be")),
    **dict.fromkeys(("pl", "cs", "sk", "hu", "sl", "hr", "ro"), ("cp1250", "iso8859-2", "cp852")),
    **dict.fromkeys(("ru", "bg"), ("cp1251", "koi8-r", "cp866", "iso8859-5", "mac-cyrillic")),
    "uk": ("cp1251", "koi8-u"),
    "tr": ("cp1254",), "el": ("cp1253", "iso8859-7"), "ja": ("shift_jis", "euc-jp", "utf-16-le"),
    "zh_CN": ("gb18030", "utf-16-le"), "zh_TW": ("big5",), "ko": ("euc-kr",),
}  # fmt: skip
SIZES = (200, 1000, 10_000)  # characters
PER_CELL = 24


def messages(language: str, *, counted: bool) -> Iterator[str]:
    """Translated messages, one text for each program."""
    for path in sorted((CATALOGUES / language / "LC_MESSAGES").glob("*.mo")):
        if (path.stem in COUNTED) != counted or (not counted and path.stem.startswith("iso_")):
            continue
        with path.open("rb") as file:
            try:
                found = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
            except (OSError, ValueError, UnicodeDecodeError):
                continue
        yield "\n".join(text for key, text in found.items() if key and isinstance(text, str))


def texts(language: str) -> Iterator[str]:
    """Text that the table of letters was not counted in."""
    yield from messages(language, counted=False)
    if language == "de" and STATUTES.is_file():
        with gzip.open(STATUTES, "rt", encoding="utf-8") as lines:
            for _, line in zip(range(40), lines, strict=False):
                yield json.loads(line)["text"]


def labelled(language: str, encoding: str, size: int) -> list[tuple[bytes, str]]:
    """Files in an encoding with their texts; a character that it lacks is left out, as a writer of then did."""
    found: list[tuple[bytes, str]] = []
    for text in texts(language):
        for start in range(0, min(len(text), 4 * size), size):
            data = text[start : start + size].encode(encoding, "ignore")
            if not data.isascii() or encoding.startswith("utf-16"):
                found.append((data, data.decode(encoding)))
    step = max(1, len(found) // PER_CELL)
    return found[::step][:PER_CELL]


def normalizer(data: bytes) -> str:
    """What charset-normalizer says."""
    from charset_normalizer import from_bytes

    best = from_bytes(data).best()
    return best.encoding if best else "ascii"


def right(guess: Callable[[bytes], str], data: bytes, text: str) -> bool:
    try:
        return data.decode(guess(data)).removeprefix("\ufeff") == text
    except (ValueError, LookupError):
        return False


def _said(guess: Callable[[bytes], str], data: bytes) -> str:
    try:
        return guess(data)
    except ValueError as error:
        return str(error)


def letters() -> str:
    """Source of the table of letters: shares in a thousand of what is not ASCII, for each language."""
    lines = []
    for language in LANGUAGES:
        counts = Counter(char for text in messages(language, counted=True) for char in text if ord(char) > 127)
        total = sum(counts.values())
        if language in ("ja", "zh_CN", "zh_TW", "ko"):
            most = "".join(char for char, _ in counts.most_common(600))
            lines.append(f'    "{language}": "{most}",')
            continue
        kept = [
            (char, round(1000 * count / total))
            for char, count in counts.most_common(80)
            if char.isalpha() and count > 5e-5 * total
        ]
        lines.append(f'    "{language}": "{" ".join(f"{char}{share}" for char, share in kept)}",')
    return "\n".join(lines)


def main() -> None:
    """Print the accuracy for each encoding and size, and MB per CPU second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--letters", action="store_true", help="print the table of letters")
    options = parser.parse_args()
    if options.letters:
        print(letters())
        return
    from tasks.big_data.encodings import encoding_of

    detectors: dict[str, Callable[[bytes], str]] = {"abcd": encoding_of, "charset-normalizer": normalizer}
    scores: dict[str, Counter[tuple[str, int]]] = {name: Counter() for name in detectors}
    files: Counter[tuple[str, int]] = Counter()
    wrong: Counter[tuple[str, str, int, str]] = Counter()
    seconds = dict.fromkeys(detectors, 0.0)
    total_bytes = 0
    for language, encodings in LANGUAGES.items():
        for encoding in encodings:
            for size in SIZES:
                for data, text in labelled(language, encoding, size):
                    files[encoding, size] += 1
                    total_bytes += len(data)
                    for name, guess in detectors.items():
                        begun = time.process_time()
                        is_right = right(guess, data, text)
                        seconds[name] += time.process_time() - begun
                        scores[name][encoding, size] += is_right
                        if name == "abcd" and not is_right:
                            wrong[language, encoding, size, _said(guess, data)] += 1
    names = list(dict.fromkeys(encoding for encoding, _ in files))
    print("| encoding | files | " + " | ".join(f"{name} {size}" for name in detectors for size in SIZES) + " |")
    for encoding in names:
        cells = [_share(scores[name], files, encoding, size) for name in detectors for size in SIZES]
        print(f"| {encoding} | {sum(files[encoding, size] for size in SIZES)} | " + " | ".join(cells) + " |")
    for name in detectors:
        everything, speed = sum(scores[name].values()) / sum(files.values()), total_bytes / 1e6 / seconds[name]
        print(f"{name}: {everything:.1%} of {sum(files.values())} files, {speed:.1f} MB per CPU second")
    for what, count in wrong.most_common(40):
        print("wrong", *what, count)
    if options.json:
        found = {
            name: {f"{encoding} {size}": _share(scores[name], files, encoding, size) for encoding, size in files}
            for name in detectors
        }
        options.json.write_text(json.dumps({"files": sum(files.values()), "right": found}, indent=1))


def _share(hits: Counter[tuple[str, int]], files: Counter[tuple[str, int]], encoding: str, size: int) -> str:
    return f"{hits[encoding, size] / max(1, files[encoding, size]):.1%}"


if __name__ == "__main__":
    main()
