"""In the child: a copy restored into a throwaway database, which is asked what its owner expects, and removed."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, cast

from pydantic import BaseModel

from backupman.data_plane.dumping import source_of
from backupman.data_plane.messages import Drilled
from backupman.data_plane.restoring import opened
from backupman.data_plane.tasks import VerifyTask
from backupman.drills import Answer, Assertion, DrillReport, holds, time_of
from backupman.errors import BackupmanError, RestoreError, SourceError
from backupman.manifest import TableRows
from backupman.pipeline._sink import CHUNK
from backupman.sources import GLOBALS, Source, Target

Tell = Callable[[BaseModel], None]


def drill(task: VerifyTask, folder: Path, tell: Tell) -> None:
    """Restore the copy, ask, tell what was found, and remove everything.

    Raises:
        SourceError, RestoreError: it cannot be restored; nothing of it is left.
        BackupmanError: there is nothing to restore it into, or it could not be read.
    """
    with ExitStack() as stack:
        try:
            server = stack.enter_context(_server(task, folder))
        except (SourceError, RestoreError) as error:
            raise BackupmanError(error.sentence) from error
        database = GLOBALS if task.origin.database == GLOBALS else server.target_of(task.database)
        started = time.monotonic()
        warnings = _restore(task, server, database, folder)
        seconds = time.monotonic() - started
        try:
            report = _asked(task, server, database)
        finally:
            if database != GLOBALS:  # roles go with the server that was made for them
                server.remove(database)
    tell(Drilled(report=report.model_copy(update={"restore_seconds": round(seconds, 3), "warnings": warnings})))


@contextmanager
def _server(task: VerifyTask, folder: Path) -> Iterator[Source]:
    """The configured scratch server, or one that lives as long as the drill."""
    if task.scratch:
        server = source_of(task.scratch)
        database = server.target_of(task.database)
        server.exists(database)  # or there is no server to restore anything into
        try:
            yield server
        except (SourceError, RestoreError) as error:
            try:
                server.exists(database)
            except (SourceError, RestoreError) as gone:  # what failed with it says nothing of the copy
                raise BackupmanError(gone.sentence) from error
            raise
        return
    place = folder / "server"
    place.mkdir(mode=0o700)
    with source_of(task.source).scratch(place, task.origin) as server:
        yield server


def _restore(task: VerifyTask, server: Source, database: str, folder: Path) -> list[str]:
    place = folder / "restore"
    place.mkdir(mode=0o700)
    with opened(task.held, task) as dump:
        stream = cast(BinaryIO, dump)
        warnings = server.restore(stream, task.origin, Target(database, drill=True), place)
        try:
            while stream.read(CHUNK):  # only the end of the stream says that it was good
                pass
        except BaseException:
            if database != GLOBALS:
                server.remove(database)
            raise
    return warnings


def _asked(task: VerifyTask, server: Source, database: str) -> DrillReport:
    if database == GLOBALS:
        return _report(task.database, [], compared=False)
    found = server.count_rows(database)
    compared = task.manifest is not None and bool(task.manifest.tables)
    differences = task.manifest.differences(found) if task.manifest and compared else []
    if task.manifest is None and not found:
        differences = ["no table is there"]
    mine = [asked for asked in task.assertions if asked.database in (None, task.origin.database)]
    answers = [_answer(assertion, task, server, database) for assertion in mine]
    report = _report(task.database, found, compared=compared)
    problems = differences + [f"{answer.sql}: {answer.error}" for answer in answers if not answer.good]
    newest = age = None
    if task.freshness:
        try:
            newest = server.scalar(database, task.freshness, task.query_timeout)
            age = _age(newest)
        except (RestoreError, ValueError) as error:
            problems.append(f"freshness: {error.sentence if isinstance(error, RestoreError) else error}")
    return report.model_copy(
        update={
            "differences": differences,
            "assertions": answers,
            "newest": newest,
            "newest_age_seconds": age,
            "problems": problems,
        }
    )


def _report(database: str, found: list[TableRows], *, compared: bool) -> DrillReport:
    return DrillReport(
        restore_seconds=0.0,
        database=database,
        tables=len(found),
        rows=sum(table.rows or 0 for table in found),
        compared=compared,
        differences=[],
        assertions=[],
        problems=[],
    )


def _answer(assertion: Assertion, task: VerifyTask, server: Source, database: str) -> Answer:
    found, error = None, None
    try:
        found = server.scalar(database, assertion.sql, task.query_timeout)
        if not holds(assertion.expect, found):
            said = "nothing (NULL)" if found is None else repr(found)
            error = f"the answer was {said}, and {assertion.expect!r} was expected"
    except RestoreError as refused:
        error = refused.sentence
    except ValueError as incomparable:
        error = str(incomparable)
    return Answer(sql=assertion.sql, expect=assertion.expect, found=found, good=error is None, error=error)


def _age(newest: str | None) -> float:
    """Seconds since a point in time. Raises ValueError where it is none."""
    time_then = time_of(newest) if newest else None
    if time_then is None:
        said = "nothing (NULL): there is no row" if newest is None else f"{newest!r}, which is no date or time"
        raise ValueError(f"the answer was {said}")
    return round((datetime.now(UTC) - time_then).total_seconds(), 3)
