"""A workspace of files, and steps run in it as `python -m tasks STEP` runs them."""

import importlib
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from infra.settings import Settings
from tasks.big_data import documents, sides, split
from tasks.big_data.evaluation import pin
from tasks.big_data.sources import Digests
from tasks.params import Params
from tasks.report import Report, step_output, write_json
from tests.tables import Document, write_all


class Workspace:
    """Sources below one folder, params, and the steps of the big-data stage."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.values: dict[str, dict] = {"blueprint": {"preset": "nano"}, "discover": {"sources": ["docs"]}}

    def file(self, name: str, content: str | bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def set(self, **sections: dict) -> None:
        for section, values in sections.items():
            self.values[section] = {**self.values.get(section, {}), **values}

    @property
    def params(self) -> Params:
        return Params.model_validate(self.values)

    def settings(self, **values) -> Settings:
        return Settings(workspace=self.root, **values)

    def out(self, step: str) -> Path:
        return self.root / "artifacts" / step

    def run(self, *steps: str, **settings) -> Report:
        """Report of the last step."""
        for step in steps:
            module = importlib.import_module(f"tasks.big_data.{step}")
            with step_output(self.root / "artifacts", step) as out:
                report: Report = module.run(self.params, self.settings(**settings), out)
                report.write(out)
        return report

    def bytes_of(self, step: str) -> dict[str, bytes]:
        """Every file that a step left, by name."""
        folder = self.out(step)
        return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}

    def put(self, step: str, texts: dict[str, str]) -> None:
        """Make a step's output from texts by uri, as if the steps before had run."""
        rows = [
            Document(documents.document_id(uri), uri, "docs", uri, "MIT", "", "", text, documents.digest_of(text))
            for uri, text in texts.items()
        ]
        table = pl.DataFrame(rows, schema=documents.SCHEMA, orient="row")
        write_all(self.out(step), table, documents.REJECTED_SCHEMA.to_frame())
        write_json(self.out("discover") / "base.json", {})
        self.put_evaluations({})
        if step == "validate":
            self.put_sides(table["id"])

    def put_evaluations(self, texts: dict[str, list[str]]) -> None:
        """Pin evaluations by file, as if `discover` had looked at them."""
        for name, rows in texts.items():
            self.file(name, "".join(f"{json.dumps({'text': text})}\n" for text in rows))
        settings = self.settings()
        pin(tuple(texts), settings, Digests(settings), self.out("discover"))

    def put_sides(self, ids: pl.Series) -> None:
        """Decide sides of documents, as if `dedup` had run."""
        scores = np.array([split.score(id_) for id_ in ids], dtype=np.uint64)
        held_out = split.choose(scores, self.params.pack, np.ones(len(scores), np.bool_))
        self.out("dedup").mkdir(parents=True, exist_ok=True)
        sides.write_sides(self.out("dedup") / sides.SIDES_FILE, [(ids, held_out)])

    def held_out(self) -> frozenset[str]:
        """Ids that `dedup` put on the side of held-out ones."""
        table = pl.read_parquet(self.out("dedup") / sides.SIDES_FILE)
        return frozenset(table.filter(pl.col("side") == sides.HELD_OUT)["id"])

    def texts(self, step: str) -> dict[str, str]:
        """Accepted texts by uri."""
        return dict(documents.read(self.out(step), ["uri", "text"]).iter_rows())

    def reasons(self, step: str) -> dict[str, list[str]]:
        """Reasons of rejected rows by uri."""
        return dict(documents.read_rejected(self.out(step)).select("uri", "reasons").iter_rows())


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def make_workspace(tmp_path_factory: pytest.TempPathFactory):
    """New workspaces, for tests that compare two or draw many."""
    return lambda: Workspace(tmp_path_factory.mktemp("workspace"))
