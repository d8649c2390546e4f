"""One mail handed to one SMTP server: encryption, one login by one mechanism, and what each refusal means."""

import asyncio
import base64
from contextlib import suppress
from datetime import timedelta
from typing import Annotated, Literal

import aiosmtplib
from pydantic import BeforeValidator, Field, SecretStr

from backupman.errors import NotifyError
from backupman.notifiers._network import (
    Timeout,
    TlsSettings,
    is_loopback,
    is_tls_failure,
    refused_certificate,
    unreachable_because,
)
from backupman.registry import Provider
from backupman.text import one_line

Crypto = Literal["ssl", "starttls", "none"]
_SYNONYMS = {"tls": "starttls", "": "none"}
_PORTS: dict[Crypto, int] = {"ssl": 465, "starttls": 587, "none": 25}

LOGIN_PAUSE = timedelta(minutes=15)
"""How long a refused login is not tried again, so that one wrong password never looks like an attack."""

_SHOWN = 300
"""Characters of an answer that are kept."""
_GOODBYE = 5.0
_REFUSALS: tuple[tuple[type[aiosmtplib.SMTPResponseException], str, str], ...] = (
    (aiosmtplib.SMTPAuthenticationError, "refused the login", "check smtp_user and smtp_password"),
    (aiosmtplib.SMTPSenderRefused, "refused the sender", "set from to an address that this account may use"),
    (aiosmtplib.SMTPRecipientRefused, "refused the recipient", "check destinations"),
    (aiosmtplib.SMTPDataError, "refused the message", ""),
    (aiosmtplib.SMTPConnectResponseError, "refused the connection", ""),
    (aiosmtplib.SMTPResponseException, "refused", ""),
)


def _crypto(value: object) -> object:
    word = value.strip().lower() if isinstance(value, str) else value
    return _SYNONYMS.get(word, word) if isinstance(word, str) else word


class SmtpSettings(TlsSettings, Provider):
    """The server that mails are handed to."""

    smtp_host: str = Field(default="", max_length=253, description="The mail server.")
    smtp_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="Default by `smtp_crypto`: 465 for ssl, 587 for starttls, 25 for none.",
    )
    smtp_crypto: Annotated[Crypto, BeforeValidator(_crypto)] = Field(
        default="none", description="`ssl` (TLS from the start), `starttls` (or `tls`), or `none`."
    )
    smtp_user: str = Field(default="", description="The account to log in with.")
    smtp_password: SecretStr = Field(default=SecretStr(""), description="Its password.")
    timeout: Timeout = Field(default=timedelta(seconds=30), description="How long one attempt may take altogether.")

    @property
    def port(self) -> int:
        """The configured port, or the usual one."""
        return self.smtp_port or _PORTS[self.smtp_crypto]

    @property
    def server(self) -> str:
        """The server as sentences name it."""
        return f"{self.smtp_host}:{self.port}"

    @property
    def in_clear(self) -> bool:
        """Whether anybody in between could read what is sent."""
        return self.smtp_crypto == "none" and not is_loopback(self.smtp_host)

    @property
    def logs_in(self) -> bool:
        """Whether a login is made where the server offers one: never with a password that others could read."""
        return bool(self.smtp_user and self.smtp_password.get_secret_value()) and not self.in_clear

    def redact(self, text: str) -> str:
        """The text without the password, also as it stands in a login."""
        user, password = self.smtp_user.encode(), self.smtp_password.get_secret_value().encode()
        for form in (b"\0" + user + b"\0" + password, password):
            if password:
                text = text.replace(base64.b64encode(form).decode(), "***")
        return super().redact(text)

    def warnings(self) -> list[str]:
        """Settings that do not fit together."""
        return [sentence for wrong, sentence in self._doubts() if wrong]

    def _doubts(self) -> list[tuple[bool, str]]:
        secret = bool(self.smtp_password.get_secret_value())
        return [
            (
                self.port == 587 and self.smtp_crypto == "ssl",
                "mail: port 587 does not begin with TLS; write smtp_crypto: starttls, or smtp_port: 465",
            ),
            (
                self.port == 465 and self.smtp_crypto != "ssl",
                "mail: port 465 begins with TLS; write smtp_crypto: ssl, or smtp_port: 587 with smtp_crypto: starttls",
            ),
            (
                secret and bool(self.smtp_user) and self.in_clear,
                "mail: no login is made, because smtp_crypto is none and the password would travel in clear; "
                "write smtp_crypto: starttls or ssl",
            ),
            (secret and not self.smtp_user, "mail: smtp_password is not used without smtp_user"),
            (not self.verify_tls, "mail: verify_tls is off, so anybody in between can read the password and the mails"),
        ]


class LoginRefused(NotifyError):
    """The server does not know the account or its password."""


class _Client(aiosmtplib.SMTP):
    """Closes its connection at once: TLS would wait for the server's goodbye, maybe beyond the end of our loop."""

    def close(self) -> None:
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()
        super().close()


