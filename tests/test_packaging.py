"""The files around the package fit it: units, image and Compose file call what exists and hold configs that load."""

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
        for other in re.findall(r"^[A-Z].*\b(backupman-failed@\S+?)'?$", unit.read_text(encoding="utf-8"), re.MULTILINE):
            assert re.sub(r"@.*(\.\w+)$", r"@\1", other) in names
    assert {f"{path.stem}.service" for path in (ROOT / "systemd").glob("*.timer")} <= names


def test_the_image_calls_what_exists() -> None:
    [words] = re.findall(r"^CMD (.*)$", DOCKERFILE, re.MULTILINE)
    must_be_a_call(yaml.safe_load(words))
    assert 'ENTRYPOINT ["backupman"]' in DOCKERFILE


def test_the_image_is_given_what_it_copies() -> None:
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    sources = [source.removeprefix("./") for copy in copies for source in copy.split()]
    assert len(sources) >= 4
    assert [source for source in sources if f"!{source}" not in allowed or not (ROOT / source).exists()] == []


def test_the_image_runs_as_nobody_special() -> None:
    [user] = re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE)
    assert int(user) > 1000


def test_the_config_in_the_compose_file_loads(tmp_path: Path) -> None:
    text = COMPOSE["configs"]["backupman"]["content"].replace("$$", "$")
    for name in re.findall(r"\$\{file:/run/secrets/(\w+)\}", text):
        assert name in COMPOSE["secrets"]
        assert name in COMPOSE["services"]["backupman"]["secrets"]
    (tmp_path / "db_password").write_text("secret")
    path = tmp_path / "config.yml"
    path.write_text(text.replace("/run/secrets", str(tmp_path)))
    config = load(path).config
    hosts = {source.model_dump()["host"] for source in config.data_sources}
    assert hosts == set(COMPOSE["services"]) - {"backupman"}
