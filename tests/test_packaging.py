"""The files around the package fit it: units, image and Compose file call what exists and hold configs that load."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from backupman.config import load
from tests.calls import must_be_a_call
from tests.pages import ROOT

UNITS = sorted((ROOT / "systemd").glob("*.service"))
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "compose.yml").read_text(encoding="utf-8"))
BACKUPMAN = COMPOSE["services"]["backupman"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_call_what_exists(unit: Path) -> None:
    for line in re.findall(r"^Exec\w+=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE):
        program, *words = shlex.split(line.lstrip("+"))
        assert program.startswith("/")
        if program.endswith("/backupman"):
            must_be_a_call(words)


def test_units_name_each_other() -> None:
    names = {path.name for path in (ROOT / "systemd").iterdir()}
    for unit in UNITS:
        for other in re.findall(
            r"^[A-Z].*\b(backupman-failed@\S+?)'?$", unit.read_text(encoding="utf-8"), re.MULTILINE
        ):
            assert re.sub(r"@.*(\.\w+)$", r"@\1", other) in names
    assert {f"{path.stem}.service" for path in (ROOT / "systemd").glob("*.timer")} <= names


@pytest.mark.parametrize("unit", [unit for unit in UNITS if "@" not in unit.name], ids=lambda unit: unit.name)
def test_who_tells_of_failures_is_not_forgotten_by_systemd(unit: Path) -> None:
    """What no unit depends on is unloaded once it has ended, and with it goes how often it was started this hour."""
    text = unit.read_text(encoding="utf-8")
    assert "OnFailure=backupman-failed@%n.service" in text[: text.index("[Service]")].splitlines()


def test_the_image_calls_what_exists() -> None:
    *before, program = words_of("ENTRYPOINT")
    assert (before, program) == (["tini", "--"], "backupman")
    must_be_a_call(words_of("CMD"))
    assert re.search(r"^ +age .*\btini\b", DOCKERFILE, re.MULTILINE)


def test_the_image_checks_its_daemon_where_it_listens() -> None:
    [port] = re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE)
    assert words_of("CMD") == ["serve", "--port", port]
    assert f"('127.0.0.1', {port}, " in words_of("HEALTHCHECK CMD")[-1]
    assert [mapping.split(":", 1) for mapping in BACKUPMAN["ports"]] == [["127.0.0.1", f"{port}:{port}"]]


def test_the_image_is_given_what_it_copies() -> None:
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    sources = [source.removeprefix("./") for copy in copies for source in copy.split()]
    assert len(sources) >= 4
    assert [source for source in sources if f"!{source}" not in allowed or not (ROOT / source).exists()] == []


def test_the_image_runs_as_nobody_special() -> None:
    [user] = re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE)
    assert int(user) > 1000


def test_the_compose_file_closes_the_container() -> None:
    assert BACKUPMAN["read_only"] is True
    assert BACKUPMAN["cap_drop"] == ["ALL"]
    assert BACKUPMAN["security_opt"] == ["no-new-privileges:true"]
    others = {name for name in COMPOSE["services"] if name != "backupman"}
    assert BACKUPMAN["depends_on"] == {name: {"condition": "service_healthy"} for name in others}
    assert [name for name in others if "healthcheck" not in COMPOSE["services"][name]] == []
    for folder in re.findall(r"/[\w/]+", re.findall(r"^VOLUME (.*)$", DOCKERFILE, re.MULTILINE)[0]):
        assert [volume for volume in BACKUPMAN["volumes"] if volume.endswith(f":{folder}")]


def test_the_compose_file_declares_what_it_uses() -> None:
    for service in COMPOSE["services"].values():
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
        named = {volume.split(":", 1)[0] for volume in service.get("volumes", [])}
        assert named <= set(COMPOSE["volumes"])
        for name in re.findall(r"/run/secrets/(\w+)", str(service.get("environment", ""))):
            assert name in service["secrets"]


def test_the_config_of_the_compose_file_loads(tmp_path: Path) -> None:
    [mounted] = BACKUPMAN["configs"]
    text = (ROOT / COMPOSE["configs"][mounted["source"]]["file"]).read_text(encoding="utf-8")
    assert mounted["target"] == "/etc/backupman/config.yml"
    secrets = re.findall(r"\$\{file:/run/secrets/(\w+)\}", text)
    assert sorted(secrets) == sorted(BACKUPMAN["secrets"])
    for name in secrets:
        (tmp_path / name).write_text(f"secret of {name}\n")
    path = tmp_path / "config.yml"
    path.write_text(text.replace("/run/secrets", str(tmp_path)))
    loaded = load(path)
    assert loaded.warnings == []
    hosts = {source.model_dump()["host"] for source in loaded.config.data_sources}
    assert hosts == set(COMPOSE["services"]) - {"backupman"}
    assert loaded.config.http.address() == "0.0.0.0"  # noqa: S104 - in the container; compose.yml says who reaches it
    written = {folder for folder, written in loaded.config.folders().items() if written}
    assert written == {Path("/backups")}  # beside the state folder


def words_of(instruction: str) -> list[str]:
    """The words of an instruction of the image, which has them as a JSON list."""
    [words] = re.findall(rf"^ *{instruction.split()[-1]} (\[.*\])$", without_check(instruction), re.MULTILINE)
    found: list[str] = json.loads(words)
    return found


def without_check(instruction: str) -> str:
    """The Dockerfile, for HEALTHCHECK that instruction alone, for all others without it."""
    [check] = re.findall(r"^HEALTHCHECK(?:.*\\\n)*.*$", DOCKERFILE, re.MULTILINE)
    return check if instruction.startswith("HEALTHCHECK") else DOCKERFILE.replace(check, "")
