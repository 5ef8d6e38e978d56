"""A registry with tiny releases; and what steps leave, as small as can be: a random model, its tokenizer, its data."""

import hashlib
import shutil

import numpy as np
import polars as pl
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from data_contracts.pieces import Stream, read_index, write_pieces
from infra.releases import Registry, champion
from infra.settings import Settings
from infra.signed_log import Summary
from tasks.distribution import registry as registry_module
from tasks.params import parse
from tasks.report import Report, read_json, sha256_of, write_json
from tests.packed import write_piece

NAME = "novels"


class Publisher:
    """Publishes the smallest release that has all parts of a real one."""

    def __init__(self, settings):
        self.settings = settings

    def summary(self, text):
        digest = hashlib.sha256(text.encode()).hexdigest()
        digests = dict.fromkeys(("weights_sha256", "tokenizer_sha256", "held_out_sha256"), digest)
        return Summary(**digests, bits_per_byte=2.0, decision="ask")

    def release(self, text="one", *, registry=None, name=NAME):
        """A release whose files are made from `text`, as candidate; (release, whether it is new)."""
        registry = registry or Registry.of(self.settings)
        key = registry_module.signing_key(self.settings.keys)
        folder = self.settings.state / "export"
        (folder / "pictures").mkdir(parents=True, exist_ok=True)
        contents = {
            "config.json": "{}",
            "model.safetensors": f"weights {text}",
            "pictures/curve.png": f"png {text}",
        }
        for path, content in contents.items():
            (folder / path).write_text(content)
        files = {path: registry_module.put_file(registry, folder / path) for path in contents}
        record = registry_module.put_bytes(registry, f'{{"made_of": "{text}"}}'.encode())
        release, new = registry_module.add_release(
            registry,
            key,
            name,
            identity=hashlib.sha256(text.encode()).hexdigest(),
            files=files,
            record=record,
            summary=self.summary(text),
        )
        registry_module.advance_alias(registry, key, name, "candidate", release.version)
        return release, new


@pytest.fixture
def settings(tmp_path):
    """Settings of a workspace of its own."""
    return Settings(workspace=tmp_path / "workspace")


@pytest.fixture
def publisher(settings):
    """Publishes into that workspace's registry."""
    return Publisher(settings)


TEXTS = [
    "def add(a, b):\n    return a + b\n",
    "The café ☕ is open. <|endoftext|> is no end here.\n",
    "class Stack:\n    def push(self, item):\n        self.items.append(item)\n",
] * 4

SHAPE = {
    "sequence_length": 32, "width": 32, "n_layers": 3, "n_dense_layers": 1, "n_heads": 2, "q_lora_rank": 16,
    "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8, "dense_ffn_width": 64,
    "expert_ffn_width": 16, "n_experts": 4, "top_k": 2, "n_shared_experts": 1, "n_groups": 1, "top_k_groups": 1,
    "routed_scaling_factor": 1.0, "rope_theta": 10_000.0, "norm_eps": 1e-6,
}  # fmt: skip
VOCABULARY = 300


