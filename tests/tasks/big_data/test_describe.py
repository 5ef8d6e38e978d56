"""data.html: counts are those of the tables, samples show what happened, and no planted secret is anywhere."""

import json
import random
import re
from html.parser import HTMLParser

import polars as pl
import pytest

from tasks.big_data import charts, documents, samples

STEPS = ("discover", "ingest", "clean", "privacy", "dedup", "validate", "tokenizer", "pack", "describe")
EVIL = "<script>alert(1)</script><img src=http://evil.example/p.png>"
SECRETS = {
    "e-mail": "jane.doe@corp-mail.de", "key": "AKIA" + "IOSFODNN7EXAMPLQ", "iban": "DE89370400440532013000",
    "card": "4111111111111111", "machine": "84.17.61.22", "name": "Brunhilde Okonkwo",
}  # fmt: skip
GERMAN = (
    "Die Pumpe wurde wegen eines heißen Lagers angehalten und von der Frühschicht neu geschmiert.\n"
    "Der Motor des Krans lief danach ruhig, und die Temperatur blieb bis zum Abend unter dem Grenzwert.\n"
    "Am nächsten Tag prüfte der Meister alle Dichtungen, ohne dass er einen weiteren Schaden fand.\n"
)
WORDS = (
    "pump", "valve", "motor", "bearing", "shaft", "gasket", "filter", "sensor", "coolant", "pressure", "cabinet",
    "cable", "turbine", "ladder", "hoist", "bracket", "nozzle", "relay", "spindle", "rotor", "stator", "clutch", "belt",
    "chain", "gear", "lever", "piston", "crank", "flange", "gauge", "hose", "tank", "crane", "winch",
)  # fmt: skip


def prose(seed: int, sentences: int = 12) -> str:
    """Sentences that no other seed gives."""
    draw = random.Random(seed)
    said = []
    for _ in range(sentences):
        a, b, c, d = draw.sample(WORDS, 4)
        hour = draw.randint(1, 12)
        said.append(
            f"The {a} of the {b} was stopped at {hour} because the {c} ran hot, and that {d} had to be greased."
        )
    return "\n".join(said) + "\n"


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """A corpus with something for every step to find, through the whole stage."""
    from tests.tasks.big_data.conftest import Workspace

    workspace = Workspace(tmp_path_factory.mktemp("described"))
    planted = "Ask " + ", ".join(SECRETS.values()) + ". "
    for n in range(40):
        workspace.file(f"docs/good{n}.txt", f"{prose(n, 2)}Person {n} has written {EVIL} here.\n{prose(100 + n)}")
    workspace.file("docs/private.txt", prose(1000) + planted)
    workspace.file("docs/short.txt", planted)
    workspace.file("docs/long-line.txt", planted * 2000)
    same = prose(2000)
    for n in range(15):
        workspace.file(f"docs/copy{n}.txt", same)
    for n in range(5):
        workspace.file(f"docs/tiny{n}.txt", f"Number {n}.")
        workspace.file(f"docs/brief{n}.txt", f"{prose(3000 + n, 1)[:67]} it.\n")
    workspace.file("docs/broken.pdf", b"%PDF-1.7 nothing")
    workspace.file("more/deutsch.txt", GERMAN)
    names = workspace.file("names.csv", f"text,kind\n{SECRETS['name']},person\n")
    workspace.set(
        discover={"sources": ["docs", "more"]}, tokenizer={"vocab_size": 600}, pack={"min_held_out": 2},
        clean={"preset": "prose"},
        privacy={"kinds": ["email"], "names_file": str(names)},
    )  # fmt: skip
    workspace.report = workspace.run(*STEPS, discover=True)
    return workspace


