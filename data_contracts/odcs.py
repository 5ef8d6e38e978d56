"""A file of the Open Data Contract Standard becomes its library's models, misspelt keys refused.

The models ignore unknown keys silently, and a limit that is not read is a limit that does not hold. The standard: https://bitol-io.github.io/open-data-contract-standard/v3.1.0/
"""

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from open_data_contract_standard.model import OpenDataContractStandard
from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from data_contracts.errors import ContractError

API_VERSIONS = ("v3.1.0",)


def read_odcs(path: Path) -> OpenDataContractStandard:
    """The contract in a file.

    Raises:
        ContractError: the file is missing, no YAML, of another version of the standard, or has keys that it has not.
    """
    try:
        raw = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise ContractError(f"{path} cannot be read as YAML: {error}") from None
    if not isinstance(raw, Mapping):
        raise ContractError(f"{path}: expected a mapping (ODCS), found {type(raw).__name__}")
    misspelt = list(_unknown_keys(raw, OpenDataContractStandard, ()))
    if misspelt:
        raise ContractError(f"{path}: " + "; ".join(misspelt))
    if raw.get("apiVersion") not in API_VERSIONS or raw.get("kind") != "DataContract":
        raise ContractError(
            f"{path}: expected kind: DataContract and apiVersion: {' or '.join(API_VERSIONS)}, "
            f"found {raw.get('kind')!r} and {raw.get('apiVersion')!r}"
        )
    try:
        return OpenDataContractStandard.model_validate(raw)
    except ValidationError as error:
        lines = (f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors())
        raise ContractError(f"{path}: " + "; ".join(lines)) from None


def _unknown_keys(raw: Any, model: type[BaseModel], path: tuple[str, ...]) -> Iterator[str]:
    """Path of every key that the model, or one below it, does not have, with the nearest that it has."""
    if isinstance(raw, list):
        for number, item in enumerate(raw):
            yield from _unknown_keys(item, model, (*path[:-1], f"{path[-1]}[{_label(item, number)}]"))
    if not isinstance(raw, Mapping):
        return
    known = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
    for key, value in raw.items():
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"allowed: {', '.join(sorted(known))}"
            yield f"{'.'.join((*path, str(key)))}: unknown key; {hint}"
            continue
        for inner in _models_in(known[key])[:1]:
            yield from _unknown_keys(value, inner, (*path, str(key)))


def _label(item: Any, number: int) -> str:
    return str(item.get("name", number)) if isinstance(item, Mapping) else str(number)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Models in an annotation such as `list[SchemaProperty] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]
