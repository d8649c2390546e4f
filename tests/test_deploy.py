"""The files under deploy/ fit the program: configs load, commands exist, and each container has what it needs."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from backupman.config import load
from backupman.config.excerpts import excerpts
from backupman.config.plans import plans
from backupman.config.worker import load_worker, plans_of, refused, with_excerpt
from tests.calls import must_be_a_call
from tests.pages import ROOT

DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]
WORKERS = sorted(name for name in SERVICES if name.startswith("worker-"))
OURS = ["control", *WORKERS]
SETTINGS = dict(re.findall(r"^(\w+)=(.*)$", (DEPLOY / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))
MANIFESTS = list(yaml.safe_load_all((DEPLOY / "kubernetes.yml").read_text(encoding="utf-8")))
MOUNTED = re.compile(r"\$\{file:/run/secrets/([\w/]+)\}")


def with_secrets(text: str, folder: Path) -> Path:
    """The config as it is in a container, whose secrets are in the folder; its file."""
    for name in MOUNTED.findall(text):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"secret-of-{file.name}\n")
    path = folder / "config.yml"
    path.write_text(text.replace("/run/secrets", str(folder)))
    return path


def config_text(service: str) -> str:
    """The config that a service has."""
    [mounted] = SERVICES[service]["configs"]
    assert mounted["target"] == "/etc/backupman/config.yml"
    file: str = COMPOSE["configs"][mounted["source"]]["file"]
    return (DEPLOY / file).read_text(encoding="utf-8")


def words_of(service: str) -> list[str]:
    """The command of a service, its settings filled in."""
    return [
        re.sub(r"\$\{(\w+):-(\w+)\}", lambda found: SETTINGS[found[1]], word) for word in SERVICES[service]["command"]
    ]


def queues_of(service: str) -> list[str]:
    """The queues that its command names."""
    words = words_of(service)
    return [words[at + 1] for at, word in enumerate(words) if word == "--queue"]


def test_there_are_one_control_host_and_three_workers() -> None:
    assert len(WORKERS) == 3
    assert "command" not in SERVICES["control"]  # the image's own: `serve`
    for worker in WORKERS:
        assert words_of(worker)[0] == "worker"
        must_be_a_call(words_of(worker))


def test_what_can_be_set_is_in_the_example_with_its_default() -> None:
    used = re.findall(r"\$\{(\w+):-(\w+)\}", (DEPLOY / "compose.yml").read_text(encoding="utf-8"))
    assert dict(used) == SETTINGS


def test_no_secret_is_in_the_files() -> None:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    assert {"/deploy/secrets/", "/deploy/.env"} <= set(ignored)
    assert {Path(secret["file"]).parts[0] for secret in COMPOSE["secrets"].values()} == {"secrets"}
    made = re.findall(
        r"^for name in ([\w ]+); do openssl", (DEPLOY / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert [sorted(names.split()) for names in made] == [sorted(COMPOSE["secrets"])]


@pytest.mark.parametrize("service", OURS)
def test_a_container_of_ours_is_closed(service: str) -> None:
    known = SERVICES[service]
    assert (known["build"], known["image"]) == ("..", "backupman")
    assert (known["read_only"], known["cap_drop"]) == (True, ["ALL"])
    assert known["security_opt"] == ["no-new-privileges:true"]
    assert known["hostname"] == service


def test_every_service_declares_what_it_uses() -> None:
    for name, service in SERVICES.items():
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
        volumes = {volume.split(":", 1)[0] for volume in service["volumes"]}
        assert volumes <= set(COMPOSE["volumes"])
        assert volumes - {"backups"} == {name}, "a state folder is never shared"
        for secret in re.findall(r"/run/secrets/(\w+)", str(service.get("environment", ""))):
            assert secret in service["secrets"]
        assert ("healthcheck" in service) == (name != "control")  # the image has its own, which asks its HTTP
        for other in service.get("depends_on", {}):
            assert not SERVICES[other].get("healthcheck", {}).get("disable")


def test_the_control_host_can_hand_all_of_it_to_workers(tmp_path: Path) -> None:
    """No secret stands in the file, and every queue has two workers who have the secrets that its work needs."""
    text = config_text("control")
    assert sorted({*MOUNTED.findall(text)}) == sorted(SERVICES["control"]["secrets"])
    loaded = load(with_secrets(text, tmp_path / "control"))
    assert loaded.warnings == []
    config = loaded.config
    assert {source.model_dump()["host"] for source in config.data_sources} <= set(SERVICES)
    handed = excerpts(tmp_path / "control/config.yml", config, plans(config))
    for plan in plans(config):
        for source in plan.sources:
            takers = [worker for worker in WORKERS if plan.queue_of(source) in queues_of(worker)]
            assert len(takers) == 2
            for worker in takers:
                check_that_it_takes(worker, handed.of_source(plan, source), tmp_path)


def check_that_it_takes(service: str, excerpt: dict[str, Any], folder: Path) -> None:
    """A worker with just the secrets that its container is given makes the config of an excerpt, and may do it."""
    home = folder / service
    home.mkdir(exist_ok=True)
    text = config_text(service)
    assert {*MOUNTED.findall(text)} <= {*SERVICES[service]["secrets"]}
    worker = load_worker(with_secrets(text, home))
    for secret in SERVICES[service]["secrets"]:
        (home / secret).write_text("there\n")
    moved = yaml.safe_load(yaml.safe_dump(excerpt).replace(str(folder / "control"), str(home)))
    config = with_excerpt(worker, moved)
    assert refused(worker.config, config) is None
    assert [plan.label for plan in plans_of(config, moved)] == ["nightly"]
    [drive] = config.drives
    assert f"backups:{drive.model_dump()['folder']}" in SERVICES[service]["volumes"]


def test_the_manifests_are_what_they_should_be() -> None:
    kinds = [(each["apiVersion"], each["kind"]) for each in MANIFESTS]
    assert kinds == [("v1", "ConfigMap"), ("apps/v1", "Deployment"), ("v1", "ConfigMap"), ("batch/v1", "CronJob")]
    deployment, cron = MANIFESTS[1]["spec"], MANIFESTS[3]["spec"]
    assert deployment["selector"]["matchLabels"] == deployment["template"]["metadata"]["labels"]
    assert cron["concurrencyPolicy"] == "Forbid"
    assert cron["jobTemplate"]["spec"]["template"]["spec"]["restartPolicy"] == "Never"


@pytest.mark.parametrize("number", [1, 3])
def test_a_pod_runs_what_exists_with_a_config_that_loads(number: int, tmp_path: Path) -> None:
    spec = MANIFESTS[number]["spec"]
    pod = spec.get("jobTemplate", MANIFESTS[number])["spec"]["template"]["spec"]
    [container] = pod["containers"]
    must_be_a_call(container["args"])
    assert pod["securityContext"]["runAsUser"] == 10001
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert set(mounts) == set(volumes)
    assert mounts["config"] == "/etc/backupman"
    [text] = [
        each["data"]["config.yml"]
        for each in MANIFESTS
        if each["metadata"]["name"] == volumes["config"]["configMap"]["name"] and each["kind"] == "ConfigMap"
    ]
    assert {f"/run/secrets/{Path(name).parent}" for name in MOUNTED.findall(text)} == {mounts["secrets"]}
    path = with_secrets(text, tmp_path)
    config = load_worker(path).config if container["args"][0] == "worker" else load(path).config
    assert str(config.state_folder) == mounts["state"]
