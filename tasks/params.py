"""`params.yaml` as frozen types: one section per step, unknown keys and impossible values refused.

Identity only: a value belongs here if it changes what a step writes. Whereabouts are in `infra/settings.py`.
"""

import difflib
import io
import json
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from tasks.presets import PRESETS, TextKind
from tasks.section import Section
from tasks.source import STDLIB_URI as STDLIB_URI
from tasks.source import GivenSource
from tasks.source import Source as Source
from tasks.thresholds import Clean

PARAMS_FILE = Path("params.yaml")
# Lower case so that a name is the same on every file system, in every URL and as a DNS label.
NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
CHAMPION_BASE = "champion"
# A release, or the champion of this model's name.
BASE_PATTERN = rf"^({CHAMPION_BASE}|[a-z0-9]([a-z0-9-]{{0,61}}[a-z0-9])?@v[1-9][0-9]*)$"

Preset = Literal["nano", "small", "medium"]


class ParamsError(ValueError):
    """`params.yaml` or an override is not usable: the message names the key, the value and what is allowed."""


class Blueprint(Section):
    """Architecture of a DeepSeek-V3 model (https://arxiv.org/abs/2412.19437, section 2.1).

    Absent or null keys are the preset's. Widths and dims are numbers of features.
    """

    preset: Preset = Field(description="nano: 2 CPU cores, minutes; small: one GPU; medium: one node of GPUs")
    sequence_length: int = Field(ge=16, le=1_048_576, description="tokens a training sequence")
    width: int = Field(ge=16, le=65_536, description="width of the residual stream")
    n_layers: int = Field(ge=1, le=1024, description="decoder layers, dense ones included")
    n_dense_layers: int = Field(ge=0, description="first layers with a dense feed-forward")
    n_heads: int = Field(ge=1, le=1024, description="attention heads")
    q_lora_rank: int = Field(ge=8, description="rank of the query compression")
    kv_lora_rank: int = Field(ge=8, description="rank of the key-value compression, what a cache keeps")
    qk_nope_head_dim: int = Field(ge=4, description="query and key features a head, without position")
    qk_rope_head_dim: int = Field(ge=2, multiple_of=2, description="query and key features a head, rotated")
    v_head_dim: int = Field(ge=4, description="value features a head")
    dense_ffn_width: int = Field(ge=8, description="hidden width of the dense feed-forward")
    expert_ffn_width: int = Field(ge=8, description="hidden width of one expert")
    n_experts: int = Field(ge=1, le=4096, description="routed experts a layer")
    top_k: int = Field(ge=1, description="routed experts a token uses")
    n_shared_experts: int = Field(ge=1, description="experts that every token uses")
    n_mtp_layers: int = Field(
        default=0, ge=0, le=8, description="layers more, each to predict one token further; shipped, for drafts"
    )
    n_groups: int = Field(ge=1, description="groups of routed experts")
    top_k_groups: int = Field(ge=1, description="groups that a token may use")
    routed_scaling_factor: float = Field(gt=0, description="factor on the sum of the routed experts")
    rope_theta: float = Field(gt=0, description="base of the rotary frequencies")
    norm_eps: float = Field(gt=0, le=0.1, description="epsilon of RMSNorm")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.top_k > self.n_experts:
            raise ValueError(
                f"top_k ({self.top_k}) must not exceed n_experts ({self.n_experts}); "
                "lower blueprint.top_k or raise blueprint.n_experts"
            )
        if self.n_dense_layers > self.n_layers:
            raise ValueError(f"n_dense_layers ({self.n_dense_layers}) must not exceed n_layers ({self.n_layers})")
        if self.n_experts % self.n_groups or self.top_k_groups > self.n_groups:
            raise ValueError(
                f"n_groups ({self.n_groups}) must divide n_experts ({self.n_experts}), "
                f"and top_k_groups ({self.top_k_groups}) must not exceed n_groups"
            )
        if self.top_k > self.top_k_groups * (self.n_experts // self.n_groups):
            raise ValueError(
                f"top_k ({self.top_k}) experts do not fit in {self.top_k_groups} groups "
                f"of {self.n_experts // self.n_groups}; raise blueprint.top_k_groups"
            )
        return self


class Discover(Section):
    """What the world is asked for."""

    sources: tuple[GivenSource, ...] = Field(
        min_length=1,
        description=f"folders, files, globs, URLs or {STDLIB_URI}; a string, or a mapping with uri and what is said "
        "of it; relative paths start at ABCD_SOURCE_ROOT",
    )
    name: str | None = Field(
        default=None, pattern=NAME_PATTERN, description="name of the model; null: made from the first source"
    )
    base: str | None = Field(
        default=None,
        pattern=BASE_PATTERN,
        description="release to train on from, with its tokenizer: champion or NAME@vN; null: from nothing",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        seen: set[str] = set()
        for source in self.sources:
            if source.uri in seen:
                raise ValueError(
                    f"sources: {source.uri!r} is named twice; put two queries to one database apart by a name "
                    "at the end of their URLs, as in #orders"
                )
            seen.add(source.uri)
        return self


class Ingest(Section):
    """How source files become documents."""

    text_column: str = Field(
        default="text",
        min_length=1,
        description="column of tables with the text, or a template: {title} {body}; for sources without their own",
    )
    licence: str = Field(
        default="unknown", min_length=1, description="SPDX identifier of sources that have none of their own"
    )


PersonalKind = Literal[
    "private_key", "url_credentials", "api_key", "email", "iban", "ip_address", "mac_address", "card_number", "us_ssn",
    "us_itin", "de_tax_id", "de_pension_id", "imei", "phone",
]  # fmt: skip


class Privacy(Section):
    """What is replaced by a typed placeholder."""

    kinds: tuple[PersonalKind, ...] = Field(
        default=get_args(PersonalKind), description="kinds of personal data and secrets to replace"
    )
    names_file: str | None = Field(
        default=None,
        min_length=1,
        description="CSV file of names and numbers to replace, with the columns text, kind and case_sensitive (may be "
        "left out); relative paths start at ABCD_SOURCE_ROOT; null: none",
    )
    presidio: bool = Field(default=False, description="also what Presidio's recognisers find (extra `presidio`, slow)")


class Dedup(Section):
    """Which documents count as the same, and what several of them may have in common."""

    ignore_whitespace: bool = Field(
        default=True, description="documents that differ only in white space and case count as the same"
    )
    min_jaccard: float = Field(
        default=0.8, ge=0.5, le=1, description="share of word 5-grams in common that makes near copies"
    )
    near_kinds: tuple[TextKind, ...] = Field(
        default=("prose", "code"), description="kinds of text where near copies go; notes may differ in a number alone"
    )
    min_block_bytes: int = Field(
        default=200, ge=0, description="blocks of text so long stay in one of the documents that have them; 0: in all"
    )
    block_kinds: tuple[TextKind, ...] = Field(
        default=("prose",), description="kinds of text where repeated blocks go; code would break without them"
    )
    evaluation_files: tuple[str, ...] = Field(
        default=(), description="texts that must not be trained on: .jsonl, .txt, .parquet; files, folders or globs"
    )


class Tokenizer(Section):
    """Byte-level BPE."""

    vocab_size: int = Field(
        ge=257, le=1_000_000, description="tokens, bytes and end-of-text included; null: the preset's"
    )
    min_frequency: int = Field(default=2, ge=1, description="rarer pairs are not merged")
    sample_mb: int = Field(
        default=16, ge=1, le=10_000, description="MB of training documents it is made from at most, chosen by hash"
    )


class Pack(Section):
    """Which documents are held out."""

    held_out_share: float = Field(
        default=0.1, gt=0, lt=1, description="share of documents held out, chosen by hash of their id"
    )
    min_held_out: int = Field(default=60, ge=1, description="documents held out at least, up to a fifth of all")
    seed: int = Field(default=1, ge=0, lt=2**32, description="order of the documents in the training stream")


class Train(Section):
    """What the optimizer does; steps are `tokens // batch_tokens`. Absent or null keys are the preset's."""

    tokens: int = Field(ge=1, description="training tokens in all, repeats counted")
    batch_tokens: int = Field(ge=16, description="tokens an optimizer step, over all workers")
    micro_shards: int = Field(
        ge=1, le=1024, description="parts of a batch whose gradients are summed in a fixed binary tree"
    )
    learning_rate: float = Field(gt=0, le=10, description="peak rate of Muon, for matrices")
    adamw_learning_rate: float = Field(gt=0, le=10, description="peak rate of AdamW, for all the rest")
    muon_per_head: bool = Field(
        default=True, description="whether Muon takes what makes queries, keys and values as one matrix a head"
    )
    weight_decay: float = Field(ge=0, le=1, description="decoupled weight decay of matrices")
    warmup_share: float = Field(ge=0, le=1, description="share of steps in which the rate rises to its peak")
    decay_share: float = Field(ge=0, le=1, description="share of steps in which the rate falls to zero")
    decay: Literal["linear", "cosine"] = Field(default="linear", description="how the rate falls to zero")
    gradient_clip: float = Field(gt=0, description="largest global norm of the gradient")
    balance_rate: float = Field(ge=0, le=1, description="step of the router bias that balances expert load")
    balance_loss: float = Field(
        default=0.0, ge=0, le=1, description="weight of the loss on uneven use of experts within a sequence; 0: none"
    )
    z_loss: float = Field(
        default=0.0, ge=0, le=1, description="weight of the loss that keeps the router's logits small; 0: none"
    )
    mtp_weight: float = Field(
        default=0.3, ge=0, le=1, description="weight of the loss of blueprint.n_mtp_layers together"
    )
    precision: Literal["fp32", "bf16"] = Field(
        default="fp32", description="of matrix products in layers; weights, router, norms, residual and logits are fp32"
    )
    activation_checkpointing: Literal["auto", "on", "off"] = Field(
        default="auto", description="compute layers twice to save memory; auto: where it would not fit; same result"
    )
    seed: int = Field(ge=0, lt=2**32, description="initial weights and order of the data")
    parallel: Literal["replicate", "shard"] = Field(
        default="replicate",
        description="whether each worker holds all weights (same bits for any number of workers) or a share of them, "
        "for models larger than a device",
    )
    document_masking: bool = Field(
        default=True, description="whether a token sees its own document alone, not others in its window"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.micro_shards & (self.micro_shards - 1):
            raise ValueError(f"micro_shards ({self.micro_shards}) must be a power of two, for a binary tree of sums")
        if self.warmup_share + self.decay_share > 1:
            raise ValueError("warmup_share and decay_share must not add up to more than 1")
        if self.tokens < self.batch_tokens:
            raise ValueError(
                f"tokens ({self.tokens}) are fewer than one batch ({self.batch_tokens}); raise train.tokens"
            )
        return self


class Drift(Section):
    """How far new documents may be from the champion's own record before it is shown as drift."""

    min_documents: int = Field(default=20, ge=1, description="fewer new documents are not judged")
    sample_documents: int = Field(default=256, ge=1, description="new documents that the champion scores at most")
    max_bits_per_byte_rise: float = Field(
        default=0.3, ge=0, description="of new documents under the champion, over its own held-out ones"
    )
    max_rejected_share_rise: float = Field(
        default=0.1, ge=0, le=1, description="share of documents that cleaning or the contract drops"
    )
    max_text_divergence_rise: float = Field(
        default=0.1, ge=0, le=1, description="of byte 3-grams, Jensen-Shannon, in bits"
    )
    max_length_distance_rise: float = Field(default=0.2, ge=0, le=1, description="of lengths, Kolmogorov-Smirnov")


class Evaluate(Section):
    """How the trained model is judged."""

    prompts: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="beginnings of the samples; null: words of held-out documents"
    )
    sample_tokens: int = Field(default=128, ge=1, le=4096, description="tokens a sample")
    temperature: float = Field(default=0.7, ge=0, le=5, description="0: the likeliest token; 1: as the model says")
    seed: int = Field(default=1, ge=0, lt=2**32, description="random state of the samples")


class Export(Section):
    """What the model card cannot know by itself."""

    licence: str = Field(default="other", min_length=1, description="SPDX identifier of the model's licence")


class Gate(Section):
    """When a model may become the champion."""

    margin_bits_per_byte: float = Field(default=0.005, ge=0, description="how much worse the upper bound may be")
    confidence: float = Field(default=0.95, gt=0, lt=1, description="of the bootstrap interval")
    resamples: int = Field(default=10_000, ge=100, le=1_000_000, description="bootstrap resamples")
    min_documents: int = Field(default=50, ge=2, description="with fewer held-out documents a person promotes")
    seed: int = Field(default=1, ge=0, lt=2**32, description="random state of the bootstrap")


class Params(Section):
    """All of `params.yaml`."""

    blueprint: Blueprint
    discover: Discover
    ingest: Ingest = Ingest()
    clean: Clean = Clean()
    privacy: Privacy = Privacy()
    dedup: Dedup = Dedup()
    tokenizer: Tokenizer
    pack: Pack = Pack()
    drift: Drift = Drift()
    train: Train
    evaluate: Evaluate = Evaluate()
    export: Export = Export()
    gate: Gate = Gate()

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, raw: Any) -> Any:
        """Null means "not said": the preset's value where it has one, else the default."""
        if not isinstance(raw, Mapping):
            return raw
        said = {
            section: {k: v for k, v in values.items() if v is not None} if isinstance(values, Mapping) else values
            for section, values in raw.items()
            if values is not None
        }
        blueprint = said.get("blueprint")
        preset = blueprint.get("preset") if isinstance(blueprint, Mapping) else None
        # With a preset that does not exist, only that is reported, not all that it would have filled.
        for section, values in PRESETS.get(str(preset), PRESETS["nano"]).items():
            given = said.get(section, {})
            if isinstance(given, Mapping):
                said[section] = {**values, **given}
        return said

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.train.batch_tokens % (self.blueprint.sequence_length * self.train.micro_shards):
            raise ValueError(
                f"train.batch_tokens ({self.train.batch_tokens}) must be a multiple of blueprint.sequence_length "
                f"({self.blueprint.sequence_length}) x train.micro_shards ({self.train.micro_shards})"
            )
        return self

    @property
    def model_name(self) -> str:
        """Name under which the model is released: as given, else made from the first source."""
        if self.discover.name:
            return self.discover.name
        name = re.sub(r"[^a-z0-9]+", "-", self.discover.sources[0].stem.lower()).strip("-")[:63].strip("-")
        return name or "model"

    def source(self, uri: str) -> Source:
        """Source with this uri, what it leaves open filled in from `ingest` and `clean`."""
        return self._sources.get(uri) or self._filled_in(Source(uri=uri))

    @cached_property
    def _sources(self) -> dict[str, Source]:
        return {source.uri: self._filled_in(source) for source in self.discover.sources}

    def _filled_in(self, source: Source) -> Source:
        said = {
            "text": source.text or self.ingest.text_column,
            "licence": source.licence or self.ingest.licence,
            "kind": source.kind or self.clean.preset,
        }
        return source.model_copy(update=said)


def parse(raw: Any, *, origin: str = str(PARAMS_FILE)) -> Params:
    """Typed params from what YAML says.

    Raises:
        ParamsError: unknown keys or impossible values, all of them, each with its path.
    """
    if not isinstance(raw, Mapping):
        raise ParamsError(f"{origin}: expected a mapping of sections, found {type(raw).__name__}")
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        lines = [_explain(dict(problem)) for problem in _causes(error)]
        raise ParamsError(f"{origin}: " + "; ".join(lines)) from None


def load(path: Path = PARAMS_FILE) -> Params:
    """Typed params of a workspace.

    Raises:
        ParamsError: the file is missing, no YAML, or not usable.
    """
    return parse(read(path), origin=str(path))


def read(path: Path) -> Any:
    """What a file says, without what presets fill in.

    Raises:
        ParamsError: the file is missing or no YAML.
    """
    try:
        return YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path} not found; run from the root of a workspace (where dvc.yaml is)") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path} is no YAML: {error}") from None


