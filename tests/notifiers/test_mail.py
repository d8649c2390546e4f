"""Mail: how it is handed to real servers, what every refusal means, and which mistakes are explained."""

import asyncio
import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any, ClassVar

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from pydantic import ValidationError

from backupman.notifiers.mail import Mail, MailEndpoint
from tests.contracts.notifier import EVENTS, ODD_TEXTS, NotifierContract, deliver, message, refusal
from tests.servers.smtp import Crypto, Smtp

OPS = "ops@example.org"
NOW = datetime(2025, 7, 2, 10, 6, tzinfo=UTC)


def block(smtp: Smtp, crypto: Crypto = "starttls", **changes: Any) -> dict[str, Any]:
    return {
        "smtp_host": smtp.host,
        "smtp_port": smtp.ports[crypto],
        "smtp_crypto": crypto,
        "smtp_user": smtp.user,
        "smtp_password": smtp.password,
        "ca_file": str(smtp.ca_file),
        "timeout": "20s",
        "destinations": [{"name": "Ops", "email": OPS}],
        **changes,
    }


def endpoint(smtp: Smtp, crypto: Crypto = "starttls", **changes: Any) -> MailEndpoint:
    return Mail.model_validate(block(smtp, crypto, **changes)).endpoints()[0]


def parts(mail: EmailMessage) -> tuple[str, str]:
    """The plain text and the HTML."""
    plain, html = mail.iter_parts()
    assert isinstance(plain, EmailMessage) and isinstance(html, EmailMessage)
    return plain.get_content(), html.get_content()


class TestMail(NotifierContract):
    notifier_class = Mail

    @pytest.fixture
    def settings(self, smtp: Smtp, timeout: str) -> dict[str, Any]:
        two = [{"name": "Ops", "email": OPS}, {"name": "John Doe", "email": "john.doe@example.com"}]
        return block(smtp, "ssl", events=EVENTS, timeout=timeout, destinations=two)

    @pytest.fixture
    def arrived(self, smtp: Smtp) -> Callable[[], list[str]]:
        return lambda: [f"{mail.message['Subject']}\n{''.join(parts(mail.message))}" for mail in smtp.mails]

    @pytest.fixture
    def faults(self, smtp: Smtp, monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[], object]]:
        def cut(server: SMTP, _session: Session, _envelope: Envelope, _how: str, _login: Any) -> AuthResult:
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
            return AuthResult(success=False)

        def repeat(_server: SMTP, _session: Session, _envelope: Envelope, _how: str, login: Any) -> AuthResult:
            plain = base64.b64encode(b"\0" + login.login + b"\0" + login.password)
            said = b"535 who is " + plain + b" " + base64.b64encode(login.password) + b" " + login.password
            return AuthResult(success=False, handled=False, message=said.decode())

        return {
            "busy": lambda: setattr(smtp, "busy", True),
            "refuse": lambda: smtp.refused.add(OPS),
            "stall": lambda: setattr(smtp, "stall", 30),
            "drop": lambda: monkeypatch.setattr(smtp, "authenticate", cut),
            "echo": lambda: monkeypatch.setattr(smtp, "authenticate", repeat),
        }


@pytest.mark.parametrize("crypto", ["none", "starttls", "ssl"])
def test_each_kind_of_encryption(smtp: Smtp, crypto: Crypto) -> None:
    assert deliver(endpoint(smtp, crypto)) == "OK"
    [mail] = smtp.mails
    assert (mail.crypto, mail.sender, mail.recipients) == (crypto, smtp.user, [OPS])


def test_the_headers(smtp: Smtp) -> None:
    deliver(endpoint(smtp))
    mail = smtp.mails[0].message
    assert mail["From"] == smtp.user
    assert mail["To"] == f"Ops <{OPS}>"
    assert mail["Subject"] == "[backupman] finished: Mysql 1 (db1)"
    assert mail["Date"].datetime == message().time
    assert mail["Message-ID"] == "<5a1c9d1e-8a44-4a3d-9e7c-2f5d4b3a2a10.backup_report@example.org>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content_type() == "multipart/alternative"


