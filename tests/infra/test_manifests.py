"""compose.yaml and kubernetes/ keep to published schemas and agree among themselves; what is broken is found."""

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest
from prefect.workers.process import ProcessWorker
from ruamel.yaml import YAML

from tests.infra import agreement, schemas
from tests.infra.manifests import (
    FOLDERS,
    INFRA,
    ROOT,
    Container,
    Object,
    compose,
    containers_of_compose,
    containers_of_pods,
    locked_version,
    not_listed,
    of_kind,
    patched,
    pods,
    read_all,
    render,
)

KUBERNETES = INFRA / "kubernetes"
GUIDE = ROOT / "docs" / "operate-cluster.md"
VERSION = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]  # type: ignore[index]


def guide_secrets() -> dict[str, set[str]]:
    """Secrets and their keys as the guide's commands make them."""
    made = re.findall(r"kubectl [^\n]*create secret generic (\S+)((?:[^\n]*\\\n)*[^\n]*)", GUIDE.read_text())
    return {name: set(re.findall(r"--from-(?:literal|file)=([a-z0-9-]+)=", rest)) for name, rest in made}


def shared_problems(containers: list[Container], objects: list[Object]) -> list[str]:
    """What compose and Kubernetes are asked alike."""
    return [
        *agreement.image_problems(containers, VERSION),
        *agreement.role_problems(containers),
        *agreement.variable_problems(containers),
        *agreement.secret_problems(containers, objects),
        *agreement.workspace_problems(containers),
    ]


def compose_says(document: Object) -> list[str]:
    """All that is wrong with a compose file."""
    broken = schemas.compose_problems(document)
    if broken:
        return broken
    containers = containers_of_compose(document)
    listeners = agreement.compose_listeners(document)
    return [
        *shared_problems(containers, []),
        *agreement.address_problems(containers, listeners),
        *agreement.compose_problems(document),
    ]


def kubernetes_says(objects: list[Object], versions: tuple[str, ...] = schemas.KUBERNETES) -> list[str]:
    """All that is wrong with the objects of a cluster."""
    broken = [problem for version in versions for each in objects for problem in schemas.object_problems(each, version)]
    if broken:
        return broken
    containers = containers_of_pods(objects)
    return [
        *shared_problems(containers, objects),
        *agreement.address_problems(containers, agreement.service_listeners(objects)),
        *agreement.network_problems(objects),
        *agreement.reference_problems(objects, guide_secrets()),
        *agreement.pod_problems(objects),
    ]


def test_compose_is_right():
    assert compose_says(compose()) == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_cluster_is_right(folder: str):
    assert kubernetes_says(render(KUBERNETES / folder)) == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_kustomize_is_told_of_every_file(folder: str):
    assert not_listed(KUBERNETES / folder) == []


def test_a_file_that_kustomize_is_not_told_of_is_found(tmp_path):
    (tmp_path / "kustomization.yaml").write_text("resources: [a.yaml]\n")
    (tmp_path / "b.yaml").touch()
    assert not_listed(tmp_path) == [
        f"{tmp_path.name}: a.yaml is listed and not there", f"{tmp_path.name}: b.yaml is not listed",
    ]  # fmt: skip


def test_ray_is_the_locked_one():
    [cluster] = of_kind(render(KUBERNETES / "base"), "RayCluster").values()
    assert cluster["spec"]["rayVersion"] == locked_version("ray")


def test_the_gpu_folder_adds_nodes_that_ask_for_a_gpu():
    base, gpu = (dict(pods(render(KUBERNETES / folder))) for folder in FOLDERS)
    [added] = gpu.keys() - base.keys()
    [container] = gpu[added]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_a_gpu_service_asks_for_one_in_its_profile_alone():
    services = compose()["services"]
    [name] = [name for name, service in services.items() if "profiles" in service]
    [device] = services[name]["deploy"]["resources"]["reservations"]["devices"]
    assert (services[name]["profiles"], device["driver"], device["capabilities"]) == (["gpu"], "nvidia", ["gpu"])


