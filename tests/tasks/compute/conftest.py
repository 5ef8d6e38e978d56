"""A workspace with what stands before `train`: a tiny blueprint, and documents packed by a tiny tokenizer."""

import hashlib
import random
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from data_contracts.pieces import write_pieces
from infra.settings import Settings
from tasks.algorithm.blueprint import BLUEPRINT_FILE, Blueprint
from tasks.params import Params, parse
from tasks.report import write_json
from tests.packed import write_piece

TINY = {
    "blueprint": {
        "preset": "nano", "sequence_length": 16, "width": 32, "n_layers": 2, "n_dense_layers": 1, "n_heads": 2,
        "q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8,
        "dense_ffn_width": 32, "expert_ffn_width": 16, "n_experts": 4, "top_k": 2,
    },
    "discover": {"sources": ["docs"]},
    "tokenizer": {"vocab_size": 300},
    "train": {"tokens": 64 * 20, "batch_tokens": 64, "micro_shards": 4, "warmup_share": 0.1, "decay_share": 0.3},
    "evaluate": {"prompts": ["the "], "sample_tokens": 4},
}  # fmt: skip
WORDS = ["the", "model", "of", "a", "company", "learns", "from", "its", "own", "text", "every", "night"]


@dataclass(frozen=True)
class Workspace:
    """Where the artifacts are, and what runs on them."""

    root: Path
    params: Params

    def settings(self, **values) -> Settings:
        return Settings(workspace=self.root, device="cpu", **values)

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    def set_training(self, *, blueprint: dict | None = None, **values) -> "Workspace":
        """The same with another blueprint."""
        changed = {"train": TINY["train"] | values, "blueprint": TINY["blueprint"] | (blueprint or {})}
        return make(self.root, TINY | changed)


def make(root: Path, values: dict) -> Workspace:
    workspace = Workspace(root, parse(values))
    blueprint = Blueprint.make(workspace.params)
    write_json(workspace.artifacts / "blueprint" / BLUEPRINT_FILE, blueprint.model_dump(mode="json"))
    write_json(workspace.artifacts / "discover" / "base.json", {})
    return workspace


def write_documents(artifacts: Path, texts: list[str], *, held_out: int) -> None:
    """`validate`, `tokenizer` and `pack` as those steps would leave them; the last `held_out` texts are held out."""
    rows = [
        {"id": hashlib.sha256(f"doc{i}".encode()).hexdigest()[:32], "uri": f"docs/{i}.txt", "group": f"g{i % 5}",
         "text": text, "split": "held_out" if i >= len(texts) - held_out else "train"}
        for i, text in enumerate(texts)
    ]  # fmt: skip
    table = pl.DataFrame(rows).sort("id")
    for name in ("validate", "tokenizer", "pack"):
        (artifacts / name).mkdir(parents=True)
    for digit in "0123456789abcdef":
        bucket = table.filter(pl.col("id").str.starts_with(digit)).drop("split")
        bucket.write_parquet(artifacts / "validate" / f"part-{digit}.parquet")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(artifacts / "tokenizer" / "tokenizer.json"))
    pieces = []
    for split, name in (("train", "shard"), ("held_out", "held_out")):
        part, offset, stream, index = table.filter(pl.col("split") == split), 0, [], []
        for row in part.iter_rows(named=True):
            ids = [*tokenizer.encode(row["text"], add_special_tokens=False).ids, 0]
            stream += ids
            index.append({**{k: row[k] for k in ("id", "uri", "group", "split")}, "offset": offset,
                          "tokens": len(ids), "bytes": len(row["text"].encode())})  # fmt: skip
            offset += len(ids)
        pieces.append(write_piece(artifacts / "pack", split, name, stream, pl.DataFrame(index)))
    write_pieces(artifacts / "pack", pieces)
    held = table.filter(pl.col("split") == "held_out").drop("split")
    held.write_parquet(artifacts / "pack" / "held_out.parquet")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    rng = random.Random(1)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(20, 60))) for _ in range(40)]
    write_documents(tmp_path / "artifacts", texts, held_out=8)
    return make(tmp_path, TINY)


@pytest.fixture
def one_thread():
    """What a worker on a CPU computes with."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
