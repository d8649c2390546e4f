"""`backupman auth-google` through the real process: the consent in a browser here, or elsewhere and pasted."""

import http.client
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from backupman.drives import _google_consent
from backupman.drives._google_consent import consent
from backupman.drives.google_drive import GoogleDrive
from backupman.errors import DriveError
from tests.contracts.objects import NAME, put
from tests.servers.google_drive import Google


class Asked:
    """The command while it waits for the consent."""

    def __init__(self, folder: Path, *words: str, pasting: bool = False) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "backupman", "auth-google", *words],
            cwd=folder,
            stdin=subprocess.PIPE if pasting else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=dict(os.environ) | {"PYTHONUNBUFFERED": "1", "OAUTHLIB_INSECURE_TRANSPORT": "1"},
        )
        assert self.process.stdout
        lines = iter(self.process.stdout.readline, "")
        self.address = next((line.strip() for line in lines if re.match("https?://", line)), "")

    def ended(self, typed: str | None = None) -> tuple[int, str, str]:
        """Exit code and output, after something was pasted."""
        out, err = self.process.communicate(typed, timeout=60)
        return self.process.returncode, out, err


@pytest.fixture
def files(google: Google, tmp_path: Path) -> dict[str, str]:
    """An OAuth client, and where the token is to go."""
    settings = google.user_files(tmp_path)
    Path(settings["token_file"]).unlink()
    return settings


@pytest.fixture
def words(files: dict[str, str]) -> list[str]:
    return ["--client-secret-file", files["client_secret_file"], "--token-file", files["token_file"], "--no-open-url"]


def get(address: str) -> tuple[int, str | None, str]:
    """What a browser finds there: status, where it is sent to, text."""
    url = urlsplit(address)
    connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=90)
    try:
        connection.request("GET", f"{url.path}?{url.query}")
        answer = connection.getresponse()
        return answer.status, answer.getheader("location"), answer.read().decode()
    finally:
        connection.close()


def agree(address: str) -> str:
    """Give the consent; where Google then sends the browser."""
    status, location, _ = get(address)
    assert status == 302
    return str(location)


def check_token(google: Google, files: dict[str, str]) -> None:
    token = Path(files["token_file"])
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    settings = {"provider": "google_drive", "label": "mine", "folder": "backups", "endpoint": google.endpoint}
    put(GoogleDrive.model_validate(settings | files), NAME, b"body")
    assert f"backups/{NAME}" in google.drives.paths()


def test_what_is_asked_for_is_the_least(google: Google, tmp_path: Path, words: list[str]) -> None:
    asked = Asked(tmp_path, *words, pasting=True)
    query = {key: values[0] for key, values in parse_qs(urlsplit(asked.address).query).items()}
    assert query["scope"] == "https://www.googleapis.com/auth/drive.file"
    assert (query["access_type"], query["prompt"]) == ("offline", "consent")
    assert query["code_challenge_method"] == "S256"
    assert asked.ended(agree(asked.address) + "\n")[0] == 0


def test_a_browser_on_this_machine_comes_back(
    google: Google, tmp_path: Path, files: dict[str, str], words: list[str]
) -> None:
    asked = Asked(tmp_path, *words)
    back = agree(asked.address)
    assert "This is not what backupman waits for" in get(back.replace("state=", "state=x"))[2]
    assert "You can close this window" in get(back)[2]
    code, out, err = asked.ended()
    assert (code, err) == (0, "")
    assert f"The token stands in {files['token_file']}." in out
    check_token(google, files)


def test_a_browser_elsewhere_ends_at_an_address_that_is_pasted(
    google: Google, tmp_path: Path, files: dict[str, str], words: list[str]
) -> None:
    asked = Asked(tmp_path, *words, pasting=True)
    back = agree(asked.address)
    code, out, err = asked.ended(f"nonsense\n\n  {back}  \n")
    assert (code, err) == (0, "")
    assert out.count("That is not it") == 1
    assert parse_qs(urlsplit(back).query)["code"][0] not in out
    check_token(google, files)


