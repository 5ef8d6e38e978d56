"""Reports of the steps become the model card, README.md: what the model is, was made from, can and cannot do.

Front matter as the Hugging Face Hub reads it (https://huggingface.co/docs/hub/model-cards). No clock and no name of a
machine: same reports, same bytes.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from tasks.distribution.markdown import as_text, code_block, table
from tasks.params import STDLIB_URI, Params
from tasks.report import Report, read_json

CARD_FILE = "README.md"
_DATA_STEPS = ("ingest", "clean", "privacy", "dedup", "validate")
_STEPS = ("blueprint", *_DATA_STEPS, "tokenizer", "pack", "train", "evaluate")
_YARDSTICKS = {"byte_3gram": "byte 3-gram model of the same text", "byte_5gram": "byte 5-gram model of the same text",
               "xz": "`xz -9`, document by document"}  # fmt: skip
_TRAINING = {"tokens": "tokens trained on, repeats counted", "steps": "optimizer steps",
             "final_loss": "last training loss, nats a token", "training_flops": "training FLOPs",
             "arithmetic": "arithmetic"}  # fmt: skip


class CardFacts(NamedTuple):
    """All that the card is written from."""

    params: Params
    reports: Mapping[str, Report]
    licences: Mapping[str, int]
    samples: Sequence[Mapping[str, str]]
    pictures: Sequence[str]
    largest_difference: float


def gather(params: Params, artifacts: Path, *, pictures: Sequence[str], largest_difference: float) -> CardFacts:
    """Read what the steps left.

    Args:
        params: for the name and the licence.
        artifacts: folder of the steps' outputs.
        pictures: file names of pictures beside the card.
        largest_difference: between our logits and those of transformers.
    """
    documents = pl.read_parquet(artifacts / "validate" / "part-*.parquet", columns=["licence"])
    licences = documents.group_by("licence").len().sort("len", "licence", descending=[True, False])
    return CardFacts(
        params=params,
        reports={step: Report.read(artifacts / step) for step in _STEPS},
        licences=dict(licences.rows()),
        samples=read_json(artifacts / "evaluate" / "samples.json"),
        pictures=pictures,
        largest_difference=largest_difference,
    )


def write_card(facts: CardFacts, out: Path) -> None:
    """Write the card."""
    parts = (_front_matter, _title, _use, _quality, _data, _training, _samples, _limits, _licence)
    text = "\n\n".join(part(facts) for part in parts)
    (out / CARD_FILE).write_text(text + "\n", encoding="utf-8")


def _front_matter(facts: CardFacts) -> str:
    licence = json.dumps(facts.params.export.licence.lower())
    tags = ("deepseek_v3", "mixture-of-experts", "base-model")
    lines = ["library_name: transformers", f"license: {licence}", "pipeline_tag: text-generation", "tags:"]
    return "\n".join(["---", *lines, *(f"- {tag}" for tag in tags), "---"])


def _title(facts: CardFacts) -> str:
    blueprint, pack = facts.reports["blueprint"].facts, facts.reports["pack"].facts
    train, base = pack["train"], facts.reports["train"].facts.get("base")
    began = f"on from {base}" if base else "from nothing"
    return (
        f"# {facts.params.model_name}\n\n"
        f"A Mixture-of-Experts language model with the DeepSeek-V3 architecture: "
        f"{as_text(blueprint['total_parameters'])} parameters, of which a token uses "
        f"{as_text(blueprint['active_parameters'])}. Trained {began} on {train['documents']:,} documents "
        f"({train['distinct_bytes'] / 1e6:,.1f} MB of text), it goes on with text of that kind. It is a base model: "
        "it completes, it does not answer."
    )


def _use(facts: CardFacts) -> str:
    prompt = facts.samples[0]["prompt"]
    program = f"""\
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."  # of this file
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
tokens = tokenizer({prompt!r}, return_tensors="pt")
print(tokenizer.decode(model.generate(**tokens, max_new_tokens=100)[0]))"""
    return (
        f"## Use it\n\n{code_block(program, 'python')}\n\n"
        "No code comes with it: vLLM, SGLang and transformers know the architecture. Loaded with transformers, its "
        f"logits differ from those of the model that was trained by at most {facts.largest_difference:g}."
    )


def _quality(facts: CardFacts) -> str:
    measured, held_out = facts.reports["evaluate"].facts, facts.reports["pack"].facts["held_out"]
    rows = [("**this model**", f"**{measured['bits_per_byte']:.3f}**")]
    rows += [(label, f"{measured[key]:.3f}") for key, label in _YARDSTICKS.items() if measured.get(key) is not None]
    shown = "\n\n".join(f"![{name.removesuffix('.png')}]({name})" for name in facts.pictures)
    return (
        f"## How good it is\n\nOn {held_out['documents']:,} documents ({held_out['bytes'] / 1e6:,.2f} MB) that were "
        "chosen by the hash of their id and kept out of training; less is better.\n\n"
        + table(("what predicts the text", "bits per byte"), rows)
        + (f"\n\n{shown}" if shown else "")
    )


def _data(facts: CardFacts) -> str:
    rows = []
    for step in _DATA_STEPS:
        report = facts.reports[step]
        reasons = ", ".join(f"{as_text(count)} {reason}" for reason, count in report.reasons.items())
        counts = (as_text(count) for count in (report.rows_in, report.rows_out, report.rows_rejected))
        rows.append((step, *counts, reasons))
    sources = ", ".join(
        "the standard library of Python" if source.uri == STDLIB_URI else f"`{source.uri}`"
        for source in facts.params.discover.sources
    )
    replaced = facts.reports["privacy"].facts.get("replaced", {})
    totals = {kind: sum(found.values()) for kind, found in replaced.items()}
    said = ", ".join(f"{as_text(total)} {kind}" for kind, total in totals.items() if total) or "nothing was found"
    return (
        f"## What it was made from\n\nSources: {sources}. What was kept back is kept, with its reason.\n\n"
        + table(("step", "documents read", "passed on", "kept back", "because"), rows)
        + f"\n\nPersonal data and secrets that were replaced by a placeholder: {said}."
    )


def _training(facts: CardFacts) -> str:
    trained, pack = facts.reports["train"].facts, facts.reports["pack"].facts
    stream = pack["train"]
    rows = [
        ("different tokens", as_text(stream["distinct_tokens"])),
        ("tokens of the stream, where weights repeat or leave out documents", as_text(stream["tokens"])),
        ("times it saw the stream", f"{trained['tokens'] / stream['tokens']:,.3g}"),
        ("vocabulary", as_text(facts.reports["tokenizer"].facts["vocab_size"])),
    ]
    rows += [(label, as_text(trained[name])) for name, label in _TRAINING.items() if name in trained]
    mixture = _mixture(pack["sources"], trained["tokens"])
    return f"## How it was trained\n\n{table(('what', 'how much'), rows)}\n\n{mixture}"


def _mixture(sources: Mapping[str, Mapping[str, Any]], tokens: int) -> str:
    """How much of each source there is, how often the stream has it, and how much of the training it was."""
    rows = [
        (
            f"`{name}`", as_text(mine["weight"]), as_text(mine["distinct_tokens"]), as_text(mine["epochs"]),
            f"{mine['trained_tokens']:,} ({mine['share']:.1%})", as_text(round(tokens * mine["share"])),
        )
        for name, mine in sources.items()
    ]  # fmt: skip
    return table(
        ("source", "weight", "different tokens", "epochs in the stream", "tokens of the stream", "trained on, about"),
        rows, numbers=range(1, 6),
    )  # fmt: skip


def _samples(facts: CardFacts) -> str:
    written = "\n\n".join(code_block(sample["text"]) for sample in facts.samples)
    return f"## What it writes\n\nUnedited, at a temperature of {facts.params.evaluate.temperature:g}.\n\n{written}"


def _limits(facts: CardFacts) -> str:
    length = facts.params.blueprint.sequence_length
    return f"""\
## Limits

- It knows only what is in its sources, repeats their errors and bias, and states falsehoods as fluently as facts.
- It may repeat passages of its training text. Personal data was replaced by pattern, which misses some.
- It was trained on sequences of {length:,} tokens; what comes later is beyond what it has seen.
- Bits per byte measure how well it predicts text like its sources, not whether it is useful or safe for a task."""


def _licence(facts: CardFacts) -> str:
    texts = ", ".join(f"{licence} ({as_text(count)} documents)" for licence, count in facts.licences.items())
    return f"## Licence\n\nOf the model: {facts.params.export.licence}. Of the texts it was trained on: {texts}."
