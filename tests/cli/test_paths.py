"""`config paths`: the drop-in opens what the config's drives, sources and spool need, and nothing else."""

import sqlite3
from pathlib import Path
from typing import Any

import yaml

from backupman.cli.paths import drop_in
from tests.cli.conftest import Inside


def test_it_opens_what_is_written_to(inside: Inside, config: dict[str, Any], tmp_path: Path) -> None:
    for name, mode in (("wal", "wal"), ("plain", "delete")):
        (tmp_path / name).mkdir()
        with sqlite3.connect(tmp_path / name / "app.db") as database:
            database.execute(f"pragma journal_mode = {mode}")
            database.execute("create table t (a)")
        database.close()
    config["data_sources"] = [
        {"provider": "sqlite", "label": "A", "db_path": str(tmp_path / "wal/app.db")},
        {"provider": "sqlite", "label": "B", "db_path": str(tmp_path / "plain/app.db"), "tmp_folder": "/srv/big"},
        {"provider": "command", "label": "C", "argv": ["true"]},
    ]
    config["drives"] = [{"provider": "local", "label": "Disk", "folder": str(tmp_path / 'my 100% "backups"')}]
    config["spool"] = {"folder": "/var/lib/backupman/spool"}
    config["database"] = {"db_path": "/srv/records/backupman.db"}
    (tmp_path / "config.yml").write_text(yaml.safe_dump(config))
    ended = inside("config", "paths")
    assert ended.code == 0
    assert ended.out.splitlines() == [
        "[Service]",
        "ReadWritePaths=/srv/big",
        "ReadWritePaths=/srv/records",
        f'ReadWritePaths="{tmp_path}/my 100%% \\"backups\\""',
        f"ReadWritePaths={tmp_path}/state",
        f"ReadWritePaths={tmp_path}/wal",
    ]
    said = " ".join(ended.err.split())
    assert "/srv/big is not there" in said
    assert f"{tmp_path}/wal is another folder in the service" in said


def test_a_token_is_renewed_and_a_key_is_read(inside: Inside, config: dict[str, Any], tmp_path: Path) -> None:
    google = {"client_secret_file": "/home/ada/client.json", "token_file": "/srv/tokens/google.json"}
    config["drives"] = [{"provider": "google_drive", "label": "Google", "folder": "backups", **google}]
    del config["state_folder"]
    config["data_sources"] = [{"provider": "command", "label": "C", "argv": ["true"]}]
    (tmp_path / "config.yml").write_text(yaml.safe_dump(config))
    assert inside("config", "paths").out.splitlines() == [
        "[Service]",
        "ReadWritePaths=/srv/tokens",
        "ProtectHome=read-only",
    ]


def test_homes_are_shown_to_the_service_where_they_are_needed() -> None:
    assert drop_in({Path("/home/app/data"): False}) == ["[Service]", "ProtectHome=read-only"]
    assert drop_in({Path("/root/drive"): True}) == ["[Service]", "ReadWritePaths=/root/drive", "ProtectHome=read-only"]
    assert drop_in({Path("/homes/drive"): True}) == ["[Service]", "ReadWritePaths=/homes/drive"]
    assert drop_in({}) == ["[Service]"]