def override(path: Path, overrides: Iterable[tuple[str, Any]]) -> list[str]:
    """Set dotted keys in a file of params, comments kept; the changed lines, as `diff -U0` shows them.

    Raises:
        ParamsError: a key does not exist or a value is impossible; the file is then as it was.
    """
    old = path.read_text(encoding="utf-8")
    yaml = _editor()
    tree = yaml.load(old)
    for dotted, value in overrides:
        section, _, key = dotted.partition(".")
        if not key:
            raise ParamsError(f"{dotted!r}: expected section.key=value, as in train.learning_rate=0.01")
        if not isinstance(tree.get(section), Mapping):
            tree[section] = CommentedMap()
        _put(tree[section], key, list(value) if isinstance(value, tuple) else value)
    out = io.StringIO()
    yaml.dump(tree, out)
    new = out.getvalue()
    parse(YAML(typ="safe").load(new), origin=f"{path.name} as overridden")
    if new == old:
        return []
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(new, encoding="utf-8")
    fresh.replace(path)
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), n=0, lineterm="")
    return [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]


def _put(section: CommentedMap, key: str, value: Any) -> None:
    """Set a key; a new one goes before the last, after which stands the empty line between sections."""
    if key in section or not section:
        section[key] = value
    else:
        section.insert(len(section) - 1, key, value)