class Page(HTMLParser):
    """Tags and addresses of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.parts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset", "action")]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data):
        self.parts.append(data)

    @property
    def said(self) -> str:
        return " ".join(" ".join(self.parts).split())


@pytest.fixture(scope="module")
def page(described) -> Page:
    return Page((described.out("describe") / "data.html").read_text(encoding="utf-8"))


def test_no_planted_secret_is_in_any_file_of_the_step(described):
    for path in described.out("describe").rglob("*"):
        text = path.read_bytes() if path.is_file() else b""
        assert [name for name, secret in SECRETS.items() if secret.encode() in text] == []


def test_the_search_for_secrets_finds_them_where_they_are(described):
    text = "".join(documents.read_rejected(described.out("clean"))["text"])
    assert all(secret in text for secret in SECRETS.values())


def test_dropped_documents_are_shown_with_placeholders_of_every_kind(page):
    assert "<EMAIL>" in page.said
    assert "<IBAN>" in page.said  # though the params name e-mail alone
    assert "<PERSON>" in page.said


def test_nothing_is_loaded_and_texts_are_texts(page):
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert {address for address in page.addresses if not address.startswith("#")} == {"data_docs/index.html"}
    assert EVIL in page.said


def test_the_funnel_says_what_the_tables_hold(described, page):
    for step in ("ingest", "clean", "privacy", "dedup", "validate"):
        table, rejected = documents.read(described.out(step)), documents.read_rejected(described.out(step))
        size = charts.size(documents.text_bytes(table))
        assert f"{step} {table.height} documents {size}" in page.said
        facts = json.loads((described.out(step) / "report.json").read_text())["facts"]["by_source"]
        counted = table.group_by("source").agg(pl.len(), pl.col("text").str.len_bytes().sum()).rows()
        assert {name: (n["documents"], n["bytes"]) for name, n in facts.items() if n["documents"]} == {
            name: (rows, size) for name, rows, size in counted
        }
        assert sum(n["rejected"] for n in facts.values()) == rejected.height


def test_every_reason_has_its_count_and_up_to_ten_samples(described, page):
    wanted = 0
    for step in ("ingest", "clean", "privacy", "dedup", "validate"):
        rejected = documents.read_rejected(described.out(step))
        reasons = [text.partition(":")[0] for given in rejected["reasons"] for text in set(given)]
        for reason in set(reasons):
            assert f"{reason} · {step} · {reasons.count(reason)} documents" in page.said
            wanted += min(reasons.count(reason), 10)
    assert wanted > 12
    kept = documents.read(described.out("validate"))
    assert described.report.facts["samples"] == wanted + min(kept.height, 10) + 3
    first = kept.sort("id").head(10)["uri"].to_list()
    assert all(uri in page.said for uri in first)


def test_what_was_kept_near_a_limit_stands_beside_what_it_dropped(described, page):
    """Texts of 71 characters, where fewer than 64 are too few, and fewer than 77 would be."""
    part = page.said.partition("too_short · clean")[2].partition(" · clean · ")[0]
    nearly = part.partition("were the limit 20% stricter")[2]
    kept = documents.read(described.out("validate")).filter(pl.col("uri").str.contains("brief")).sort("id")
    assert kept.height == 5
    assert [uri in nearly for uri in kept["uri"]] == [True, True, True, False, False]


def test_copies_and_contracts_and_languages_are_said(page):
    assert re.search(r"copy\d*\.txt", page.said)
    assert "documents 2.0.0" in page.said
    assert "packed 2.0.0" in page.said
    assert re.search(r"\bde\b", page.said)
    assert "docs/broken.pdf" in page.said


def test_the_data_docs_are_beside_it_and_two_runs_give_the_same_bytes(described):
    before = described.bytes_of("describe")
    assert "data_docs/index.html" in before
    described.run("describe")
    assert described.bytes_of("describe") == before


def test_samples_do_not_depend_on_how_documents_lie_in_shards(make_workspace):
    workspace = make_workspace()
    rows = [(documents.document_id(f"u{n}"), f"u{n}", "s", "g", "MIT", "", "", f"text {n}", "d") for n in range(40)]
    table = pl.DataFrame(rows, schema=documents.SCHEMA, orient="row")
    given = table.with_columns(reasons=pl.Series([[f"a:{n}", "b"] if n % 2 else ["b"] for n in range(40)]))
    found = []
    for cut in (40, 7):
        folder = workspace.root / str(cut)
        shards = []
        for start in range(0, 40, cut):
            part = documents.Sifted(table.slice(start, cut), given.slice(start, cut))
            shard, files = documents.files_of(f"{start:04}", part)
            for name, data in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(data)
            shards.append(shard)
        documents.write_index(folder, shards)
        redact = samples.Redact(workspace.params.privacy, b"")
        found.append((samples.kept(folder, redact), samples.dropped(folder, redact)))
    assert found[0] == found[1]
    kept, dropped = found[0]
    assert [sample.id for sample in kept] == sorted(table["id"])[:10]
    assert {reason: len(shown) for reason, shown in dropped.items()} == {"a": 10, "b": 10}
    assert dropped["a"][0].why.startswith("a:")


def test_what_cannot_be_seen_is_marked_and_long_texts_are_cut(make_workspace):
    redact = samples.Redact(make_workspace().params.privacy, b"")
    assert redact.text("a\u202eb\x00c\nd") == "a\ufffdb\ufffdc\nd"
    assert redact.text("x" * 100_000) == "x" * 40_000


def test_lengths_fall_into_their_bins():
    counts = [0] * (len(charts.LENGTHS) + 1)
    counts[0], counts[3] = 2, 4
    chart = charts.lengths(counts)
    assert [(bar.label, bar.number, bar.percent) for bar in chart.bars] == [
        ("under 64 B", 2, 50.0), ("64 B to 128 B", 0, 0.0), ("128 B to 256 B", 0, 0.0), ("256 B to 512 B", 4, 100.0),
    ]  # fmt: skip
    assert charts.size(3 << 20) == "3 MiB"
    assert charts.size((3 << 20) + 500_000) == "3.5 MiB"


def test_figures_of_quality_by_hand():
    texts = pl.Series(["aa bb\naa bb\n", "1234 ----"])
    of = {chart.title: [bar.number for bar in chart.bars] for chart in charts.qualities(texts)}
    assert of["Letters and digits"] == [0, 0, 0, 0, 1, 0, 1, 0, 0, 0]
    assert of["Repeated lines"][0] == 1
    assert charts.qualities(pl.Series([], dtype=pl.String)) == []
