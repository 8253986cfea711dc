"""What can be checked of docker/ where no container can be started."""

from __future__ import annotations

import fnmatch
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
import yaml

from robust_sweep import __version__
from sweep.cost.allocator import KEEP_MEMORY
from sweep.results import provenance
from tests.sweep.chaos import ROOT

DOCKER = ROOT / "docker"
SCRIPTS = [DOCKER / "entrypoint.sh", ROOT / ".ci" / "run"]
# https://github.com/compose-spec/compose-spec: what a service may hold, as far as ours use it.
SERVICE_KEYS = {
    *("image", "build", "command", "environment", "volumes", "ports", "depends_on"),
    *("healthcheck", "shm_size", "cpus", "mem_limit", "secrets"),
}
IMAGE = "robust-sweep:0.1.0"


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
    secrets = {secret for service in services.values() for secret in service.get("secrets", [])}
    assert secrets == set(load("compose.yaml")["secrets"])


def test_services_ask_the_image_for_known_roles(services: dict[str, dict[str, Any]]) -> None:
    ours = [service for service in services.values() if service["image"] == IMAGE]
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


def test_password_comes_from_the_environment_as_a_secret_and_stands_in_no_file() -> None:
    compose = load("compose.yaml")
    assert compose["secrets"] == {"postgres_password": {"environment": "POSTGRES_PASSWORD"}}
    for path in DOCKER.iterdir():
        for line in path.read_text(encoding="utf-8").splitlines():
            code = line.split("#")[0]
            if re.search(r"PASSWORD|SECRET|TOKEN", code):
                assert re.search(r"PASSWORD_FILE|PGPASSWORD|environment: POSTGRES_", code), line
            assert not re.search(r"://[^/@\s]*:[^/@\s]*@", line), f"{path.name}: {line}"
    for name in ("postgres", "mlflow"):
        files = [
            value
            for key, value in compose["services"][name]["environment"].items()
            if key.endswith("PASSWORD_FILE")
        ]
        assert files == ["/run/secrets/postgres_password"]


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


def test_launchers_container_starts_with_the_images_entry_point() -> None:
    """`docker run ... IMAGE bash`, as Ray's launcher says it."""
    docker = pytest.importorskip("ray.autoscaler._private.docker")
    given = load("ray-cluster.yaml")["docker"]
    run = (given["container_name"], given["run_options"], "sweep", "/root", "docker")
    command = docker.docker_start_cmds("user", given["image"], {}, *run)
    after = command.split(given["image"])[1].split()
    assert after[0] in roles()


def stub(folder: Path, *names: str) -> None:
    """Programs that print their name, arguments and environment as JSON, one a line."""
    for name in names:
        path = folder / name
        path.write_text(
            f"#!{sys.executable}\n"
            "import json, os, sys\n"
            f"print(json.dumps([{name!r}, sys.argv[1:], dict(os.environ)]))\n"
        )
        path.chmod(0o755)


Call = tuple[str, list[str], dict[str, str]]


