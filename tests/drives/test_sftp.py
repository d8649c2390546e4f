"""The SFTP drive against OpenSSH's server and rclone's: the contract, logins, host keys, and what stands there."""

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO, cast
from uuid import uuid4

import pytest
from pydantic import ValidationError

from backupman.drives import Drive
from backupman.drives.sftp import Sftp
from backupman.errors import DriveError
from tests.contracts.drive import Leftovers, ReachedContract
from tests.contracts.objects import NAME, Reader, content, put
from tests.servers._process import free_port
from tests.servers.sftp import Sftp as Server

pytestmark = pytest.mark.service("sftp")

MIB = 2**20


def sftp_drive(server: Server, folder: Path, **more: object) -> Sftp:
    """A drive at that server; a setting of None is left out."""
    settings = {
        "provider": "sftp",
        "label": "a server",
        "host": server.host,
        "port": server.port,
        "user": server.user,
        "key_file": server.key_file,
        "password": server.password,
        "host_key": server.host_key,
        "folder": str(folder),
        "timeout": "20s",
        **more,
    }
    return Sftp.model_validate({name: value for name, value in settings.items() if value is not None})


@pytest.fixture
def folder(sftp: Server) -> Path:
    return sftp.make_folder(uuid4().hex)


@pytest.fixture
def drive(sftp: Server, folder: Path) -> Sftp:
    return sftp_drive(sftp, folder)


def unfinished(folder: Path) -> list[str]:
    """What stands in a folder besides whole objects."""
    paths = list(folder.rglob("*"))
    return [str(path) for path in paths if path.name.endswith(".part") or (path.is_dir() and not list(path.iterdir()))]


class TestSftp(ReachedContract):
    @pytest.fixture
    def drive(self, sftp: Server, folder: Path) -> Drive:
        return sftp_drive(sftp, folder)

    @pytest.fixture
    def other(self, sftp: Server) -> Drive:
        return sftp_drive(sftp, sftp.make_folder(uuid4().hex), label="another folder")

    @pytest.fixture
    def unreachable(self, sftp: Server) -> Drive:
        return sftp_drive(sftp, Path("/srv"), port=free_port(), key_file=None, password="s3cret p'w")

    @pytest.fixture
    def leftovers(self, folder: Path) -> Leftovers:
        return lambda: unfinished(folder)


def test_another_server_and_a_password(rclone_sftp: Server) -> None:
    drive = sftp_drive(rclone_sftp, Path("~/backups"))
    drive.check()
    for size in (0, 1, 2 * MIB + 1):
        data = os.urandom(size)
        ref = put(drive, NAME, data).ref
        assert content(drive, ref) == data
        assert list(drive.list()) == [ref]
        with pytest.raises(DriveError, match="already there"):
            put(drive, NAME, b"")
        drive.delete(ref)
        assert list(drive.list()) == []


def test_a_login_that_is_refused(rclone_sftp: Server) -> None:
    drive = sftp_drive(rclone_sftp, Path("x"), password="s3cret")
    with pytest.raises(DriveError, match=r"^a server: .* lets shop not in: correct user, password") as raised:
        drive.check()
    assert raised.value.permanent
    assert "s3cret" not in str(raised.value)


