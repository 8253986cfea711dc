"""What can be checked of docker/ where no container can be started."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
import yaml

from tests.sweep.chaos import ROOT

DOCKER = ROOT / "docker"
SCRIPTS = [DOCKER / "entrypoint.sh", ROOT / ".ci" / "run"]
# https://github.com/compose-spec/compose-spec: what a service may hold, as far as ours use it.
SERVICE_KEYS = {
    *("image", "build", "command", "environment", "volumes", "ports", "depends_on"),
    *("healthcheck", "shm_size"),
}


def load(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DOCKER / name).read_text(encoding="utf-8"))
    return found


@pytest.fixture
def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = load("compose.yaml")["services"]
    return found


def roles() -> set[str]:
    """What the image's entry point can be asked to be."""
    script = (DOCKER / "entrypoint.sh").read_text(encoding="utf-8")
    return set(re.findall(r"^  ([a-z-]+)\)$", script, re.MULTILINE))


def containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = spec["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [group["template"]["spec"]["containers"][0] for group in groups]


def test_services_hold_only_what_compose_knows(services: dict[str, dict[str, Any]]) -> None:
    assert set(services) == {"postgres", "mlflow", "ray-head", "ray-worker", "driver"}
    for name, service in services.items():
        assert set(service) <= SERVICE_KEYS, name
    volumes = load("compose.yaml")["volumes"]
    used = {v.split(":")[0] for service in services.values() for v in service["volumes"]}
    assert used == set(volumes)


def test_services_ask_the_image_for_known_roles(services: dict[str, dict[str, Any]]) -> None:
    ours = [service for service in services.values() if service["image"] == "robust-sweep"]
    assert len(ours) == 4
    assert {service["command"][0] for service in ours} <= roles()


def test_servers_have_health_checks_that_others_wait_for(
    services: dict[str, dict[str, Any]],
) -> None:
    for name, service in services.items():
        for other, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"}, name
            assert "healthcheck" in services[other]
    assert all("healthcheck" in s for name, s in services.items() if name != "driver")


def test_published_ports_are_on_localhost(services: dict[str, dict[str, Any]]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_passwords_come_from_the_environment_and_have_no_default() -> None:
    for path in DOCKER.iterdir():
        text = path.read_text(encoding="utf-8")
        for line in text.splitlines():
            if re.search(r"PASSWORD|SECRET|TOKEN", line) and not line.lstrip().startswith("#"):
                assert "${POSTGRES_PASSWORD:?" in line, f"{path.name}: {line}"


def test_mlflow_lets_the_driver_in(services: dict[str, dict[str, Any]]) -> None:
    uri = next(a for a in services["driver"]["command"] if a.startswith("tracking.uri="))
    host = urlparse(uri.split("=", 1)[1]).netloc
    allowed = services["mlflow"]["environment"]["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    assert any(fnmatch.fnmatch(host, pattern) for pattern in allowed)
    assert host.split(":")[0] in services


def test_mlflow_asks_for_the_database_driver_that_is_installed(
    services: dict[str, dict[str, Any]],
) -> None:
    scheme = services["mlflow"]["environment"]["MLFLOW_BACKEND"].split("://")[0]
    dockerfile = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    assert scheme.startswith("postgresql+")
    assert "'.[postgres]'" in dockerfile
    project = (DOCKER.parent / "pyproject.toml").read_text(encoding="utf-8")
    (driver,) = tomllib.loads(project)["project"]["optional-dependencies"]["postgres"]
    assert driver.startswith(f"{scheme.split('+')[1]}-binary")


def test_driver_is_a_node_of_the_cluster_that_it_joins(
    services: dict[str, dict[str, Any]],
) -> None:
    driver, worker = services["driver"], services["ray-worker"]
    assert driver["environment"]["RAY_HEAD"] == worker["environment"]["RAY_HEAD"]
    assert driver["environment"]["RAY_HEAD"].split(":")[0] in services
    assert "ray=cluster" in driver["command"]


def test_rayjob_has_what_kuberay_requires() -> None:
    job = load("rayjob.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert "sweep/run.py" in job["spec"]["entrypoint"]
    cluster = job["spec"]["rayClusterSpec"]
    assert "rayStartParams" in cluster["headGroupSpec"]
    for group in cluster["workerGroupSpecs"]:
        assert {"groupName", "rayStartParams"} <= set(group)
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        spec = group["template"]["spec"]
        mounted = {m["name"] for c in spec["containers"] for m in c["volumeMounts"]}
        assert mounted == {volume["name"] for volume in spec["volumes"]}
    assert all({"cpu", "memory"} <= set(c["resources"]["limits"]) for c in containers(job))


def test_rayjob_names_the_tested_ray() -> None:
    pinned = re.search(r"^ray==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert load("rayjob.yaml")["spec"]["rayClusterSpec"]["rayVersion"] == pinned[1]


def test_cluster_file_has_what_the_launcher_requires() -> None:
    cluster = load("ray-cluster.yaml")
    assert {"cluster_name", "provider", "auth"} <= set(cluster)
    assert {"type", "head_ip", "worker_ips"} <= set(cluster["provider"])
    assert any("--head" in command for command in cluster["head_start_ray_commands"])
    assert any("$RAY_HEAD_IP" in command for command in cluster["worker_start_ray_commands"])


def test_dockerfile_builds_both_variants_from_files_that_exist() -> None:
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^ARG TORCH_INDEX=$", text, re.MULTILINE)
    assert '${TORCH_INDEX:+--index-url "$TORCH_INDEX"}' in text
    assert not re.search(r"https?://", text), "an index is named by whoever builds"
    for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_parse_and_pass_shellcheck(path: Path) -> None:
    shell = path.read_text(encoding="utf-8").splitlines()[0].split("/")[-1].split()[-1]
    subprocess.run([shell, "-n", str(path)], check=True)
    shellcheck = shutil.which("shellcheck")
    if shellcheck is not None:
        subprocess.run([shellcheck, str(path)], check=True)


def test_unknown_role_is_one_line_with_the_known_ones() -> None:
    script = ["sh", str(DOCKER / "entrypoint.sh"), "nope"]
    done = subprocess.run(script, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    named = done.stderr.strip().split("known: ")[1].split(", ")
    assert set(named) == roles()
