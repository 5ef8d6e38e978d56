"""Manifests -> what they must agree on and do not: names, ports, settings, versions, references, secrets."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from prefect.settings import Settings as PrefectSettings

from infra.settings import PREFIX, Settings, SettingsError
from tests.infra.manifests import INFRA, Container, Object, of_kind, pods

OURS = "abcd"
# Variables that are neither ours nor Prefect's, by who reads them.
_OTHERS = {
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION",  # botocore
    "RAY_AUTH_TOKEN",  # Ray
    "POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD", "PGDATA",  # the postgres image
}  # fmt: skip
_SECRET = re.compile(r"(PASSWORD|TOKEN|AUTH_STRING|SECRET|SECRET_ACCESS_KEY|NOTIFY)$")
_FROM_OUTSIDE = re.compile(r"(abcd:)?\$\{[A-Z0-9_]+(:\?[^}]*)?\}")
_ADDRESS = re.compile(r"^(?:\w+://)?([a-z0-9.-]+):(\d+)(?:/|$)")


def image_problems(containers: list[Container], version: str) -> list[str]:
    """Our image has the project's version everywhere, others an exact one."""
    problems = []
    for each in containers:
        name, _, tag = each.image.rpartition(":")
        if name == OURS and tag != version:
            problems.append(f"{each.where}: image {each.image}, expected {OURS}:{version}")
        elif not re.match(r"\d+\.\d+", tag):
            problems.append(f"{each.where}: image {each.image} has no exact version")
    return problems


def role_problems(containers: list[Container]) -> list[str]:
    """Our image runs in a role that entrypoint.sh has."""
    roles = set(re.findall(r"^  ([a-z-]+)\)", _entrypoint(), re.MULTILINE))
    return [
        f"{each.where}: role {each.command}, entrypoint.sh has {sorted(roles)}"
        for each in containers
        if each.image.startswith(f"{OURS}:") and not (len(each.command) == 1 and each.command[0] in roles)
    ]


def variable_problems(containers: list[Container]) -> list[str]:
    """Every variable is one that somebody reads, with a value that is allowed."""
    problems = []
    for each in containers:
        for name, value in each.environment.items():
            if name.startswith(PREFIX):
                problems += [f"{each.where}: {problem}" for problem in _setting_problems(name, value)]
            elif name not in _OTHERS | prefect_variables() and not re.search(rf"\b{name}\b", _entrypoint()):
                problems.append(f"{each.where}: nobody reads {name}")
    return problems


def secret_problems(containers: list[Container], objects: list[Object]) -> list[str]:
    """No secret's value is written down."""
    written = [f"{each['metadata']['name']}: a Secret is written down" for each in objects if each["kind"] == "Secret"]
    for each in containers:
        for name, value in each.environment.items():
            if _SECRET.search(name) and value is not None and not _FROM_OUTSIDE.fullmatch(value):
                written.append(f"{each.where}: {name} has its value written down")
    return written


def address_problems(containers: list[Container], listeners: dict[str, set[int]]) -> list[str]:
    """Every address that a variable names is one that somebody listens on."""
    problems = []
    for each in containers:
        for name, value in each.environment.items():
            found = _ADDRESS.match(value or "")
            if found and not (found[1] == "127.0.0.1" and name == "PREFECT_SERVER_UI_API_URL"):
                host, port = found[1], int(found[2])
                if port not in listeners.get(host, set()):
                    problems.append(f"{each.where}: {name} is {value}, where nobody listens; {listeners}")
    return problems


def compose_listeners(document: Object) -> dict[str, set[int]]:
    """Ports of compose services that something proves: a health check or a published port."""
    found = {}
    for name, service in document["services"].items():
        said = " ".join(map(str, [*service.get("healthcheck", {}).get("test", []), *service.get("ports", [])]))
        found[name] = {int(port) for port in re.findall(r"\b\d{4,5}\b", said)}
    return found


def compose_problems(document: Object) -> list[str]:
    """Ports are this machine's alone; who is waited for can say that it is ready."""
    problems = []
    for name, service in document["services"].items():
        for port in service.get("ports", []):
            if not str(port).startswith("127.0.0.1:"):
                problems.append(f"compose/{name}: port {port} is open to other machines")
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy" and "healthcheck" not in document["services"][other]:
                problems.append(f"compose/{name}: waits for the health of {other}, which has no health check")
    return problems


def service_listeners(objects: list[Object]) -> dict[str, set[int]]:
    """Ports of Services, and of the one that KubeRay makes for a cluster's head."""
    found = {
        name: {port["port"] for port in each["spec"]["ports"]} for name, each in of_kind(objects, "Service").items()
    }
    for name, each in of_kind(objects, "RayCluster").items():
        found[f"{name}-head-svc"] = _ports(each["spec"]["headGroupSpec"]["template"])
    return found