def _editor() -> YAML:
    """YAML that writes back what it read: comments, quotes, indentation, explicit nulls."""
    yaml = YAML()
    yaml.width = 4096
    yaml.preserve_quotes = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(
        type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    return yaml


def parse_assignment(text: str) -> tuple[str, Any]:
    """Dotted key and value of `section.key=value`, the value as YAML reads it.

    Raises:
        ParamsError: no key or no YAML value.
    """
    dotted, equals, value = text.partition("=")
    if not equals:
        raise ParamsError(f"{text!r}: expected section.key=value, as in train.learning_rate=0.01")
    try:
        return dotted.strip(), YAML(typ="safe").load(value)
    except YAMLError as error:
        raise ParamsError(f"{text!r}: {value!r} is no YAML value: {error}") from None


def _causes(error: ValidationError) -> list[ErrorDetails]:
    """Problems, without a list's complaint that it is empty as all its items were refused."""
    problems = error.errors()
    return [
        problem
        for problem in problems
        if problem["type"] != "too_short"
        or not any(len(loc := other["loc"]) > len(at := problem["loc"]) and loc[: len(at)] == at for other in problems)
    ]


def _explain(problem: dict[str, Any]) -> str:
    """One line: path of the key, what was found, what is allowed."""
    path = [part for part in problem["loc"] if isinstance(part, str | int)]
    dotted = ".".join(map(str, path))
    if problem["type"] == "extra_forbidden":
        known = _keys_at(path[:-1])
        close = difflib.get_close_matches(str(path[-1]), known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"allowed: {', '.join(known)}"
        return f"{dotted}: unknown key; {hint}"
    message = problem["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if problem["type"] == "missing":
        return f"{dotted}: missing; {message}"
    if problem["type"] == "value_error":
        return f"{dotted}: {message}" if dotted else message
    return f"{dotted}: found {json.dumps(problem['input'], default=str)}; {message}"


def _keys_at(path: list[str | int]) -> list[str]:
    model: Any = Params
    for part in path:
        model = get_args(model)[0] if isinstance(part, int) else model.model_fields[part].annotation
    return list(model.model_fields)