def keygen(*argv: str | Path) -> str:
    done = subprocess.run(["ssh-keygen", *argv], check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture
def another_key(tmp_path: Path) -> Path:
    keygen("-q", "-t", "ed25519", "-N", "a passphrase", "-f", tmp_path / "another")
    return tmp_path / "another"


def test_a_key_with_a_passphrase(sftp: Server, drive: Sftp, folder: Path, tmp_path: Path) -> None:
    assert sftp.key_file
    locked = tmp_path / "locked"
    locked.write_bytes(sftp.key_file.read_bytes())
    locked.chmod(0o600)
    keygen("-p", "-q", "-N", "open sesame", "-f", locked)
    sftp_drive(sftp, folder, key_file=locked, key_passphrase="open sesame").check()
    for wrong, hint in (("wrong", "correct key_passphrase"), (None, "or set key_passphrase")):
        with pytest.raises(DriveError, match=rf"^a server: key_file .* cannot be used .*{hint}$") as raised:
            sftp_drive(sftp, folder, key_file=locked, key_passphrase=wrong).check()
        assert raised.value.permanent


def test_a_key_that_is_not_allowed_or_not_there(sftp: Server, folder: Path, another_key: Path) -> None:
    stranger = sftp_drive(sftp, folder, key_file=another_key, key_passphrase="a passphrase")
    with pytest.raises(DriveError, match=r"^a server: .* lets \S+ not in: correct user, key_file"):
        stranger.check()
    with pytest.raises(DriveError, match=r"^a server: key_file /nowhere cannot be read: No such file"):
        sftp_drive(sftp, folder, key_file="/nowhere").check()


def test_the_agent_and_the_usual_files(
    sftp: Server, folder: Path, own_environment: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert sftp.key_file
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    keyless = sftp_drive(sftp, folder, key_file=None)
    with pytest.raises(DriveError, match=r"correct user, password or key_file, or the agent"):
        keyless.check()
    socket = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL) as agent:
        try:
            while not socket.exists():
                assert agent.poll() is None
            monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
            subprocess.run(["ssh-add", "-q", sftp.key_file], check=True, capture_output=True)
            keyless.check()
        finally:
            agent.terminate()
    monkeypatch.delenv("SSH_AUTH_SOCK")
    (own_environment / ".ssh").mkdir()
    (own_environment / ".ssh/id_ed25519").write_bytes(sftp.key_file.read_bytes())
    keyless.check()


def test_a_host_key_that_is_not_known_is_refused_with_its_fingerprint(
    sftp: Server, folder: Path, own_environment: Path, tmp_path: Path
) -> None:
    unsure = sftp_drive(sftp, folder, host_key=None)
    (tmp_path / "host.pub").write_text(sftp.host_key)
    fingerprint = keygen("-l", "-f", tmp_path / "host.pub").split()[1]
    with pytest.raises(DriveError, match=r"^a server: the host key of \S+ is not known\. It is ssh-ed25519 ") as raised:
        unsure.check()
    assert raised.value.permanent
    assert fingerprint in raised.value.sentence
    assert f"`ssh-keyscan -t ed25519 -p {sftp.port} 127.0.0.1`" in raised.value.sentence
    (own_environment / ".ssh").mkdir()
    scanned = subprocess.run(
        ["ssh-keyscan", "-t", "ed25519", "-p", str(sftp.port), "127.0.0.1"], check=True, capture_output=True, text=True
    )
    [line] = [line for line in scanned.stdout.splitlines() if not line.startswith("#")]
    sftp_drive(sftp, folder, host_key=line).check()
    (own_environment / ".ssh/known_hosts").write_text(line)
    unsure.check()
    (own_environment / ".ssh/known_hosts").rename(tmp_path / "elsewhere")
    sftp_drive(sftp, folder, host_key=None, known_hosts=tmp_path / "elsewhere").check()
    with pytest.raises(DriveError, match=r"^a server: there is no known_hosts /nowhere"):
        sftp_drive(sftp, folder, host_key=None, known_hosts="/nowhere").check()


def test_another_host_key_than_the_known_one_is_an_alarm(sftp: Server, folder: Path, another_key: Path) -> None:
    other = another_key.with_suffix(".pub").read_text()
    file = another_key.with_name("known")
    file.write_text(f"[127.0.0.1]:{sftp.port} {other}")
    for more in ({"host_key": other}, {"host_key": None, "known_hosts": file}):
        with pytest.raises(
            DriveError, match=r"shows another host key than .* holds: somebody may pose as it"
        ) as raised:
            put(sftp_drive(sftp, folder, **more), NAME, b"body")
        assert raised.value.permanent
    assert list(folder.iterdir()) == []


def test_only_the_owner_can_read(drive: Sftp, folder: Path) -> None:
    put(drive, NAME, b"body")
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}