class Submission:
    """One attempt to hand one mail to the server; `label` opens every sentence."""

    def __init__(self, label: str, settings: SmtpSettings) -> None:
        self._label = label
        self._settings = settings
        self._seconds = settings.timeout.total_seconds()

    async def send(self, sender: str, recipient: str, content: bytes) -> str:
        """The server's word that it has taken the mail.

        Raises:
            LoginRefused: nor should the login be tried again for LOGIN_PAUSE.
            NotifyError: it has not, for another reason.
        """
        settings = self._settings
        context = None if settings.smtp_crypto == "none" else settings.tls_context(self._label)
        client = _Client(
            hostname=settings.smtp_host,
            port=settings.port,
            timeout=self._seconds,
            use_tls=settings.smtp_crypto == "ssl",
            start_tls=False,
            tls_context=context,
        )
        try:
            async with asyncio.timeout(self._seconds):
                # Half of the time, so that a server that waits for TLS is told from one that is slow at the end.
                await client.connect(timeout=self._seconds / 2)
                if settings.smtp_crypto == "starttls":
                    await self._start_tls(client)
                if settings.logs_in:
                    await self._log_in(client)
                _, said = await client.sendmail(sender, [recipient], content)
            # The mail is in: whatever goes wrong from here on changes nothing.
            with suppress(aiosmtplib.SMTPException, OSError):
                await client.quit(timeout=_GOODBYE)
            return self._shown(said)
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise self._refusal(error.recipients[0]) from None
        except aiosmtplib.SMTPResponseException as error:
            raise self._refusal(error) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            # Not chained, here and above: what the server said may repeat the login.
            raise self._failure(error) from None
        finally:
            client.close()
            await asyncio.sleep(0)

    async def _start_tls(self, client: _Client) -> None:
        await client.ehlo()
        if not client.supports_extension("starttls"):
            raise self._error(
                "does not offer STARTTLS: write smtp_crypto: ssl if the port begins with TLS (usually 465), "
                "or smtp_crypto: none"
            )
        await client.starttls()

    async def _log_in(self, client: _Client) -> None:
        """Log in once, by the first mechanism that both know: each further one would be a further failed login."""
        settings = self._settings
        user, password = settings.smtp_user, settings.smtp_password.get_secret_value()
        await client.ehlo()
        offered = client.server_auth_methods
        if "plain" in offered:
            await client.auth_plain(user, password)
        elif "login" in offered:
            await client.auth_login(user, password)
        elif settings.smtp_crypto != "none":
            known = f"only {', '.join(offered)}" if offered else "none at all"
            raise self._error(f"offers no login by PLAIN or LOGIN, {known}; without one, remove smtp_user")

    def _refusal(self, error: aiosmtplib.SMTPResponseException) -> NotifyError:
        """A reply with a code: 5xx is permanent, except as a greeting, which another server behind the name may not
        give, and for 535: a login is sometimes refused for a passing reason.
        """
        what, hint = next((what, hint) for kind, what, hint in _REFUSALS if isinstance(error, kind))
        if error.code == 530:
            hint = self._wanted(error.message)
        said = self._shown(f"{error.code} {error.message}")
        why = f"{what} ({said})" + (f": {hint}" if hint and error.code >= 500 else "")
        if error.code == 535:
            return LoginRefused(self._sentence(why), retry_after=LOGIN_PAUSE.total_seconds(), answer=said)
        permanent = 500 <= error.code < 600 and not isinstance(error, aiosmtplib.SMTPConnectResponseError)
        return NotifyError(self._sentence(why), permanent=permanent, answer=said)

    def _wanted(self, said: str) -> str:
        if "STARTTLS" in said.upper():
            return "write smtp_crypto: starttls"
        if self._settings.smtp_crypto == "none":
            return "it wants a login, so set smtp_user, smtp_password and smtp_crypto: starttls or ssl"
        return "it wants a login, so set smtp_user and smtp_password"

    def _failure(self, error: Exception) -> NotifyError:
        """No reply at all."""
        if refused := refused_certificate(error):
            return self._error(
                f"showed a certificate that was refused ({refused.verify_message}): if it comes from an authority of "
                "your own, name that in ca_file"
            )
        crypto = self._settings.smtp_crypto
        if is_tls_failure(error):
            hint = ": the port does not begin with TLS, so write smtp_crypto: starttls" if crypto == "ssl" else ""
            return self._error(f"did not agree on TLS{hint}")
        if isinstance(error.__cause__, aiosmtplib.SMTPReadTimeoutError) and crypto != "ssl":
            return self._error(
                f"took the connection and said nothing for {self._seconds / 2:g} s: if the port begins with TLS "
                "(as 465 does), write smtp_crypto: ssl"
            )
        if isinstance(error, TimeoutError):
            return self._error(f"did not answer within {self._seconds:g} s")
        reason = unreachable_because(error) if isinstance(error, aiosmtplib.SMTPConnectError) else None
        return self._error(f"cannot be reached: {reason}" if reason else "closed the connection before the mail was in")

    def _error(self, why: str, *, permanent: bool = False) -> NotifyError:
        return NotifyError(self._sentence(why), permanent=permanent)

    def _sentence(self, why: str) -> str:
        return f"{self._label}: {self._settings.server} {self._settings.redact(why)}"

    def _shown(self, said: str) -> str:
        return one_line(self._settings.redact(said), _SHOWN)
