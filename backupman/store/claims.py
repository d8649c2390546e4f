"""Claims of processes on several hosts, in PostgreSQL: by its clock, because those of the hosts may differ."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text
from sqlmodel import Session, col, select

from backupman.errors import BusyError
from backupman.records import Claim
from backupman.store._sessions import Sessions

NOW = "timezone('utc', clock_timestamp())"
"""PostgreSQL's clock, in SQL, as our columns hold times."""
_UNTIL = f"{NOW} + make_interval(secs => :lease)"
_TAKE = text(
    "INSERT INTO backupman_claims (instance, name, holder, home, host, until)"  # noqa: S608 - of constants
    f" VALUES (:instance, :name, :holder, :home, :host, {_UNTIL})"
    " ON CONFLICT (instance, name) DO UPDATE"
    " SET holder = excluded.holder, home = excluded.home, host = excluded.host, until = excluded.until"
    f" WHERE backupman_claims.until < {NOW} OR backupman_claims.home = excluded.home"
    " RETURNING name"
)
_RENEW = text(f"UPDATE backupman_claims SET until = {_UNTIL} WHERE holder = :holder AND until >= {NOW}")  # noqa: S608 - of constants
_RELEASE = text("DELETE FROM backupman_claims WHERE holder = :holder AND name = :name")
_LIVES = text(f"SELECT 1 FROM backupman_claims WHERE instance = :instance AND home = :home AND until >= {NOW} LIMIT 1")  # noqa: S608 - of constants
_FENCE = text(
    f"SELECT 1 FROM backupman_claims WHERE holder = :holder AND name = :name AND until >= {NOW} FOR SHARE"  # noqa: S608 - of constants
)


@dataclass(frozen=True)
class Holder:
    """A process that claims: its own id, that of its state folder, and the name of its host for people."""

    instance: str
    id: str
    home: str
    host: str


class Claims:
    """Who may do what alone. A claim ends by itself unless it is renewed."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def take(self, holder: Holder, name: str, lease: timedelta) -> str | None:
        """None when the claim is ours now; else the host that has it.

        A claim of our own home is taken over at once: whoever asks holds the lock of what it is about, so that the
        process which had the claim is dead.
        """
        values = vars(holder) | {"holder": holder.id, "name": name, "lease": lease.total_seconds()}
        del values["id"]
        with self._sessions.writing() as session:
            if session.connection().execute(_TAKE, values).first():
                return None
            found = session.exec(select(Claim.host).where(Claim.instance == holder.instance, Claim.name == name))
            return found.first() or "another host"

    def renew(self, holder: Holder, lease: timedelta) -> int:
        """Put off the end of everything that is still ours; how many claims that are."""
        with self._sessions.writing() as session:
            values = {"holder": holder.id, "lease": lease.total_seconds()}
            return int(session.connection().execute(_RENEW, values).rowcount)

    def release(self, holder: Holder, name: str) -> None:
        """Let go of a claim, if it is still ours."""
        with self._sessions.writing() as session:
            session.connection().execute(_RELEASE, {"holder": holder.id, "name": name})

    def lives(self, instance: str, home: str) -> bool:
        """Whether any process of a state folder holds something."""
        with self._sessions.reading() as session:
            return session.connection().execute(_LIVES, {"instance": instance, "home": home}).first() is not None

    def require(self, session: Session, holder: Holder, name: str) -> None:
        """Let the session's transaction end before anybody else can take the claim.

        Raises:
            BusyError: it is not ours any more.
        """
        if not session.connection().execute(_FENCE, {"holder": holder.id, "name": name}).first():
            raise BusyError(f"another daemon of {holder.instance} has taken over")

    def living(self) -> list[Claim]:
        """The claims of all installations that have not ended."""
        with self._sessions.reading() as session:
            return list(session.exec(select(Claim).where(text(f"until >= {NOW}")).order_by(col(Claim.name))))

    def all(self, instance: str) -> list[Claim]:
        """Every claim on record, also what has ended, in the order of the names."""
        with self._sessions.reading() as session:
            return list(session.exec(select(Claim).where(Claim.instance == instance).order_by(col(Claim.name))))
