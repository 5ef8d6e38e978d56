"""infra/ -> its manifests as objects: compose services, what kustomize would make of a folder, all their containers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonpatch
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
FOLDERS = ("base", "gpu")

Object = dict[str, Any]


@dataclass(frozen=True)
class Container:
    """One container of compose.yaml or of a pod: what must agree with the others."""

    where: str
    image: str
    command: tuple[str, ...]
    # Values that are written down; None where a secret or a ConfigMap gives it.
    environment: dict[str, str | None]
    mounts: tuple[str, ...]


def read_all(path: Path) -> list[Any]:
    """Documents of a YAML file, with its anchors and merges resolved."""
    return [_plain(document) for document in YAML(typ="safe").load_all(path.read_text())]


def compose() -> Object:
    """infra/compose.yaml."""
    [document] = read_all(INFRA / "compose.yaml")
    return document


def render(folder: Path) -> list[Object]:
    """Objects that kustomize makes of a folder, as far as its folders here ask: resources and JSON patches.

    Raises:
        ValueError: the folder asks for more, or a patch hits nothing.
    """
    [kustomization] = read_all(folder / "kustomization.yaml")
    unknown = kustomization.keys() - {"apiVersion", "kind", "namespace", "resources", "patches"}
    if unknown:
        raise ValueError(f"{folder}: this renders resources and patches, found {sorted(unknown)}; teach it here")
    objects: list[Object] = []
    for name in kustomization["resources"]:
        path = folder / name
        objects += render(path) if path.is_dir() else read_all(path)
    for patch in kustomization.get("patches", []):
        [operations] = read_all(folder / patch["path"])
        patched(objects, patch["target"], operations)
    return objects


def patched(objects: list[Object], target: Object, operations: list[Object]) -> None:
    """Change the object that a kustomize patch is for, in its place.

    Raises:
        ValueError: there is no such object.
        jsonpatch.JsonPatchException: it has not what is to be replaced.
    """
    names = [(each["kind"], each["metadata"]["name"]) for each in objects]
    position = names.index((target["kind"], target["name"]))
    objects[position] = jsonpatch.apply_patch(objects[position], operations)


def not_listed(folder: Path) -> list[str]:
    """Files of a kustomize folder that its kustomization does not name, and names without a file."""
    [kustomization] = read_all(folder / "kustomization.yaml")
    listed = [*kustomization["resources"], *(patch["path"] for patch in kustomization.get("patches", []))]
    files = {path.name for path in folder.iterdir()} - {"kustomization.yaml"}
    missing = [f"{folder.name}: {name} is listed and not there" for name in listed if not (folder / name).exists()]
    return missing + [f"{folder.name}: {name} is not listed" for name in sorted(files - set(listed))]


def of_kind(objects: list[Object], kind: str) -> dict[str, Object]:
    """Objects of a kind, by name."""
    return {each["metadata"]["name"]: each for each in objects if each["kind"] == kind}


def pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Name and template of all pods that the objects make."""
    for each in objects:
        name = f"{each['kind']}/{each['metadata']['name']}"
        if each["kind"] == "RayCluster":
            yield f"{name}/head", each["spec"]["headGroupSpec"]["template"]
            for group in each["spec"]["workerGroupSpecs"]:
                yield f"{name}/{group['groupName']}", group["template"]
        elif "template" in each.get("spec", {}):
            yield name, each["spec"]["template"]


def containers_of_compose(document: Object) -> list[Container]:
    """Containers of compose.yaml."""
    return [
        Container(
            where=f"compose/{name}",
            image=service["image"],
            command=tuple(service.get("command", ())),
            environment=service.get("environment", {}),
            mounts=tuple(volume.split(":")[1] for volume in service.get("volumes", ())),
        )
        for name, service in document["services"].items()
    ]


def containers_of_pods(objects: list[Object]) -> list[Container]:
    """Containers of all pods, with what their ConfigMaps give them."""
    maps = of_kind(objects, "ConfigMap")
    found = []
    for name, template in pods(objects):
        for container in template["spec"]["containers"]:
            environment: dict[str, str | None] = {}
            for source in container.get("envFrom", []):
                environment |= maps.get(source["configMapRef"]["name"], {}).get("data", {})
            for variable in container.get("env", []):
                environment[variable["name"]] = _value(variable, maps)
            found.append(
                Container(
                    where=f"{name}/{container['name']}",
                    image=container["image"],
                    command=tuple(container.get("args", ())),
                    environment=environment,
                    mounts=tuple(mount["mountPath"] for mount in container.get("volumeMounts", ())),
                )
            )
    return found


def locked_version(package: str) -> str:
    """Exact version of a package in requirements.lock."""
    [version] = re.findall(rf"^{re.escape(package)}==(.+)$", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    return version


def _value(variable: Object, maps: dict[str, Object]) -> str | None:
    reference = variable.get("valueFrom", {}).get("configMapKeyRef")
    if reference:
        return maps.get(reference["name"], {}).get("data", {}).get(reference["key"])
    return variable.get("value")


def _plain(value: Any) -> Any:
    """Dicts, lists and scalars; a dict that two places share becomes two."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value
