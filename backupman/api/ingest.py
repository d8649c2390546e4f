"""The ingest API: results and notifications of scripts elsewhere, with BackupMonitor's documented fields and rules."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from backupman.api.bodies import body_of, document, parsed
from backupman.api.documents import Received
from backupman.api.errors import refusals
from backupman.api.keys import KEYED, Caller, Ingester, Served
from backupman.api.limits import Rate
from backupman.api.timestamps import Moment
from backupman.engine.ingesting import recipient
from backupman.store.ingest import NAME_LENGTH, UNKNOWN_SENDER, Noted, Recipient, Reported

router = APIRouter(prefix="/api/ingest", tags=["ingest"])

_ANSWERS = {200: {"model": Received, "description": "The same entry was there already."}} | (
    KEYED | refusals(400, 408, 413, 422)
)


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("should not be empty")
    return value


def _or_nothing(value: object) -> object:
    """A blank text is one that was left out: a variable of the script that was not set."""
    return None if isinstance(value, str) and not value.strip() else value


Name = Annotated[str, Field(max_length=NAME_LENGTH), AfterValidator(_not_blank)]
OptionalName = Annotated[str | None, Field(max_length=NAME_LENGTH), BeforeValidator(_or_nothing)]


class _Entry(BaseModel):
    """What both kinds have; fields that are not documented are ignored."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True)

    device_name: Name = Field(description="The machine that it is about.")
    timestamp: Moment = Field(description="When it was: ISO 8601 with a UTC offset.")
    sender: OptionalName = Field(default=None, description=f"What sent it; default `{UNKNOWN_SENDER}`.")


class BackupEntry(_Entry):
    """The result of a backup; `sender`, `deviceName` and `jobName` together identify its job."""

    job_name: Name = Field(description="The backup's job.")
    status: Name = Field(description="`Success`, `Error`, `Warning`, or in words of your own.")
    message: str = Field(description="What came of it.")


class NotificationEntry(_Entry):
    """Anything else that people should know."""

    severity: Literal["info", "warning", "error", "critical"] = Field(description="How bad it is.")
    type: Name = Field(description="Its category, for example `disk_space_low`.")
    job_name: OptionalName = Field(default=None, description="A job that it is about.")
    message: str | None = Field(default=None, description="What has happened.")


async def _within_rate(daemon: Served, caller: Ingester, request: Request) -> Caller:
    """The caller, whose key was not used too often. Raises HTTPException: 429 otherwise."""
    rate: Rate = request.app.state.ingest_rate
    allowed = daemon.app.config.ingest.rate
    if wait := rate.take(caller.digest, allowed):
        raise HTTPException(429, f"more than {allowed} requests in a minute with this key", {"Retry-After": str(wait)})
    return caller


_Limited = Annotated[Caller, Depends(_within_rate)]
_Body = Annotated[Any, Depends(document)]


@router.post("/backup", openapi_extra=body_of(BackupEntry), status_code=201, responses=_ANSWERS)
def ingest_backup(daemon: Served, caller: _Limited, body: _Body, response: Response) -> Received:
    """Record the result of a backup made elsewhere; the same entry again changes nothing and answers 200."""
    entry = parsed(BackupEntry, body)
    told = Reported(
        device=entry.device_name,
        job=entry.job_name,
        at=entry.timestamp,
        status=entry.status,
        message=entry.message,
        sender=entry.sender or UNKNOWN_SENDER,
    )
    return _received(daemon.app.store.ingest.backup(told, _recipient(daemon, caller)), response)


@router.post("/notification", openapi_extra=body_of(NotificationEntry), status_code=201, responses=_ANSWERS)
def ingest_notification(daemon: Served, caller: _Limited, body: _Body, response: Response) -> Received:
    """Record a notification and pass it on; the same entry again changes nothing and answers 200."""
    entry = parsed(NotificationEntry, body)
    told = Noted(
        device=entry.device_name,
        at=entry.timestamp,
        severity=entry.severity,
        type=entry.type,
        job=entry.job_name,
        message=entry.message,
        sender=entry.sender or UNKNOWN_SENDER,
    )
    return _received(daemon.app.store.ingest.notification(told, _recipient(daemon, caller)), response)


def _recipient(daemon: Served, caller: _Limited) -> Recipient:
    return recipient(daemon.app.config, daemon.app.plans, caller.name)


def _received(recorded: tuple[str, bool], response: Response) -> Received:
    record_id, new = recorded
    response.status_code = 201 if new else 200
    return Received(id=record_id)
