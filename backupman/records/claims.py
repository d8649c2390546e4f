"""What each process holds while several hosts share the records: a source that it dumps, the lead of an instance."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from backupman.columns import Utc


class Claim(SQLModel, table=True):
    """Something that one process alone may do until a time that it puts off as long as it lives.

    `home` is the id of its state folder, whose locks say more among the processes of one host.
    """

    __tablename__ = "backupman_claims"

    instance: str = Field(primary_key=True, max_length=255)
    name: str = Field(primary_key=True, max_length=255)
    holder: str = Field(max_length=36)
    home: str = Field(max_length=36)
    host: str = Field(max_length=255)
    until: datetime = Field(sa_type=Utc)
