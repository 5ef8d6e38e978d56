"""dvc.yaml, params.yaml, modules and flows use one word a step, and a step's deps name the code it runs."""

import functools
import re
from pathlib import Path

import grimp
import pytest
from ruamel.yaml import YAML

from tasks import params
from tasks.__main__ import STEPS

ROOT = Path(__file__).parents[2]
ROOMS = ("flows", "tasks", "infra", "data_contracts")
# In every step's import closure, yet unable to change what it writes.
NO_IDENTITY = {
    "infra.settings": "whereabouts",
    "tasks.progress": "says how far a step is",
}


@functools.cache
def stages() -> dict[str, dict]:
    return YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]


@functools.cache
def imports() -> grimp.ImportGraph:
    return grimp.build_graph(*ROOMS)


def code_of(step: str) -> set[str]:
    module = f"tasks.{STEPS[step]}.{step}"
    closure = imports().find_upstream_modules(module) | {module}
    files = {ROOT / f"{name.replace('.', '/')}.py" for name in closure - NO_IDENTITY.keys()}
    return {path.relative_to(ROOT).as_posix() for path in files if path.is_file()}


def test_steps_are_the_same_everywhere():
    assert list(stages()) == list(STEPS)
    assert all((ROOT / "tasks" / stage / f"{step}.py").is_file() for step, stage in STEPS.items())
    assert set(params.Params.model_fields) <= set(STEPS)
    assert set(YAML(typ="safe").load((ROOT / "params.yaml").read_text())) == set(params.Params.model_fields)


@pytest.mark.parametrize("stage", sorted(set(STEPS.values())))
def test_a_stages_flow_runs_its_steps_in_the_graphs_order(stage: str):
    said = re.findall(r'run_step\("(\w+)"', (ROOT / "flows" / f"{stage}.py").read_text())
    assert said == [step for step, its_stage in STEPS.items() if its_stage == stage]


@pytest.mark.parametrize("step", [step for step in STEPS if step != "discover"])
def test_deps_name_the_code_a_step_runs(step: str):
    assert {dep for dep in stages()[step]["deps"] if dep.endswith(".py")} == code_of(step)


@pytest.mark.parametrize("step", STEPS)
def test_a_step_reads_only_what_steps_before_it_wrote(step: str):
    before = list(STEPS)[: list(STEPS).index(step)]
    read = {dep.split("/")[1] for dep in stages()[step].get("deps", []) if dep.startswith("artifacts/")}
    assert read <= set(before)


@pytest.mark.parametrize("step", STEPS)
def test_deps_name_every_output_that_the_code_opens(step: str):
    opened = set()
    for path in code_of(step):
        if path.startswith("tasks/"):
            opened |= set(re.findall(r'artifacts / "(\w+)"', (ROOT / path).read_text()))
    declared = {dep.split("/")[1] for dep in stages()[step].get("deps", []) if dep.startswith("artifacts/")}
    assert opened - {step} <= declared


@pytest.mark.parametrize("step", STEPS)
def test_a_step_depends_on_its_own_params(step: str):
    named = {str(item).split(".")[0] for item in stages()[step].get("params", [])}
    if step in params.Params.model_fields:
        assert step in named
    assert named <= set(params.Params.model_fields)


def test_the_readme_names_every_module():
    readme = (ROOT / "README.md").read_text()
    modules = [path for room in ROOMS for path in (ROOT / room).rglob("*.py") if path.name != "__init__.py"]
    assert [path.name for path in modules if path.name not in readme and path.parent.name != "data_contracts"] == []