def network_problems(objects: list[Object]) -> list[str]:
    """Services and policies select pods that are there, and ports that these have."""
    problems = []
    for name, each in of_kind(objects, "Service").items():
        chosen = list(_selected(objects, each["spec"]["selector"]))
        names = {port["name"] for pod in chosen for port in _container_ports(pod)}
        if not chosen:
            problems.append(f"Service/{name}: selects no pod")
        problems += [
            f"Service/{name}: no pod has a port {port['targetPort']}"
            for port in each["spec"]["ports"]
            if chosen and port["targetPort"] not in names
        ]
    for name, each in of_kind(objects, "NetworkPolicy").items():
        chosen = list(_selected(objects, each["spec"]["podSelector"].get("matchLabels", {})))
        if not chosen:
            problems.append(f"NetworkPolicy/{name}: selects no pod")
        for rule in each["spec"].get("ingress", []):
            problems += [
                f"NetworkPolicy/{name}: lets in from no pod"
                for peer in rule["from"]
                if not list(_selected(objects, peer["podSelector"]["matchLabels"]))
            ]
            problems += [
                f"NetworkPolicy/{name}: port {port['port']} is no port of the pods"
                for port in rule.get("ports", [])
                if chosen and not any(port["port"] in _ports(pod) for pod in chosen)
            ]
    if "deny-by-default" not in of_kind(objects, "NetworkPolicy"):
        problems.append("NetworkPolicy/deny-by-default: not there, so that everybody reaches every pod")
    return problems


def reference_problems(objects: list[Object], secrets: dict[str, set[str]]) -> list[str]:
    """ConfigMaps, claims, keys and volumes that pods refer to are there; secrets are those that the guide makes."""
    maps = {name: set(each["data"]) for name, each in of_kind(objects, "ConfigMap").items()}
    claims = set(of_kind(objects, "PersistentVolumeClaim"))
    problems = []
    for name, template in pods(objects):
        spec = template["spec"]
        volumes = {volume["name"] for volume in spec.get("volumes", [])} | _claim_templates(objects, name)
        for volume in spec.get("volumes", []):
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            if claim and claim not in claims:
                problems.append(f"{name}: there is no claim {claim}")
        for container in spec["containers"]:
            for mount in container.get("volumeMounts", []):
                if mount["name"] not in volumes:
                    problems.append(f"{name}: mounts {mount['name']}, which is no volume of the pod")
            for kind, store, key in _references(container):
                known = (maps if kind == "ConfigMap" else secrets).get(store)
                if known is None or (key and key not in known):
                    problems.append(f"{name}: there is no {kind} {store} with {key or 'anything in it'}")
    return problems


def pod_problems(objects: list[Object]) -> list[str]:
    """No pod has root, capabilities, an account of the cluster or variables made of service names."""
    problems = []
    for name, template in pods(objects):
        spec = template["spec"]
        if spec.get("automountServiceAccountToken") is not False:
            problems.append(f"{name}: carries an account's token")
        if not spec.get("securityContext", {}).get("runAsNonRoot") or not spec["securityContext"].get("runAsUser"):
            problems.append(f"{name}: may run as root")
        for container in spec["containers"]:
            security = container.get("securityContext", {})
            if security.get("allowPrivilegeEscalation") is not False or security.get("capabilities") != {
                "drop": ["ALL"]
            }:
                problems.append(f"{name}/{container['name']}: may gain privileges")
            if "memory" not in container.get("resources", {}).get("limits", {}):
                problems.append(f"{name}/{container['name']}: has no memory limit")
            if "livenessProbe" not in container or (
                "readinessProbe" not in container and "startupProbe" not in container
            ):
                problems.append(f"{name}/{container['name']}: says neither that it is ready nor that it lives")
            if container["image"].startswith(f"{OURS}:") and spec.get("enableServiceLinks") is not False:
                problems.append(f"{name}: gets variables made of the names of services")
    return problems


def workspace_problems(containers: list[Container]) -> list[str]:
    """Who runs steps or training sees the workspace at one path."""
    [root] = {each.environment["ABCD_WORKSPACE"] for each in containers if "ABCD_WORKSPACE" in each.environment}
    return [
        f"{each.where}: {root} is in none of its volumes {each.mounts}"
        for each in containers
        if each.command in {("worker",), ("ray-worker",)}
        and not any(str(root).startswith(f"{mount}/") for mount in each.mounts)
    ]


@cache
def prefect_variables() -> frozenset[str]:
    """Names of all variables that Prefect takes as settings."""
    return frozenset(name.upper() for name in _said(PrefectSettings.model_json_schema()))


def _said(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema.get("supported_environment_variables", [])
        for each in schema.values():
            yield from _said(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from _said(each)


def _setting_problems(name: str, value: str | None) -> list[str]:
    field = name.removeprefix(PREFIX).lower()
    if field not in Settings.model_fields:
        return [f"{name} is no setting"]
    try:
        Settings.model_validate({field: value})
    except (ValueError, SettingsError) as error:
        return [f"{name}: {error}"]
    return []


@cache
def _entrypoint() -> str:
    return (INFRA / "entrypoint.sh").read_text()


def _container_ports(template: Object) -> list[Object]:
    return [port for container in template["spec"]["containers"] for port in container.get("ports", [])]


def _ports(template: Object) -> set[int]:
    return {port["containerPort"] for port in _container_ports(template)}


def _selected(objects: list[Object], labels: dict[str, str]) -> Iterator[Object]:
    for _, template in pods(objects):
        if labels.items() <= template["metadata"]["labels"].items():
            yield template


def _references(container: Object) -> Iterator[tuple[str, str, str | None]]:
    for source in container.get("envFrom", []):
        yield "ConfigMap", source["configMapRef"]["name"], None
    for variable in container.get("env", []):
        for kind, field in [("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")]:
            if reference := variable.get("valueFrom", {}).get(field):
                yield kind, reference["name"], reference["key"]


def _claim_templates(objects: list[Object], pod: str) -> set[str]:
    kind, name = pod.split("/")[:2]
    spec = of_kind(objects, kind)[name]["spec"]
    return {claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])}
