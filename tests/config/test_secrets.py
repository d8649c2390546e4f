"""No secret of a config shows in anything that is printed: not in a mistake, not in what was understood."""

import json
from pathlib import Path

import pytest
import yaml

from tests.config.conftest import WHOLE, Load, Mistakes

SECRET = "S3cret p'w\"$%ß"

SECRETIVE = yaml.safe_dump(
    {
        "database": {"provider": "postgres", "user": "me", "password": SECRET},
        "http": {"api_keys": [SECRET], "port": 8081},
        "notifiers": {
            "webhook": {"endpoints": [{"name": "Ops", "url": "https://example.org/S3cret", "token": "S3cret-token"}]}
        },
        "spool": {"keep": "2d", "max_size": "1GiB"},
    }
)


def test_no_secret_shows_in_what_is_printed(loaded: Load) -> None:
    config = loaded(WHOLE + SECRETIVE).config
    shown = [repr(config), str(config), config.model_dump_json(), json.dumps(config.masked()), repr(config.database)]
    assert [text for text in shown if "S3cret" in text] == []
    assert config.database.password and config.database.password.get_secret_value() == SECRET


def test_no_secret_shows_in_a_mistake(mistakes: Mistakes) -> None:
    blocks = yaml.safe_load(SECRETIVE)
    blocks["database"] |= {"passwort": SECRET, "port": SECRET, "tls": SECRET}
    blocks["http"] = {"api_key": [SECRET], "api_keys": [{"a": SECRET}], "port": SECRET}
    blocks["notifiers"]["webhook"]["endpoints"][0] |= {"tokn": SECRET, "extended": SECRET, "timeout": [SECRET]}
    assert "S3cret" not in "\n".join(mistakes(WHOLE + yaml.safe_dump(blocks, allow_unicode=True)))


def test_what_came_from_elsewhere_does_not_show_in_commands_and_texts(
    loaded: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("S3cret-token\n", encoding="utf-8")
    monkeypatch.setenv("PAGER_KEY", "S3cret-key")
    monkeypatch.setenv("HOST", "db.example.org")
    text = f"""
on_error: ["notify --key ${{PAGER_KEY}} {{error}}", [curl, "https://x/${{file:{tmp_path}/token}}"]]
jobs: [{{label: a, hooks: {{after_backup: "ping ${{PAGER_KEY}}"}}}}]
http: {{app_url: "https://${{file:{tmp_path}/token}}/"}}
database: {{provider: postgres, host: "${{HOST}}"}}
"""
    config = loaded(WHOLE + text).config
    assert config.on_error == ["notify --key S3cret-key {error}", ["curl", "https://x/S3cret-token"]]
    masked = config.masked()
    assert masked["on_error"] == ["notify --key *** {error}", ["curl", "https://x/***"]]
    assert masked["jobs"][0]["hooks"]["after_backup"] == ["ping ***"]
    assert masked["http"]["app_url"] == "https://***/"
    assert masked["database"]["host"] == "db.example.org"


def test_the_masked_config_is_yaml_that_loads_again(loaded: Load) -> None:
    text = "jobs: [{label: a, every: 90m, jitter: 1500ms, hooks: {on_error: [[a, b], c d]}}]\n"
    config = loaded(WHOLE + SECRETIVE + text).config
    masked = yaml.safe_dump(config.masked(), sort_keys=False)
    assert yaml.safe_load(masked) == config.masked()
    assert config.masked()["database"] == {"provider": "postgres", "user": "me", "password": "**********"}
    assert config.masked()["spool"] == {"keep": "2d", "max_size": 2**30}
    assert config.masked()["jobs"][0]["every"] == "90m"
    assert config.masked()["notifiers"]["webhook"][0]["endpoints"][0]["name"] == "Ops"
    masked = masked.replace("url: '**********'", "url: https://example.org/")
    again = loaded(masked).config
    assert again.jobs == config.jobs
    assert again.masked() == config.masked()