def test_the_config_knows_the_files(google: Google, tmp_path: Path, files: dict[str, str]) -> None:
    drive = {"provider": "google_drive", "label": "Google", "folder": "backups", **files}
    config = {
        "data_sources": [{"provider": "sqlite", "label": "app", "db_path": str(tmp_path / "app.db")}],
        "drives": [drive, drive | {"label": "Same account", "folder": "others"}],
    }
    (tmp_path / "config.yml").write_text(yaml.safe_dump(config))
    asked = Asked(tmp_path, "--no-open-url", pasting=True)
    assert asked.ended(agree(asked.address) + "\n")[0] == 0
    check_token(google, files)


NO_FILES = {
    "no config": (None, "there is no config"),
    "no drive": ([{"provider": "local", "label": "Disk", "folder": "/srv"}], "the config has no drive with"),
    "several": (
        [
            {
                "provider": "google_drive",
                "label": f"G{n}",
                "folder": "f",
                "client_secret_file": "c",
                "token_file": f"{n}",
            }
            for n in range(2)
        ],
        "the config has several drives with",
    ),
}


@pytest.mark.parametrize("case", NO_FILES)
def test_without_files_it_says_what_is_missing(tmp_path: Path, case: str) -> None:
    drives, sentence = NO_FILES[case]
    if drives:
        sources = [{"provider": "sqlite", "label": "app", "db_path": "app.db"}]
        (tmp_path / "config.yml").write_text(yaml.safe_dump({"data_sources": sources, "drives": drives}))
    code, _, err = Asked(tmp_path, "-c", "config.yml").ended()
    assert code == 2
    assert sentence in err or (drives is None and "config.yml" in err)


def test_one_file_alone_is_refused(tmp_path: Path) -> None:
    code, _, err = Asked(tmp_path, "--token-file", "token.json").ended()
    assert (code, "give both or none" in err) == (2, True)


@pytest.fixture
def plain_token_endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The library wants TLS for the token endpoint, which the tests' server has not."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    yield


REFUSALS = {
    "denied": ({"error": "access_denied"}, "Google says that the consent was not given (access_denied)"),
    "used code": ({"code": "no-such-code"}, "Google gives no token: Token has been expired or revoked.; begin again"),
}


@pytest.mark.usefixtures("plain_token_endpoint")
@pytest.mark.parametrize("case", REFUSALS)
def test_a_consent_that_is_not_given_is_said(google: Google, tmp_path: Path, files: dict[str, str], case: str) -> None:
    answer, sentence = REFUSALS[case]
    read, write = os.pipe()

    def show(address: str) -> None:
        state = parse_qs(urlsplit(address).query)["state"][0]
        [(name, value)] = answer.items()
        os.write(write, f"http://127.0.0.1/?state={state}&{name}={value}\n".encode())
        os.close(write)

    try:
        with pytest.raises(DriveError) as raised:
            consent(Path(files["client_secret_file"]), Path(files["token_file"]), show, read)
    finally:
        os.close(read)
    assert sentence in raised.value.sentence
    assert not Path(files["token_file"]).exists()


@pytest.mark.usefixtures("plain_token_endpoint")
def test_a_consent_that_nobody_gives_ends_by_itself(
    google: Google, files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_google_consent, "WAIT_SECONDS", 0.1)
    with pytest.raises(DriveError, match="nobody gave the consent within"):
        consent(Path(files["client_secret_file"]), Path(files["token_file"]), lambda address: None)


def test_a_client_that_is_none_is_said(tmp_path: Path, files: dict[str, str], words: list[str]) -> None:
    Path(files["client_secret_file"]).write_text(json.dumps({"type": "service_account"}))
    code, _, err = Asked(tmp_path, *words).ended()
    assert code == 1
    assert "holds no OAuth client: make an OAuth client of the type Desktop app" in err


def test_a_folder_that_is_not_there_is_said_before_anybody_is_asked(tmp_path: Path, words: list[str]) -> None:
    words[3] = str(tmp_path / "nowhere" / "token.json")
    asked = Asked(tmp_path, *words)
    assert asked.address == ""
    code, _, err = asked.ended()
    assert (code, f"there is no folder {tmp_path / 'nowhere'} for the token" in err) == (1, True)