def test_compose_and_cluster_give_the_worker_the_same_settings():
    """But for where the store is and who listens: those are the machine's."""
    here, there = (
        {name for each in containers if each.command == ("worker",) for name in each.environment}
        for containers in (containers_of_compose(compose()), containers_of_pods(render(KUBERNETES / "base")))
    )
    assert here - {"AWS_ENDPOINT_URL"} == there


def test_the_server_finds_its_database(monkeypatch):
    from prefect.settings import Settings

    for containers in (containers_of_compose(compose()), containers_of_pods(render(KUBERNETES / "base"))):
        [server] = [each for each in containers if each.command == ("server",)]
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value or "s3cret/@:")
        found = Settings()
        assert (found.server.api.host, found.server.api.port) == ("0.0.0.0", 4200)
        database = found.server.database
        assert (database.driver, database.host, database.port) == ("postgresql+asyncpg", "postgres", 5432)
        [postgres] = [each for each in containers if each.image.startswith("postgres:")]
        assert database.name == postgres.environment["POSTGRES_DB"]
        assert database.user == postgres.environment["POSTGRES_USER"]


def test_deployments_ask_the_pool_for_what_a_process_pool_has():
    [document] = read_all(ROOT / "prefect.yaml")
    variables = ProcessWorker.get_default_base_job_template()["variables"]["properties"]
    pools = [each["work_pool"] for each in document["deployments"]]
    assert {pool["name"] for pool in pools} == {"abcd"}
    assert {name for pool in pools for name in pool.get("job_variables", {})} <= variables.keys()
    assert "worker start --pool abcd --type process" in (INFRA / "entrypoint.sh").read_text()


def test_the_guide_makes_every_secret_that_compose_asks_for():
    asked = set(re.findall(r"\$\{([A-Z0-9_]+):\?", (INFRA / "compose.yaml").read_text()))
    recipe = re.search(r"```\n(.*?infra/\.env\n)```", GUIDE.read_text(), re.DOTALL)
    assert recipe, "the guide has no recipe for infra/.env"
    assert asked <= set(re.findall(r"[A-Z][A-Z0-9_]{4,}", recipe[1]))
    assert "/infra/.env" in (ROOT / ".gitignore").read_text().split()


def test_the_guides_overlay_changes_what_is_there():
    overlay = re.search(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert overlay, "the guide has no overlay"
    document = YAML(typ="safe").load(overlay[1])
    objects = render(KUBERNETES / "base")
    for patch in document["patches"]:
        patched(objects, patch["target"], YAML(typ="safe").load(patch["patch"]))
    # Its store is outside: everything but that is right.
    [said] = {problem.partition(": ")[2].split(",")[0] for problem in kubernetes_says(objects)}
    assert said == "AWS_ENDPOINT_URL is https://rgw.company:7480"
    assert {image["name"] for image in document["images"]} == {agreement.OURS}


def service(name: str, key: str, value: Any) -> Callable[[Object], None]:
    """A change of one key of a compose service."""
    return lambda document: document["services"][name].__setitem__(key, value)


def variable(name: str, key: str, value: str) -> Callable[[Object], None]:
    """A change of one variable of a compose service."""
    return lambda document: document["services"][name]["environment"].__setitem__(key, value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (service("server", "comand", ["server"]), "Unevaluated properties are not allowed"),
        (service("worker", "image", "abcd:0.0.9"), "image abcd:0.0.9, expected"),
        (service("postgres", "image", "postgres:latest"), "has no exact version"),
        (service("worker", "command", ["work"]), "role ('work',)"),
        (service("server", "ports", ["4200:4200"]), "open to other machines"),
        (service("ray-head", "healthcheck", {"disable": True}), "where nobody listens"),
        (service("ray-worker", "volumes", ["workspace:/elsewhere"]), "is in none of its volumes"),
        (lambda document: document["services"]["postgres"].pop("healthcheck"), "which has no health check"),
        (variable("worker", "ABCD_REGISTRI", "s3://a"), "ABCD_REGISTRI is no setting"),
        (variable("worker", "ABCD_WORKERS", "many"), "ABCD_WORKERS"),
        (variable("worker", "PREFECT_SERVER_UI_V3", "1"), "nobody reads PREFECT_SERVER_UI_V3"),
        (variable("worker", "WORKSPACE_GIT_URI", "x"), "nobody reads WORKSPACE_GIT_URI"),
        (variable("worker", "PREFECT_API_URL", "http://server:4201/api"), "where nobody listens"),
        (variable("server", "PREFECT_API_AUTH_STRING", "abcd:hunter2"), "has its value written down"),
    ],
)
def test_a_broken_compose_file_is_refused(change: Callable[[Object], None], said: str):
    document = copy.deepcopy(compose())
    change(document)
    assert any(said in problem for problem in compose_says(document))


