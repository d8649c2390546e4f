"""The commands of docs/quickstart.md and of the README, typed as they stand there, against real servers."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.pages import ROOT, Page
from tests.servers.mariadb import Mariadb
from tests.servers.postgres import Postgres
from tests.servers.s3 import S3

QUICKSTART, README = Page(ROOT / "docs/quickstart.md"), Page(ROOT / "README.md")
PROGRAMS = {
    "backupman": f'exec {sys.executable} -m backupman "$@"',
    "sudo": '[ "$1" = -u ] && shift 2\nexec "$@"',  # whom it makes one is said by the environment of the test
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the commands are typed, with the two programs that a reader has on the `PATH`."""
    (tmp_path / "bin").mkdir()
    for name, script in PROGRAMS.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def scripts(page: Page, title: str) -> str:
    """All that is typed under a heading."""
    part = page.section(title)
    found = [block.text for block in page.blocks("sh") if block.text in part]
    assert found, f"{page}: nothing is typed under {title}"
    return "".join(found)


def type_in(folder: Path, script: str, env: Mapping[str, str]) -> str:
    home = {"HOME": str(folder), "XDG_STATE_HOME": str(folder / "state"), "LC_ALL": "C.UTF-8"}
    path = f"{folder / 'bin'}:{env.get('PATH', os.environ['PATH'])}"
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail"],
        input=script,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**home, **env, "PATH": path, "PYTHONPATH": str(ROOT)},
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.service("sqlite3", "gzip")
def test_sqlite(folder: Path) -> None:
    said = type_in(folder, scripts(QUICKSTART, "SQLite"), {})
    assert said.endswith("\nok\n")
    assert type_in(folder, "sqlite3 restored.sqlite 'SELECT count(*) FROM orders'", {}) == "2\n"


@pytest.fixture
def shop(postgres: Postgres) -> Iterator[Postgres]:
    postgres.psql("postgres", "CREATE DATABASE shop")
    postgres.psql("shop", "CREATE TABLE orders (id int); INSERT INTO orders VALUES (1), (2)")
    yield postgres
    for name in ("shop", "shop_restored", "shop_by_hand"):
        postgres.drop_database(name)
    postgres.psql("postgres", "DROP ROLE IF EXISTS backup; DROP ROLE IF EXISTS restorer")


@pytest.mark.service("postgres", "gzip")
@pytest.mark.parametrize(("page", "restored"), [(QUICKSTART, "shop_restored"), (README, "shop_by_hand")], ids=str)
def test_postgres(folder: Path, shop: Postgres, page: Page, restored: str) -> None:
    login = {"PGHOST": shop.host, "PGPORT": str(shop.port), "PGUSER": shop.user, "PGPASSWORD": shop.password}
    login["PGDATABASE"] = "postgres"
    script = re.sub(r"^(backupman init .*)$", rf"\1 --port {shop.port}", scripts(page, "PostgreSQL"), flags=re.M)
    type_in(folder, script.replace("@127.0.0.1/", f"@127.0.0.1:{shop.port}/"), login)
    assert shop.psql(restored, "SELECT id FROM orders ORDER BY id") == "1\n2\n"
    assert shop.psql("shop_restored", "SELECT count(*) FROM orders") == "2\n"


@pytest.fixture
def blog(mariadb: Mariadb) -> Iterator[Mariadb]:
    mariadb.client("mysql", "CREATE DATABASE blog; USE blog; CREATE TABLE posts (id int); INSERT INTO posts VALUES (1)")
    yield mariadb
    for name in ("blog", "blog_restored"):
        mariadb.drop_database(name)
    mariadb.client("mysql", "DROP USER IF EXISTS backup@'127.0.0.1'")


@pytest.mark.service("mariadb", "gzip")
def test_mariadb(folder: Path, blog: Mariadb) -> None:
    (folder / ".my.cnf").write_text(f"[client]\nhost={blog.host}\nport={blog.port}\nuser={blog.user}\n")
    script = scripts(QUICKSTART, "MySQL or MariaDB")
    script = re.sub(r"^(backupman init .*)$", rf"\1 --port {blog.port}", script, flags=re.M)
    script = script.replace("backup@localhost", "backup@127.0.0.1")  # the tests' server looks up no names
    type_in(folder, script, {"MYSQL_PWD": blog.password})
    assert blog.client("blog_restored", "SELECT id FROM posts") == "1\n"


def test_the_readme_has_the_same_for_mariadb() -> None:
    quickstart = scripts(QUICKSTART, "MySQL or MariaDB").splitlines()
    assert [line for line in scripts(README, "MySQL and MariaDB").splitlines() if line not in quickstart] == []


@pytest.mark.service("s3", "sqlite3")
def test_s3(folder: Path, s3: S3) -> None:
    """Up to the program that fetches the object, which is not ours."""
    client = s3.client()
    client.create_bucket(Bucket="my-backups")
    script = re.sub(r"^aws .*", "", scripts(QUICKSTART, "S3"), flags=re.M | re.S)
    script = re.sub(r"^(backupman init .*)$", rf"\1 --endpoint {s3.endpoint}", script, flags=re.M)
    type_in(folder, f"sqlite3 app.sqlite 'CREATE TABLE orders (id)'\n{script}", {})
    names = [entry["Key"] for entry in client.list_objects_v2(Bucket="my-backups")["Contents"]]
    client.close()
    assert [name for name in names if name.startswith("app/") and name.endswith(".sqlite.gz")]