def enter(folder: Path, *arguments: str, **environment: str) -> list[Call]:
    """What the entry point runs."""
    stub(folder, "ray", "python", "mlflow", "bash")
    done = subprocess.run(
        ["/bin/sh", str(DOCKER / "entrypoint.sh"), *arguments],
        env={"PATH": f"{folder}:/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("role", ["ray-head", "ray-worker"])
def test_node_offers_what_it_is_told_and_not_the_hosts(role: str, tmp_path: Path) -> None:
    ((name, arguments, _),) = enter(tmp_path, role, RAY_CPUS="2", RAY_GPUS="1")
    assert (name, arguments[0]) == ("ray", "start")
    assert {"--num-cpus=2", "--num-gpus=1", "--block"} <= set(arguments)
    ((_, untold, _),) = enter(tmp_path, role)
    assert not any(a.startswith(("--num-cpus", "--num-gpus")) for a in untold)
    ((_, none, _),) = enter(tmp_path, role, RAY_CPUS="0")
    assert "--num-cpus=0" in none


def test_services_say_how_many_cores_they_offer(services: dict[str, dict[str, Any]]) -> None:
    for name in ("ray-head", "ray-worker"):
        assert "RAY_CPUS" in services[name]["environment"], name
    worker = services["ray-worker"]
    assert worker["cpus"] == worker["environment"]["RAY_CPUS"]
    assert "mem_limit" in worker


def test_gpu_override_adds_gpus_to_workers_alone(services: dict[str, dict[str, Any]]) -> None:
    override = load("compose.gpu.yaml")["services"]
    assert set(override) == {"ray-worker"}
    (device,) = override["ray-worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert device["count"] == override["ray-worker"]["environment"]["RAY_GPUS"]
    assert "deploy" not in services["ray-worker"]


@pytest.mark.parametrize("password", ["simple", "p@ss/w:rd #1%", "two words"])
def test_password_reaches_the_database_and_no_command_line(
    password: str, tmp_path: Path, services: dict[str, dict[str, Any]]
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(password + "\n")
    backend = services["mlflow"]["environment"]["MLFLOW_BACKEND"]
    ((name, arguments, environment),) = enter(
        tmp_path, "mlflow", MLFLOW_BACKEND=backend, PGPASSWORD_FILE=str(secret)
    )
    assert name == "mlflow"
    assert environment["PGPASSWORD"] == password
    assert password not in " ".join(arguments)
    assert backend in arguments


def test_driver_joins_its_cluster_before_it_sweeps(tmp_path: Path) -> None:
    joined, swept = enter(tmp_path, "sweep", "+experiment=x", RAY_HEAD="head:6379", RAY_CPUS="4")
    assert joined[0] == "ray"
    assert {"--address=head:6379", "--num-cpus=0", "--num-gpus=0"} <= set(joined[1])
    expected = ["/app/sweep/run.py", "paths.results=/results", "+experiment=x"]
    assert (swept[0], swept[1]) == ("python", expected)


def test_shell_role_keeps_its_arguments_apart(tmp_path: Path) -> None:
    ((name, arguments, _),) = enter(tmp_path, "bash", "-c", "echo one two")
    assert (name, arguments) == ("bash", ["-c", "echo one two"])


def settings_of_image() -> dict[str, str]:
    """What the Dockerfile sets for every process."""
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    found = re.findall(r"^ENV (.+)$", text, re.MULTILINE)
    return dict(pair.split("=", 1) for line in found for pair in line.split())


def test_every_node_keeps_freed_memory_as_the_driver_does() -> None:
    image = settings_of_image()
    for name, value in KEEP_MEMORY.items():
        assert image[name] == value


def test_data_cache_lies_on_the_volume_that_all_share(services: dict[str, dict[str, Any]]) -> None:
    cache = settings_of_image()["XDG_CACHE_HOME"]
    assert cache.startswith("/results/")
    for service in services.values():
        if service["image"] == IMAGE:
            assert "results:/results" in service["volumes"]


def test_image_is_told_its_commit_which_records_then_name(
    monkeypatch: pytest.MonkeyPatch, services: dict[str, dict[str, Any]]
) -> None:
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^ARG GIT_COMMIT=$", text, re.MULTILINE)
    assert settings_of_image()[provenance.COMMIT] == "${GIT_COMMIT}"
    assert "GIT_COMMIT" in services["driver"]["build"]["args"]
    monkeypatch.setattr(provenance, "_git", lambda *arguments: "")
    monkeypatch.setenv(provenance.COMMIT, " 0123abc\n")
    assert provenance.git_commit() == "0123abc"
    for empty in ("", "  "):
        monkeypatch.setenv(provenance.COMMIT, empty)
        assert provenance.git_commit() == "unknown"
    monkeypatch.delenv(provenance.COMMIT)
    assert provenance.git_commit() == "unknown"


def test_working_tree_goes_before_what_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(provenance, "_git", lambda *a: "abc" if "rev-parse" in a else "")
    monkeypatch.setenv(provenance.COMMIT, "other")
    assert provenance.git_commit() == "abc"


def test_images_have_a_version(services: dict[str, dict[str, Any]]) -> None:
    images = [service["image"] for service in services.values()]
    images += [container["image"] for container in containers(load("rayjob.yaml"))]
    images.append(load("ray-cluster.yaml")["docker"]["image"])
    assert all(re.search(r":\d+\.\d+", image) for image in images), images
    ours = {image for image in images if image.startswith("robust-sweep")}
    assert ours == {f"robust-sweep:{__version__}"} == {IMAGE}
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^ARG PYTHON=3\.\d+\.\d+$", text, re.MULTILINE)
    assert "FROM python:${PYTHON}-slim-bookworm" in text


def test_pods_may_write_to_the_claim_and_offer_what_they_may_use() -> None:
    cluster = load("rayjob.yaml")["spec"]["rayClusterSpec"]
    user = re.search(r"--uid (\d+)", (DOCKER / "Dockerfile").read_text(encoding="utf-8"))
    assert user is not None
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        context = group["template"]["spec"]["securityContext"]
        assert context["fsGroup"] == context["runAsUser"] == int(user[1])
        assert "num-cpus" in group["rayStartParams"]
    for group in cluster["workerGroupSpecs"]:
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        offered = group["rayStartParams"]
        assert offered["num-cpus"] == limits["cpu"]
        assert offered["num-gpus"] == limits["nvidia.com/gpu"]


def test_dockerfile_builds_both_variants_from_files_that_exist() -> None:
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^ARG TORCH_INDEX=$", text, re.MULTILINE)
    # Not in place of the default index: torch's own has other versions of what torch needs.
    assert '${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"}' in text
    assert " --index-url" not in text
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