def find(objects: list[Object], kind: str, name: str) -> Object:
    return of_kind(objects, kind)[name]


def pod_spec(objects: list[Object], name: str) -> Object:
    return dict(pods(objects))[name]["spec"]


def data(objects: list[Object]) -> Object:
    return find(objects, "ConfigMap", "abcd-settings")["data"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda o: find(o, "Deployment", "worker")["spec"].update(replica=2), "Additional properties"),
        (lambda o: find(o, "RayCluster", "abcd")["spec"].update(rayversion="2"), "Additional properties"),
        (lambda o: find(o, "RayCluster", "abcd")["spec"]["workerGroupSpecs"][0].pop("groupName"), "required property"),
        (lambda o: pod_spec(o, "RayCluster/abcd/cpu").update(tolerations=1), "is not of type 'array'"),
        (lambda o: find(o, "Deployment", "worker").update(apiVersion="apps/v1beta1"), "has no kind Deployment"),
        (lambda o: o.append({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "abcd"}}), "written down"),
        (lambda o: data(o).update(PREFECT_API_URL="http://prefect:4200/api"), "where nobody listens"),
        (lambda o: data(o).update(ABCD_RAY_ADDRESS="abcd-head-svc:6380"), "where nobody listens"),
        (lambda o: data(o).update(ABCD_RAY_ADRESS="abcd-head-svc:6379"), "ABCD_RAY_ADRESS is no setting"),
        (lambda o: find(o, "Service", "postgres")["spec"].update(selector={"a": "b"}), "selects no pod"),
        (lambda o: find(o, "Service", "postgres")["spec"]["ports"][0].update(targetPort="pg"), "no pod has a port pg"),
        (
            lambda o: find(o, "NetworkPolicy", "postgres")["spec"]["ingress"][0]["ports"][0].update(port=5433),
            "port 5433 is no port of the pods",
        ),
        (lambda o: o.remove(find(o, "NetworkPolicy", "deny-by-default")), "everybody reaches every pod"),
        (lambda o: o.remove(find(o, "ConfigMap", "abcd-store")), "no ConfigMap abcd-store"),
        (lambda o: o.remove(find(o, "PersistentVolumeClaim", "workspace")), "no claim workspace"),
        (lambda o: pod_spec(o, "Deployment/worker").update(volumes=[]), "which is no volume of the pod"),
        (
            lambda o: pod_spec(o, "Deployment/prefect-server")["containers"][0]["env"][-1]["valueFrom"][
                "secretKeyRef"
            ].update(key="auth"),
            "no Secret abcd with auth",
        ),
        (lambda o: pod_spec(o, "Deployment/worker").pop("securityContext"), "may run as root"),
        (lambda o: pod_spec(o, "Deployment/worker").pop("enableServiceLinks"), "names of services"),
        (lambda o: pod_spec(o, "Deployment/worker").pop("automountServiceAccountToken"), "carries an account's token"),
        (lambda o: pod_spec(o, "RayCluster/abcd/head")["containers"][0].pop("livenessProbe"), "neither"),
        (lambda o: pod_spec(o, "RayCluster/abcd/head")["containers"][0].pop("securityContext"), "gain privileges"),
        (lambda o: pod_spec(o, "RayCluster/abcd/head")["containers"][0].pop("resources"), "no memory limit"),
        (lambda o: pod_spec(o, "RayCluster/abcd/cpu")["containers"][0].update(image="ray:2"), "no exact version"),
    ],
)
def test_a_broken_cluster_is_refused(change: Callable[[list[Object]], Any], said: str):
    objects = render(KUBERNETES / "base")
    change(objects)
    problems = kubernetes_says(objects, schemas.KUBERNETES[-1:])
    assert any(said in problem for problem in problems), problems