def test_what_identifies_a_mail_stays_over_attempts(smtp: Smtp) -> None:
    ours = endpoint(smtp)
    smtp.busy = True
    refusal(ours)
    smtp.busy = False
    for _ in range(2):
        deliver(ours)
    first, second = (mail.message for mail in smtp.mails)
    assert [(first[name], second[name]) for name in ("Message-ID", "Date")] == [
        (first[name], first[name]) for name in ("Message-ID", "Date")
    ]


def test_the_newest_lines_of_the_log_follow_when_a_backup_has_ended(smtp: Smtp) -> None:
    log = [f"2025-07-02T10:00:{n:02}Z INFO line <{n}> ß" for n in range(60)]
    asyncio.run(endpoint(smtp).send(replace(message("backup_failure"), log=log)))
    asyncio.run(endpoint(smtp, logs_size_limit=100).send(replace(message("backup_failure"), log=log)))
    asyncio.run(endpoint(smtp, logs_size_limit=0).send(replace(message("backup_failure"), log=log)))
    asyncio.run(endpoint(smtp, send_logs=False).send(replace(message("backup_failure"), log=log)))
    asyncio.run(endpoint(smtp).send(replace(message("backup_start"), log=log)))
    whole, cut, all_of_it, none, start = (parts(each.message) for each in smtp.mails)
    assert "LOG\r\n" in whole[0] and "line <0> ß" in whole[0] and "line &lt;59&gt; ß" in whole[1]
    assert "...\r\n" in cut[0] and "line <59> ß" in cut[0] and "line <50>" not in cut[0]
    assert "line <0> ß" in all_of_it[0]
    assert not [text for text in (*none, *start) if "INFO line" in text]


def test_each_destination_gets_a_mail_of_its_own(smtp: Smtp) -> None:
    smtp.refused = {OPS}
    others = [{"email": OPS}, {"name": "Jörg, B.", "email": "joerg@exämple.com"}]
    refused, taken = Mail.model_validate(block(smtp, destinations=others)).endpoints()
    assert refusal(refused).permanent
    deliver(taken)
    [mail] = smtp.mails
    assert mail.recipients == ["joerg@xn--exmple-cua.com"]
    assert mail.message["To"].addresses[0].display_name == "Jörg, B."


@pytest.mark.parametrize("odd", ODD_TEXTS)
def test_no_text_adds_a_header_or_a_recipient(smtp: Smtp, odd: str) -> None:
    name = ODD_TEXTS[odd].encode("utf-8", "replace").decode()
    deliver(endpoint(smtp, destinations=[{"name": name, "email": OPS}]), "backup_failure", ODD_TEXTS[odd])
    [mail] = smtp.mails
    headers = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"]
    assert sorted(mail.message.keys()) == sorted(headers)
    assert mail.recipients == [address.addr_spec for address in mail.message["To"].addresses] == [OPS]
    assert mail.message["Subject"].startswith("[backupman] FAILED: Mysql 1")
    assert len(mail.message["Subject"]) <= 200
    assert b"\0" not in mail.content and mail.content.isascii()
    lines = [line for line in mail.content.split(b"\r\n") if not line.startswith(b"Message-ID:")]
    assert max(map(len, lines)) <= 80


class TestSender:
    def test_is_what_from_says(self, smtp: Smtp) -> None:
        settings = {**block(smtp), "from": "Bäckups <backups@example.net>"}
        deliver(Mail.model_validate(settings).endpoints()[0])
        [mail] = smtp.mails
        assert mail.sender == "backups@example.net"
        assert mail.message["From"] == "Bäckups <backups@example.net>"
        assert mail.message["Message-ID"].endswith("@example.net>")

    def test_is_this_host_where_the_user_is_no_address(self, smtp: Smtp) -> None:
        ours = endpoint(smtp, smtp_user="user")
        sender = ours.mail.from_address()
        assert (sender.display_name, sender.username) == ("Backupman", "backupman")
        assert any("many servers refuse; write from" in warning for warning in ours.mail.warnings())