class Trained:
    """Outputs of the steps up to evaluate."""

    def __init__(self, settings, params):
        self.settings, self.params, self.artifacts = settings, params, settings.artifacts
        self.blueprint()
        self.data()
        self.weights(seed=1)
        self.evaluation(bits_per_character=2.0)

    def folder(self, step):
        folder = self.artifacts / step
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def blueprint(self):
        from tasks.algorithm import blueprint

        blueprint.run(self.params, self.settings, self.folder("blueprint")).write(self.folder("blueprint"))

    def tokenizer(self):
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=["<|endoftext|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        made.train_from_iterator(TEXTS, trainer)
        made.save(str(self.folder("tokenizer") / "tokenizer.json"))
        Report(step="tokenizer", facts={"vocab_size": made.get_vocab_size()}).write(self.folder("tokenizer"))
        made.encode_special_tokens = True
        return made

    def data(self):
        made = self.tokenizer()
        tokens = [[*made.encode(text, add_special_tokens=False).ids, 0] for text in TEXTS]
        starts = np.cumsum([0, *map(len, tokens)])
        rows = [
            {"id": f"{n:032x}", "uri": f"u{n}", "group": f"g{n % 3}", "split": "held_out", "offset": int(starts[n]),
             "tokens": len(tokens[n]), "bytes": len(text.encode())}
            for n, text in enumerate(TEXTS)
        ]  # fmt: skip
        pack = self.folder("pack")
        piece = write_piece(pack, "held_out", "held_out", np.concatenate(tokens), pl.DataFrame(rows))
        write_pieces(pack, [piece])
        texts = pl.DataFrame(rows).select("id", "uri", "group").with_columns(text=pl.Series(TEXTS))
        texts.write_parquet(pack / "held_out.parquet")
        counts = {"documents": len(TEXTS), "tokens": int(starts[-1]), "bytes": sum(row["bytes"] for row in rows)}
        once = {"distinct_tokens": counts["tokens"] - 100, "distinct_bytes": counts["bytes"] - 400}
        source = {"documents": 20, "left_out": 0, "tokens": 1_500, "distinct_tokens": 1_500, "trained_tokens": 3_000,
                  "weight": 2.0, "epochs": 2.0, "share": 0.75}  # fmt: skip
        facts = {"train": {**counts, **once}, "held_out": counts, "sources": {"novels": source}}
        Report(step="pack", facts=facts).write(pack)
        for step in ("ingest", "clean", "privacy", "dedup", "validate"):
            counts = {"rows_in": 20, "rows_out": 18, "rows_rejected": 2}
            facts = {"replaced": {"email": {"a": 2, "b": 1}, "api_key": {}}} if step == "privacy" else {}
            Report(step=step, reasons={"too_short": 2}, facts=facts, **counts).write(self.folder(step))
        pl.DataFrame({"licence": ["MIT", "MIT", "PSF-2.0"]}).write_parquet(self.folder("validate") / "part-0.parquet")

    def weights(self, seed):
        from tasks.algorithm.blueprint import Blueprint
        from tasks.algorithm.model import Model, save_weights

        model = Model(Blueprint.read(self.folder("blueprint")).shape)
        model.init_weights(seed)
        save_weights(model.state_dict(), self.folder("train") / "model.safetensors")
        (self.folder("train") / "curves.png").write_bytes(b"png")
        Report(step="train", facts={"steps": 5, "tokens": 1000}, pictures=("curves.png",)).write(self.folder("train"))
        return model

    def evaluation(self, *, bits_per_character):
        texts = read_index(self.folder("pack"), "held_out")
        documents = texts.select("id", "uri", "group", "bytes", bits=pl.col("bytes") * float(bits_per_character))
        documents.write_parquet(self.folder("evaluate") / "documents.parquet")
        samples = [{"prompt": "def ", "text": "def add(a, b):\n```\n    return a"}]
        write_json(self.folder("evaluate") / "samples.json", samples)
        facts = {"bits_per_byte": bits_per_character, "byte_3gram": 2.64, "byte_5gram": 1.92, "xz": 2.0}
        Report(step="evaluate", facts=facts).write(self.folder("evaluate"))


@pytest.fixture
def params():
    """A model of a few thousand weights."""
    return parse(
        {
            "blueprint": {"preset": "nano", **SHAPE},
            "tokenizer": {"vocab_size": VOCABULARY},
            "train": {"tokens": 1024, "batch_tokens": 128, "micro_shards": 4},
            "discover": {"sources": ["python:stdlib", "novels"], "name": NAME},
            "gate": {"min_documents": 5, "resamples": 500},
        }
    )


@pytest.fixture
def trained(settings, params):
    """All that export and gate read."""
    return Trained(settings, params)


class Gated:
    """Releases what the steps left, and runs the gate."""

    def __init__(self, trained):
        self.trained, self.settings, self.params = trained, trained.settings, trained.params
        write_json(trained.folder("discover") / "champion.json", {})

    def release(self, name="novels"):
        """Make what is there the champion, and pin it as discover does."""
        from tasks.algorithm.blueprint import Blueprint
        from tasks.algorithm.model import load_weights
        from tasks.distribution.export import write_model

        artifacts, out = self.settings.artifacts, self.trained.folder("export")
        shape = Blueprint.read(artifacts / "blueprint").shape
        write_model(load_weights(shape, artifacts / "train" / "model.safetensors"), shape, self.params, out)
        for step, file in (("tokenizer", "tokenizer.json"), ("blueprint", "blueprint.json")):
            shutil.copyfile(artifacts / step / file, out / file)
        opened, key = Registry.of(self.settings), registry_module.signing_key(self.settings.keys)
        summary = Summary(
            weights_sha256=sha256_of(artifacts / "train" / "model.safetensors"),
            tokenizer_sha256=sha256_of(artifacts / "tokenizer" / "tokenizer.json"),
            held_out_sha256=sha256_of(artifacts / "pack" / "held_out.parquet"),
            decision="promote",
        )
        release, _ = registry_module.add_release(
            opened, key, name, identity=summary.weights_sha256, summary=summary,
            files={path.name: registry_module.put_file(opened, path) for path in out.iterdir()},
            record=registry_module.put_bytes(opened, b"{}"),
        )  # fmt: skip
        now = opened.log(name).aliases.get("champion")
        registry_module.set_alias(opened, key, name, "champion", release.version, expected=now)
        self.pinned = champion(self.settings, name)
        write_json(self.trained.folder("discover") / "champion.json", self.pinned)
        return release

    def run(self):
        out = self.trained.folder("gate")
        from tasks.distribution import gate

        report = gate.run(self.params, self.settings, out)
        assert report.facts == read_json(out / "verdict.json")
        assert (out / "gate.png").read_bytes().startswith(b"\x89PNG")
        return report.facts

    def judge_own_weights(self):
        """What evaluate does."""
        from tasks.algorithm.blueprint import Blueprint
        from tasks.algorithm.model import load_weights
        from tasks.algorithm.scoring import document_bits

        artifacts = self.settings.artifacts
        index, stream = read_index(artifacts / "pack", "held_out"), Stream(artifacts / "pack", "held_out")
        tokens = [stream[o : o + n - 1] for o, n in index.select("offset", "tokens").rows()]
        model = load_weights(Blueprint.read(artifacts / "blueprint").shape, artifacts / "train" / "model.safetensors")
        bits = pl.Series("bits", document_bits(model, tokens))
        index.select("id", "uri", "group", "bytes", bits).write_parquet(artifacts / "evaluate" / "documents.parquet")
        return bits


@pytest.fixture
def gated(trained):
    """What steps left, a registry, the gate."""
    return Gated(trained)
