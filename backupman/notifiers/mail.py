"""Mail: each event as a message in HTML and plain text, one for each destination, over SMTP."""

import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.errors import HeaderParseError, MessageDefect
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, getaddresses
from pathlib import Path
from typing import Annotated, Self

from pydantic import ConfigDict, Field, PrivateAttr, field_validator, model_validator

from backupman.errors import NotifyError
from backupman.notifiers import Message, Notifier, State
from backupman.notifiers._network import Clock, utc_now
from backupman.notifiers._report import Report, render
from backupman.notifiers._smtp import LOGIN_PAUSE, LoginRefused, SmtpSettings, Submission
from backupman.notifiers._words import newest
from backupman.registry import Settings, Size
from backupman.text import one_line

_NAME_LENGTH = 100
_MOST_LOG = 2_000_000
"""Bytes; servers refuse mails beyond some megabytes, and it is sent twice, as text and as a page."""


def _address(text: str) -> Address:
    """`john@example.com` or `John Doe <john@example.com>`; a domain of other letters becomes its ASCII form."""
    found = getaddresses([text]) if text.isprintable() else []
    try:
        [(name, spec)] = found
        local, _, domain = spec.rpartition("@")
        return Address(one_line(name, _NAME_LENGTH), addr_spec=f"{local}@{domain.encode('idna').decode()}")
    except (ValueError, HeaderParseError, MessageDefect, IndexError):
        raise ValueError(f"{text!r} is not a mail address: write for example john.doe@example.com") from None


class Destination(Settings):
    """Somebody who gets the mails."""

    name: str = Field(default="", description="Shown beside the address.")
    email: str = Field(max_length=250, description="The address.")

    @field_validator("email")
    @classmethod
    def _is_address(cls, value: str) -> str:
        return _address(value).addr_spec


class Mail(SmtpSettings, Notifier):
    """Mails to a list of destinations through one server."""

    needs = ("smtp_host",)

    # `from` is a word of Python, so the field has another name here.
    model_config = ConfigDict(serialize_by_alias=True, hide_input_in_errors=True)

    sender: str = Field(
        default="", alias="from", description="The sender; default `smtp_user` if it is an address, or backupman@host."
    )
    destinations: list[Destination] = Field(default=[], description="Who gets the mails, each a mail of its own.")
    send_logs: bool = Field(default=True, description="Sends the newest lines of the log of a backup that has ended.")
    logs_size_limit: Annotated[Size, Field(ge=0)] = Field(
        default=100_000, description="Bytes of the log, at most; `0` all that is kept."
    )
    templates: Path | None = Field(default=None, description="Folder with templates that replace the packaged ones.")

    _login_refused_at: datetime | None = PrivateAttr(default=None)

    @field_validator("sender")
    @classmethod
    def _is_address(cls, value: str) -> str:
        return str(_address(value)) if value else ""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if not self.enabled:
            return self
        if not self.destinations:
            raise ValueError("destinations is required while the mail notifier is enabled: name at least one")
        emails = [destination.email.casefold() for destination in self.destinations]
        for email in emails:
            if emails.count(email) > 1:
                raise ValueError(f"the destination {email} is named twice")
        return self

    def endpoints(self) -> Sequence["MailEndpoint"]:
        """One for each destination, named `mail/<email>`."""
        if not self.enabled:
            return []
        return [MailEndpoint(self.named(destination.email), self, destination) for destination in self.destinations]

    def warnings(self) -> list[str]:
        """Settings that do not fit together, or that servers often refuse."""
        if not self.enabled:
            return []
        found = super().warnings()
        if not self.sender and "@" not in self.smtp_user:
            found.append(f"mail: mails will come from {self.from_address()}, which many servers refuse; write from")
        return found

    def from_address(self) -> Address:
        """`from`, else `smtp_user` where it is an address, else backupman at this host."""
        for text in (self.sender, self.smtp_user):
            if "@" in text:
                try:
                    return _address(text)
                except ValueError:
                    continue
        host = re.sub(r"[^A-Za-z0-9.-]+", "-", socket.gethostname()).strip(".-")
        return Address("Backupman", "backupman", host or "localhost")

    def login_pause(self, now: datetime) -> float:
        """Seconds for which no login is tried, because the server has just refused this one."""
        if self._login_refused_at is None or now < self._login_refused_at:  # by a clock that was ahead
            return 0.0
        return max(0.0, (self._login_refused_at + LOGIN_PAUSE - now).total_seconds())

    def login_was_refused(self, now: datetime) -> None:
        """Remember it for all destinations: many mails with one wrong password would get this host locked out."""
        self._login_refused_at = now


@dataclass(frozen=True)
class MailEndpoint:
    """One destination."""

    name: str
    mail: Mail
    destination: Destination
    clock: Clock = field(default=utc_now, repr=False)

    @property
    def events(self) -> Sequence[str]:
        """The kinds of events that it wants."""
        return self.mail.kinds

    @property
    def only_now(self) -> bool:
        """Mails carry the time of their event."""
        return self.mail.only_now

    @property
    def resolves(self) -> bool:
        """Mails end nothing."""
        return self.mail.resolves

    async def send(self, message: Message) -> str:
        """Make one attempt; the server's answer.

        Raises:
            NotifyError: it was not delivered, or a template is broken.
        """
        if pause := self.mail.login_pause(self.clock()):
            raise NotifyError(
                f"{self.name}: {self.mail.server} has just refused the login, which is not tried again for "
                f"{pause:.0f} s: check smtp_user and smtp_password",
                retry_after=pause,
            )
        content = compose(message, self._report(message), self.mail, self.destination)
        sender = self.mail.from_address().addr_spec
        try:
            return await Submission(self.name, self.mail).send(sender, self.destination.email, content.as_bytes())
        except LoginRefused:
            self.mail.login_was_refused(self.clock())
            raise

    def _report(self, message: Message) -> Report:
        sent = self.mail.send_logs and message.state != State.START
        log = newest(message.log, self.mail.logs_size_limit or _MOST_LOG) if sent and message.log else ""
        return render(message, self.mail.templates, self.name, log)

    def preview(self, message: Message) -> str:
        """From, To, Subject and the plain text of the mail."""
        report = self._report(message)
        mail = compose(message, report, self.mail, self.destination)
        head = "".join(f"{name}: {mail[name]}\n" for name in ("From", "To", "Subject", "Date", "Message-ID"))
        return self.mail.redact(f"{head}\n{report.text}")


def compose(message: Message, report: Report, mail: Mail, destination: Destination) -> EmailMessage:
    """The mail: the same over all attempts, `Message-ID` and `Date` included."""
    sender = mail.from_address()
    content = EmailMessage(SMTP)
    content["From"] = sender
    content["To"] = Address(one_line(destination.name, _NAME_LENGTH), addr_spec=destination.email)
    content["Subject"] = report.subject
    content["Date"] = format_datetime(message.time)
    content["Message-ID"] = f"<{message.id}.{message.event}@{sender.domain}>"
    # Keeps out-of-office answers away (RFC 3834).
    content["Auto-Submitted"] = "auto-generated"
    content.set_content(report.text, cte="quoted-printable")
    content.add_alternative(report.html, subtype="html", cte="quoted-printable")
    return content
