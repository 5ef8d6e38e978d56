"""A manifest -> where it breaks the schema that compose, Kubernetes or KubeRay publish for it."""

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator
from referencing import Registry, Resource

# The oldest and the newest Kubernetes that we say the manifests are for; strict: unknown keys are refused.
KUBERNETES = ("1.30", "1.37")
_DEFINITIONS = "_definitions.json"


def compose_problems(document: dict[str, Any]) -> list[str]:
    """What the compose specification's schema says against compose.yaml."""
    return _problems("compose.yaml", _compose(), document)


def object_problems(each: dict[str, Any], version: str) -> list[str]:
    """What the schema of its kind says against an object; a kind without a schema is a problem too."""
    name = f"{each.get('kind')}/{each.get('metadata', {}).get('name')}"
    try:
        validator = _kind(str(each.get("kind")), str(each.get("apiVersion")), version)
    except FileNotFoundError:
        return [f"{name}: Kubernetes {version} has no kind {each.get('kind')} in {each.get('apiVersion')}"]
    return _problems(name, validator, each)


def _problems(name: str, validator: Validator, document: Any) -> list[str]:
    return [f"{name}: {error.json_path}: {error.message}" for error in validator.iter_errors(document)]


@cache
def _compose() -> Validator:
    schema = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    return Draft202012Validator(json.loads(schema.read_text()))


@cache
def _definitions(version: str) -> Registry:
    definitions = Resource.from_contents(json.loads((_folder(version) / _DEFINITIONS).read_text()))
    return Registry().with_resources([(_DEFINITIONS, definitions)]).crawl()


@cache
def _kind(kind: str, api_version: str, version: str) -> Validator:
    if kind == "RayCluster":
        schema = json.loads(Path(__file__).with_name("raycluster.json").read_text())
    else:
        group, _, number = api_version.rpartition("/")
        file = "-".join(filter(None, [kind.lower(), group.split(".")[0], number]))
        schema = json.loads((_folder(version) / f"{file}.json").read_text())
    return Draft202012Validator(schema, registry=_definitions(version))


def _folder(version: str) -> Any:
    return files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}.0-local-strict"