class TestConfig:
    DOCUMENTED: ClassVar[dict[str, Any]] = {
        "enabled": "true",
        "smtp_host": "smtp.example.com",
        "smtp_port": "587",
        "smtp_user": "user",
        "smtp_password": "password",
        "smtp_crypto": "ssl",
        "destinations": [{"name": "John Doe", "email": "john.doe@example.com"}],
    }

    def problems(self, **changes: Any) -> str:
        with pytest.raises(ValidationError) as refused:
            Mail.model_validate({**self.DOCUMENTED, "smtp_password": "s3cret", **changes})
        assert "s3cret" not in str(refused.value)
        return " | ".join(str(error["msg"]) for error in refused.value.errors())

    def test_the_documented_block_loads_with_a_warning(self) -> None:
        mail = Mail.model_validate(self.DOCUMENTED)
        [only] = mail.endpoints()
        assert (only.name, list(only.events)) == ("mail/john.doe@example.com", ["backup_report"])
        assert "port 587 does not begin with TLS; write smtp_crypto: starttls" in mail.warnings()[0]

    @pytest.mark.parametrize("crypto", ["tls", "starttls", "none"])
    def test_the_other_mistake_is_a_warning_too(self, crypto: str) -> None:
        mail = Mail.model_validate({**self.DOCUMENTED, "smtp_port": 465, "smtp_crypto": crypto})
        assert "port 465 begins with TLS; write smtp_crypto: ssl" in mail.warnings()[0]

    def test_good_settings_have_no_warning(self) -> None:
        for changes in ({"smtp_port": 465}, {"smtp_crypto": "tls"}, {"smtp_port": None}):
            assert Mail.model_validate({**self.DOCUMENTED, **changes, "from": "a@example.com"}).warnings() == []

    def test_a_password_without_a_user_is_a_warning(self) -> None:
        mail = Mail.model_validate({**self.DOCUMENTED, "smtp_port": 465, "smtp_user": "", "from": "a@example.com"})
        assert mail.warnings() == ["mail: smtp_password is not used without smtp_user"]

    @pytest.mark.parametrize(
        ("crypto", "meant", "port"),
        [
            ("ssl", "ssl", 465),
            ("TLS", "starttls", 587),
            ("starttls", "starttls", 587),
            ("none", "none", 25),
            ("", "none", 25),
        ],
    )
    def test_the_port_follows_the_encryption(self, crypto: str, meant: str, port: int) -> None:
        mail = Mail.model_validate({**self.DOCUMENTED, "smtp_port": None, "smtp_crypto": crypto})
        assert (mail.smtp_crypto, mail.port) == (meant, port)

    def test_dumped_keys_are_those_of_the_config(self) -> None:
        mail = Mail.model_validate({**self.DOCUMENTED, "from": "a@example.com"})
        assert mail.model_dump()["from"] == "a@example.com"

    def test_enabled_needs_a_host_and_a_destination(self) -> None:
        assert "smtp_host is required" in self.problems(smtp_host="")
        with pytest.raises(ValidationError) as refused:
            Mail.model_validate({"smtp_password": "s3cret"})
        assert "s3cret" not in str(refused.value)
        assert "name at least one" in self.problems(destinations=[])

    def test_an_unknown_encryption_is_refused(self) -> None:
        assert "'ssl', 'starttls' or 'none'" in self.problems(smtp_crypto="ssh")

    @pytest.mark.parametrize(
        "email", ["", "x", "@x", "a@", "a b@c.de", "a@b, c@d", "a@b\r\nBcc: c@d", "a@b\0", "jöhn@example.com", "a@b..c"]
    )
    def test_a_bad_address_is_refused(self, email: str) -> None:
        assert "is not a mail address" in self.problems(destinations=[{"email": email}])
        if email:
            assert "is not a mail address" in self.problems(**{"from": email})

    def test_a_destination_is_named_once(self) -> None:
        twice = [{"email": "a@example.com"}, {"email": "A@Example.com"}]
        assert "is named twice" in self.problems(destinations=twice)

    @pytest.mark.parametrize("port", [0, 65536, "smtp"])
    def test_a_port_is_a_port(self, port: object) -> None:
        assert self.problems(smtp_port=port)
