"""A config of the original Go program loads unchanged and means the same."""

from pathlib import Path

import pytest
import yaml

from backupman.config import load, plans
from tests.config.conftest import WHOLE, Load

ORIGINAL = Path(__file__).parent / "fixtures" / "original.yml"
SECRETS = [
    "records-pass",
    "shop-pass",
    "billing-pass",
    "example-secret-key",
    "robot-pass",
    "chat-token",
    "first-api-key",
]


def test_every_documented_key_is_taken_over() -> None:
    config = load(ORIGINAL).config
    assert config.database.address(Path("/s")) == (
        "mysql+pymysql://keeper:records-pass@db.internal:3306/records?tls=false"
    )
    assert [(source.provider, source.label, str(source.tmp_folder)) for source in config.data_sources] == [
        ("mysql", "MySQL shop", "tmp/mysql"),
        ("postgres", "Postgres billing", "tmp/postgres"),
        ("sqlite", "SQLite wiki", "tmp/sqlite"),
    ]
    assert [(drive.provider, drive.label) for drive in config.drives] == [
        ("local", "Local folder"),
        ("google_drive", "Shared drive"),
        ("s3", "Object store"),
    ]
    assert config.retention and (config.retention.enabled, config.retention.value) == (True, 30)
    assert config.http.app_url == "http://localhost:8080"
    assert [key.key.get_secret_value() if key.key else None for key in config.http.api_keys] == ["first-api-key"]


def test_one_job_holds_everything_and_tells_everybody() -> None:
    (plan,) = plans(load(ORIGINAL).config)
    assert plan.schedule
    assert plan.schedule.line == "* * * * * *"
    assert [source.label for source in plan.sources] == ["MySQL shop", "Postgres billing", "SQLite wiki"]
    assert [drive.label for drive in plan.drives] == ["Local folder", "Shared drive", "Object store"]
    names = [endpoint.name for endpoint in plan.endpoints]
    assert "webhook/Chat" in names
    assert len([name for name in names if name.startswith("mail/")]) == 2
    assert {kind for endpoint in plan.endpoints for kind in endpoint.events} == {"backup_report"}
    assert plan.retention and plan.retention.value == 30


def test_the_documented_port_that_cannot_work_with_its_crypto_is_a_warning() -> None:
    assert [warning for warning in load(ORIGINAL).warnings if "587" in warning]


def test_none_of_its_secrets_shows() -> None:
    config = load(ORIGINAL).config
    shown = repr(config) + yaml.safe_dump(config.masked()) + config.model_dump_json()
    assert [secret for secret in SECRETS if secret in shown] == []


@pytest.mark.parametrize(
    "database",
    [
        "{provider: mysql, host: h, port: 3306, db_name: d, user: u, password: p, tls: skip-verify}",
        "{provider: mysql, host: h, port: 3306, db_name: d, user: u, password: p, tls: 'true'}",
        "{provider: mysql, host: h, port: 3306, db_name: d, user: u, password: p, tls: ''}",
        "{provider: postgres, host: h, port: 5432, db_name: d, user: u, password: p, tls: true}",
        "{provider: sqlite, db_path: backupman.db}",
        "{provider: memory}",
    ],
)
def test_every_documented_database_is_taken(loaded: Load, database: str) -> None:
    assert loaded(WHOLE + f"database: {database}\n").config.database.address(Path("/s"))


def test_its_test_suites_config_with_everything_switched_off_is_taken(loaded: Load) -> None:
    text = """
notifiers:
  mail:
    enabled: false
  webhook:
    enabled: false
retention:
  enabled: true
  by: age
  value: 30
http:
  app_url: http://localhost:8080
  api_keys:
    - key
  backup_job:
    enabled: false
    cron: "0 0 * * *"
"""
    (plan,) = plans(loaded(WHOLE + text).config)
    assert (plan.schedule, plan.endpoints) == (None, [])


def test_the_documented_notifiers_are_taken(loaded: Load) -> None:
    text = """
notifiers:
  mail:
    enabled: true
    smtp_host: smtp.example.com
    smtp_port: 587
    smtp_user: user
    smtp_password: password
    smtp_crypto: ssl
    destinations:
      - name: John Doe
        email: john.doe@example.com
  webhook:
    enabled: true
    endpoints:
      - name: My Webhook
        url: http://localhost:8080/webhook
        token: xxx
"""
    (plan,) = plans(loaded(WHOLE + text).config)
    assert len(plan.endpoints) == 2
