"""SMTP: one login, which mistakes are explained, and what every reply means."""

import base64
import socketserver
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from backupman.errors import NotifyError
from backupman.notifiers.mail import Mail, MailEndpoint
from tests.contracts.notifier import deliver, refusal
from tests.notifiers.test_mail import OPS, block, endpoint
from tests.servers._process import free_port
from tests.servers.smtp import Crypto, Smtp

NOW = datetime(2025, 7, 2, 10, 6, tzinfo=UTC)


class TestLogin:
    @pytest.fixture
    def logins(self, smtp: Smtp, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The mechanism of every login that the server is asked for."""
        seen: list[str] = []
        known = smtp.authenticate

        def authenticate(server: SMTP, session: Session, envelope: Envelope, how: str, login: Any) -> AuthResult:
            seen.append(how)
            return known(server, session, envelope, how, login)

        monkeypatch.setattr(smtp, "authenticate", authenticate)
        return seen

    def test_is_plain(self, smtp: Smtp, logins: list[str]) -> None:
        deliver(endpoint(smtp))
        assert logins == ["PLAIN"]

    def test_a_wrong_password_is_tried_once(self, smtp: Smtp, logins: list[str]) -> None:
        two = [{"email": OPS}, {"email": "two@example.org"}]
        first, second = (
            replace(each, clock=lambda: NOW)
            for each in Mail.model_validate(block(smtp, smtp_password="wrong", destinations=two)).endpoints()
        )
        error = refusal(first)
        assert (error.permanent, error.retry_after) == (False, 900)
        assert "refused the login (535 " in error.sentence and "check smtp_user and smtp_password" in error.sentence
        for each in (first, second):
            again = refusal(replace(each, clock=lambda: NOW + timedelta(minutes=5)))
            assert (again.permanent, again.retry_after) == (False, 600)
        assert logins == ["PLAIN"]
        refusal(replace(second, clock=lambda: NOW + timedelta(minutes=15)))
        assert logins == ["PLAIN", "PLAIN"]

    def test_a_pause_that_began_by_a_clock_that_was_ahead_is_over(self, smtp: Smtp) -> None:
        mail = Mail.model_validate(block(smtp))
        mail.login_was_refused(NOW + timedelta(hours=5))
        assert mail.login_pause(NOW) == 0

    def test_no_password_goes_out_in_clear(self, smtp: Smtp, logins: list[str]) -> None:
        # Another way to write 127.0.0.1, which no rule of ours takes for loopback.
        ours = endpoint(smtp, "none", smtp_host="127.1")
        error = refusal(ours)
        assert logins == [] and smtp.mails == []
        assert error.permanent
        assert "it wants a login, so set smtp_user, smtp_password and smtp_crypto: starttls or ssl" in error.sentence
        assert any("the password would travel in clear" in warning for warning in ours.mail.warnings())

    def test_is_not_made_without_a_password(self, smtp: Smtp, logins: list[str]) -> None:
        error = refusal(endpoint(smtp, smtp_password=""))
        assert logins == []
        assert error.permanent and "set smtp_user and smtp_password" in error.sentence


class TestMistakes:
    """Settings that do not fit the server: each ends soon, and says what to change."""

    def hint(self, ours: MailEndpoint, *, permanent: bool = False) -> str:
        begun = time.monotonic()
        error = refusal(ours)
        assert time.monotonic() - begun < 15
        assert error.permanent is permanent
        return error.sentence

    def test_ssl_on_a_starttls_port(self, smtp: Smtp) -> None:
        sentence = self.hint(endpoint(smtp, "starttls", smtp_crypto="ssl"))
        assert "does not begin with TLS, so write smtp_crypto: starttls" in sentence

    @pytest.mark.parametrize("crypto", ["tls", ""])
    def test_anything_else_on_an_ssl_port(self, smtp: Smtp, crypto: str) -> None:
        sentence = self.hint(endpoint(smtp, "ssl", smtp_crypto=crypto, timeout="2s"))
        assert "said nothing for 1 s" in sentence and "write smtp_crypto: ssl" in sentence

    def test_starttls_where_there_is_none(self, smtp: Smtp) -> None:
        assert "does not offer STARTTLS: write smtp_crypto" in self.hint(endpoint(smtp, "none", smtp_crypto="starttls"))

    def test_none_on_a_starttls_port(self, smtp: Smtp) -> None:
        sentence = self.hint(endpoint(smtp, "starttls", smtp_crypto="none"), permanent=True)
        assert "write smtp_crypto: starttls" in sentence

    @pytest.mark.parametrize("crypto", ["starttls", "ssl"])
    def test_an_unknown_authority(self, smtp: Smtp, crypto: Crypto) -> None:
        sentence = self.hint(endpoint(smtp, crypto, ca_file=None))
        assert "certificate that was refused" in sentence and "ca_file" in sentence
        assert smtp.mails == []

    @pytest.mark.parametrize("crypto", ["starttls", "ssl"])
    def test_checks_can_be_switched_off(self, smtp: Smtp, crypto: Crypto) -> None:
        ours = endpoint(smtp, crypto, ca_file=None, verify_tls=False)
        deliver(ours)
        assert any("verify_tls is off" in warning for warning in ours.mail.warnings())

    def test_a_missing_ca_file(self, smtp: Smtp, tmp_path: Path) -> None:
        sentence = self.hint(endpoint(smtp, ca_file=str(tmp_path / "none.pem")))
        assert "none.pem cannot be used: No such file or directory" in sentence

    def test_nobody_listens(self, smtp: Smtp) -> None:
        assert "cannot be reached: Connection refused" in self.hint(endpoint(smtp, smtp_port=free_port()))

    def test_an_unknown_host(self, smtp: Smtp) -> None:
        error = refusal(endpoint(smtp, smtp_host="no-such-host.invalid"))
        assert not error.permanent
        assert "no-such-host.invalid:" in error.sentence


class _Script(socketserver.StreamRequestHandler):
    """An SMTP server that answers each command by its first word, the greeting by ``, the mail's end by `.`."""

    replies: ClassVar[dict[str, str]]

    def handle(self) -> None:
        word = ""
        while reply := self.replies.get(word, "250 fine"):
            self.wfile.write(reply.encode() + b"\r\n")
            line = self.rfile.readline()
            if reply.startswith("354"):
                while line not in (b".\r\n", b""):
                    line = self.rfile.readline()
            if not line:
                break
            word = line.decode().split()[0]


def scripted(replies: dict[str, str], **changes: Any) -> str:
    """What one attempt is answered; NotifyError if it fails."""
    script = {
        "": "220 hello",
        "EHLO": "250-hello\r\n250 AUTH PLAIN",
        "AUTH": "235 yes",
        "DATA": "354 go",
        ".": "250 in",
    }
    handler = type("Script", (_Script,), {"replies": script | replies})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            host, port = server.server_address[:2]
            settings = {"smtp_host": host, "smtp_port": port, "smtp_user": "user", "smtp_password": "s3cret"}
            mail = Mail.model_validate({**settings, "timeout": "20s", "destinations": [{"email": OPS}], **changes})
            return deliver(mail.endpoints()[0])
        finally:
            server.shutdown()
            thread.join()


class TestReplies:
    """Servers that answer in ways that the library's own cannot be told to."""

    @pytest.mark.parametrize(
        ("command", "reply", "permanent"),
        [
            ("", "421 4.7.0 too many connections", False),
            ("", "554 5.7.1 client refused", False),
            ("", "SSH-2.0-OpenSSH_9.2", False),
            ("AUTH", "454 4.7.0 temporary authentication failure", False),
            ("AUTH", "535 5.7.8 bad login", False),
            ("AUTH", "534 5.7.9 mechanism too weak", True),
            ("MAIL", "451 4.3.0 try later", False),
            ("MAIL", "553 5.7.1 not your address", True),
            ("RCPT", "450 4.2.0 greylisted", False),
            ("RCPT", "550 5.1.1 unknown user", True),
            ("DATA", "451 4.3.0 no room", False),
            (".", "452 4.2.2 mailbox full", False),
            (".", "552 5.3.4 too large", True),
            (".", "", False),
            ("MAIL", "", False),
            ("", "", False),
        ],
    )
    def test_4xx_is_temporary_and_5xx_is_final_but_for_a_greeting_and_a_login(
        self, command: str, reply: str, permanent: bool
    ) -> None:
        with pytest.raises(NotifyError, match=f"^mail/{OPS}: 127.0.0.1:") as refused:
            scripted({command: reply})
        assert refused.value.permanent is permanent
        assert reply[:3] in refused.value.sentence
        assert "s3cret" not in refused.value.sentence

    @pytest.mark.parametrize("reply", ["", "500 what?"])
    def test_what_comes_after_the_mail_is_in_changes_nothing(self, reply: str) -> None:
        assert scripted({"QUIT": reply}) == "in"

    def test_a_repeated_login_is_not_passed_on(self) -> None:
        login = base64.b64encode(b"\0user\0s3cret").decode()
        password = base64.b64encode(b"s3cret").decode()
        with pytest.raises(NotifyError) as refused:
            scripted({"AUTH": f"535 what is {login} or {password} or s3cret"})
        assert refused.value.answer == "535 what is *** or *** or ***"
        assert "(535 what is *** or *** or ***)" in refused.value.sentence

    def test_login_is_used_where_plain_is_not_offered(self) -> None:
        user, password = (base64.b64encode(text).decode() for text in (b"user", b"s3cret"))
        replies = {"EHLO": "250-hello\r\n250 AUTH CRAM-MD5 LOGIN", "AUTH": "334 " + user, password: "235 yes"}
        assert scripted(replies) == "in"

    def test_a_login_that_nobody_offers_is_left_out_in_clear(self) -> None:
        assert scripted({"EHLO": "250 hello", "AUTH": "502 what?"}) == "in"
