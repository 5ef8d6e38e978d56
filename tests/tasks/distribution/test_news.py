"""What is new since a release: nothing, or sources, params, contracts and code by name."""

import hashlib
import json

import pytest
from ruamel.yaml import YAML

from infra.releases import Registry, champion
from infra.signed_log import Summary
from tasks import params as params_file
from tasks.distribution import registry as writing
from tasks.distribution.news import news
from tasks.report import sha256_of, write_json

NAME = "docs"
PARAMS = "blueprint:\n  preset: nano\ndiscover:\n  sources: [docs]\n  base: null\n"
GRAPH = {
    "stages": {
        "validate": {
            "cmd": "v",
            "deps": ["artifacts/dedup", "data_contracts/documents.odcs.yaml", "tasks/validate.py"],
        },
        "train": {"cmd": "t", "deps": ["artifacts/pack", "tasks/train.py"]},
    }
}


class Night:
    """A workspace as `discover` leaves it, and releases made of what it was then."""

    def __init__(self, settings):
        self.settings, self.root = settings, settings.workspace
        for name in ("tasks/train.py", "tasks/validate.py", "data_contracts/documents.odcs.yaml", "README.md"):
            self.write(name, name)
        self.write("params.yaml", PARAMS)
        self.graph(GRAPH)
        self.look("one file")

    def write(self, name, text):
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def graph(self, graph):
        with (self.root / "dvc.yaml").open("w") as file:
            YAML().dump(graph, file)

    def look(self, manifest, base=None):
        self.write("artifacts/discover/sources.jsonl", manifest + "\n")
        write_json(self.root / "artifacts/discover/base.json", base or {})
        write_json(self.root / "artifacts/discover/champion.json", champion(self.settings, NAME))

    def release(self, number, *, decision="promote", base=None, beaten=None):
        stages = {
            step: {"cmd": stage["cmd"], "deps": [
                {"path": dep, "md5": hashlib.md5((self.root / dep).read_bytes()).hexdigest()}
                if not dep.startswith("artifacts/") else {"path": dep, "md5": "0" * 32}
                for dep in stage["deps"]
            ]} for step, stage in GRAPH["stages"].items()
        }  # fmt: skip
        record = {
            "manifest": {"sha256": sha256_of(self.root / "artifacts/discover/sources.jsonl"), "sources": 1},
            "params": (self.root / "params.yaml").read_text(),
            "dvc_lock": json.dumps({"schema": "2.0", "stages": stages}),
            "base": base or {},
            "verdict": {
                "decision": decision, "reasons": ["so it is"], "champion": {"version": beaten} if beaten else None,
            },
        }  # fmt: skip
        registry, key = Registry.of(self.settings), writing.signing_key(self.settings.keys)
        digests = dict.fromkeys(("weights_sha256", "tokenizer_sha256", "held_out_sha256"), "0" * 64)
        made, _ = writing.add_release(
            registry, key, NAME, identity=f"{number:064x}", files={},
            record=writing.put_bytes(registry, json.dumps(record).encode()),
            summary=Summary(**digests, decision=decision),
        )  # fmt: skip
        if decision == "promote":
            now = registry.log(NAME).aliases.get("champion")
            writing.set_alias(registry, key, NAME, "champion", made.version, expected=now)
        write_json(self.root / "artifacts/discover/champion.json", champion(self.settings, NAME))


@pytest.fixture
def night(settings):
    return Night(settings)


def test_without_a_release_all_is_new(night):
    found = news(night.settings)
    assert found.made_before == ""
    assert found.items == ("there is no champion yet",)


def test_the_champions_own_inputs_are_no_news_whatever_the_base_and_the_readme(night):
    night.release(1)
    night.write("README.md", "other words")
    params_file.override(night.root / "params.yaml", [("discover.base", "champion")])
    assert news(night.settings).made_before == "docs@v1, the champion, was made of exactly this"


@pytest.mark.parametrize(
    ("change", "item"),
    [
        (lambda night: night.look("two files"), "sources: 1 files, of other bytes"),
        (lambda night: night.write("params.yaml", PARAMS + "train:\n  seed: 7\n"), "params: train.seed"),
        (lambda night: night.write("tasks/train.py", "new code"), "code: tasks/train.py"),
        (lambda night: night.write("data_contracts/documents.odcs.yaml", "new"), "contracts: data_contracts/documents"),
        (lambda night: night.graph({"stages": {"train": GRAPH["stages"]["train"]}}), "code: step validate"),
    ],
)
def test_each_change_is_named(night, change, item):
    night.release(1)
    change(night)
    found = news(night.settings)
    assert found.made_before == ""
    assert len(found.items) == 1
    assert found.items[0].startswith(item)


def test_what_was_refused_would_be_refused_again(night):
    night.release(1)
    night.look("two files", base={"ref": "docs@v1"})
    night.release(2, decision="refuse", base={"ref": "docs@v1"}, beaten=1)
    assert news(night.settings).made_before == "docs@v2 was made of exactly this, and the gate said refuse: so it is"


def test_from_another_base_or_against_another_champion_it_is_another_night(night):
    night.release(1)
    night.look("two files", base={"ref": "docs@v1"})
    night.release(2, decision="refuse", base={}, beaten=1)
    assert news(night.settings).items == ("sources: 1 files, of other bytes than its 1",)
    night.release(3, decision="refuse", base={"ref": "docs@v1"}, beaten=7)
    assert news(night.settings).made_before == ""
