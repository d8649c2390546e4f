"""Every error that a user can meet, as a tree; each one is a sentence that says what, where and what to do.

BackupmanError
├── ConfigError          the config or the call is wrong (exit code 2)
├── BusyError            everything asked for is already running (exit code 3)
├── StoreError           the database of records cannot be used
├── NotFoundError        no record of that name
├── SourceError          a source cannot be reached, listed or read
│   └── DumpError        a dump failed, or the gate refused it
│       └── TimedOut     a dump took longer than its source's timeout
├── PipelineError        a stream cannot be compressed, encrypted, decoded or spooled
│   ├── NoKey            none of the keys that are here opens it
│   └── NoRoom           a disk has not enough room
├── CopyError            a copy is gone, damaged or cannot be restored
├── DriveError           a drive refused or lost something
│   ├── ObjectNotFound   there is no such object on the drive
│   └── Retained         the drive itself keeps the object for now
├── NotifyError          a message was not delivered
├── HookError            a hook command failed
├── RestoreError         a restore failed
└── Interrupted          the user or a signal ended the run (exit code 130)
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command answers to its shell."""

    OK = 0
    FAILED = 1
    USAGE = 2
    BUSY = 3
    INTERRUPTED = 130


class BackupmanError(Exception):
    """Something went wrong that the user can act on.

    `permanent` says that another try of the same call cannot help. `retry_after` (seconds) is the other side's own
    wish, where it gave one. `output` is the end of what a command printed that has failed.
    """

    exit_code = ExitCode.FAILED

    def __init__(
        self, sentence: str, *, permanent: bool = False, retry_after: float | None = None, output: str = ""
    ) -> None:
        clean = sentence.encode(errors="replace").decode()  # a file's name may hold what is no text
        super().__init__(clean)
        self.sentence = clean
        self.permanent = permanent
        self.retry_after = retry_after
        self._output = output

    @property
    def output(self) -> str:
        """What the command printed; of a sentence that explains another error, what that one's did."""
        cause = self.__cause__
        return self._output or (cause.output if isinstance(cause, BackupmanError) else "")


class ConfigError(BackupmanError):
    """The config or the call is wrong."""

    exit_code = ExitCode.USAGE


class BusyError(BackupmanError):
    """Everything asked for is already running."""

    exit_code = ExitCode.BUSY


class StoreError(BackupmanError):
    """The database of records cannot be used."""


class NotFoundError(BackupmanError):
    """No record of that name."""

    exit_code = ExitCode.USAGE


class SourceError(BackupmanError):
    """A source cannot be reached, listed or read."""


class DumpError(SourceError):
    """A dump failed, or the gate refused it."""


class TimedOut(DumpError):
    """A dump took longer than its source's `timeout` and was ended."""


class PipelineError(BackupmanError):
    """A stream cannot be compressed, encrypted, decoded or spooled."""


class NoKey(PipelineError):
    """None of the keys that are here opens an encrypted object."""


class NoRoom(PipelineError):
    """A disk has not enough room for what is to be written there."""


class CopyError(BackupmanError):
    """A copy was looked at and is gone, damaged or cannot be restored."""


class DriveError(BackupmanError):
    """A drive refused or lost something."""


class ObjectNotFound(DriveError):
    """There is no such object on the drive."""


class Retained(DriveError):
    """The drive itself keeps the object for now: by a lock, or because its own rules are to remove it."""


class NotifyError(BackupmanError):
    """A message was not delivered; `answer` is the start of what the other side said."""

    def __init__(
        self, sentence: str, *, permanent: bool = False, retry_after: float | None = None, answer: str = ""
    ) -> None:
        super().__init__(sentence, permanent=permanent, retry_after=retry_after)
        self.answer = answer


class HookError(BackupmanError):
    """A hook command failed."""


class RestoreError(BackupmanError):
    """A restore failed."""


class Interrupted(BackupmanError):
    """The user or a signal ended the run."""

    exit_code = ExitCode.INTERRUPTED


class Terminated(BaseException):
    """SIGTERM has come for a child: like KeyboardInterrupt no error, so that nobody tries again, or the next thing."""