def test_the_folder_is_made_and_only_by_an_upload(sftp: Server, folder: Path) -> None:
    drive = sftp_drive(sftp, folder / "a" / "b")
    drive.check()
    assert list(folder.iterdir()) == []
    for call in (
        lambda: drive.stat(NAME),
        lambda: drive.delete(NAME),
        lambda: list(drive.list()),
        lambda: drive.find(NAME),
    ):
        with pytest.raises(DriveError, match=r"a/b is not there: mount its disk") as raised:
            call()
        assert type(raised.value) is DriveError, "a disk that is away is no missing object"
    drive.abort(NAME, None)
    assert content(drive, put(drive, NAME, b"body").ref) == b"body"
    assert stat.S_IMODE((folder / "a" / "b").stat().st_mode) == 0o700


def test_what_an_account_may_not_do(sftp: Server) -> None:
    forbidden = sftp_drive(sftp, Path("/etc/backups"))
    with pytest.raises(DriveError, match=r"^a server: \S+ may not do that in /etc/backups: give the account") as raised:
        forbidden.check()
    assert raised.value.permanent


def test_abort_removes_exactly_the_unfinished_upload(drive: Sftp, folder: Path) -> None:
    put(drive, "shop/whole", b"body")
    names = ["a.01234567.part", "a.89abcdef.part", "a.json.01234567.part", "b.01234567.part", "a.part"]
    for name in names:
        (folder / "shop" / name).touch()
    assert list(drive.list()) == ["shop/whole"]
    drive.abort("shop/a", "01234567")
    assert sorted(path.name for path in (folder / "shop").iterdir()) == sorted([*names[1:], "whole"])
    drive.abort("shop/a", None)
    assert sorted(path.name for path in (folder / "shop").iterdir()) == sorted([*names[2:], "whole"])


def test_the_session_is_told_before_the_first_byte(drive: Sftp, folder: Path) -> None:
    told: list[tuple[str, list[Path]]] = []
    drive.upload(cast(BinaryIO, Reader(b"body")), NAME, {}, lambda token: told.append((token, list(folder.iterdir()))))
    [(token, there)] = told
    assert len(token) == 8
    assert there == []


def test_an_object_is_read_from_anywhere(drive: Sftp) -> None:
    data = os.urandom(5 * MIB + 3)
    ref = put(drive, NAME, data).ref
    with drive.open(ref) as stream:
        for position in (4 * MIB - 1, 0, 5 * MIB, len(data) + 5):
            stream.seek(position)
            assert stream.read(1000) == data[position : position + 1000]
        stream.seek(-3, os.SEEK_END)
        assert stream.read() == data[-3:]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"password": "x"}, "password or key_file, not both"),
        ({"key_file": None, "key_passphrase": "x"}, "key_passphrase needs the key_file"),
        ({"known_hosts": "/x"}, "host_key or known_hosts, not both"),
        ({"host_key": "SHA256:abc"}, "should be a public key"),
        ({"port": 0}, "greater than or equal to 1"),
    ],
)
def test_settings_that_do_not_go_together(more: dict[str, object], why: str) -> None:
    server = Server(22, "shop", "ssh-ed25519 AAAAC3Nza", Path("/"), key_file=Path("key"))
    with pytest.raises(ValidationError, match=why):
        sftp_drive(server, Path("backups"), **more)


def test_the_package_that_is_missing_is_named(drive: Sftp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncssh", None)
    with pytest.raises(DriveError, match=r"^a server: .*pip install 'backupman\[sftp\]'") as raised:
        drive.check()
    assert raised.value.permanent


def test_the_library_is_loaded_by_its_first_use_only() -> None:
    code = "import sys; from backupman.drives.sftp import Sftp; print('asyncssh' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"False\n"
