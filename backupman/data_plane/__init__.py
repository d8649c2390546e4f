"""The parent's side of the data plane: starts the child, hands it its task, takes its messages, can end it."""

import logging
from collections.abc import Callable, Mapping, Sequence
from threading import Lock, Timer

from pydantic import BaseModel

from backupman.children import KILL_AFTER, Child, next_child
from backupman.data_plane.alive import WORD
from backupman.data_plane.messages import KINDS, MESSAGE, Done, Failed, Logged, Message, SessionOpened
from backupman.data_plane.priority import Priority
from backupman.errors import BackupmanError

log = logging.getLogger(__name__)


class DataPlane:
    """One child process for one task. `cancel` may be called from any thread, also before `run`."""

    def __init__(self, priority: Priority | None = None) -> None:
        self._priority = priority or Priority()
        self._child: Child | None = None
        self._reason: BackupmanError | None = None
        self._lock = Lock()
        self._killer: Timer | None = None
        self._saying = Lock()
        self._until: float | None = None
        self._told = False

    def live_until(self, until: float) -> None:
        """Let the child end itself then, by `since_boot`, unless it is told of a later time before."""
        with self._saying:
            self._until = until
            if self._told and self._child:
                self._child.say(f"{WORD}{until}")

    def run(
        self,
        task: BaseModel,
        handle: Callable[[Message], None] = lambda message: None,
        *,
        hand_over: Sequence[int] = (),
        started: Callable[[], None] = lambda: None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Do the task in a child of its own session; `handle` is given every message, in this thread.

        The descriptors in `hand_over` are open in the child too, which has them once `started` is called: the source's
        lock lasts as long as the child does. `env` is all of its environment; None: what we have.

        Raises:
            ObjectNotFound: the task needs an object that is not on its drive.
            CopyError: the copy that was to be looked at is not good.
            BackupmanError: the task failed, was cancelled (with the reason given then), or the child died.
        """
        with self._lock:
            self.check()
            self._child = child = next_child(env)
        try:
            self._priority.give(child.pid)
            child.hand_over(hand_over)
            started()
            last = self._converse(child, task, handle)
        finally:
            self._end(child)
        self.check()
        if isinstance(last, Failed):
            raise KINDS.get(last.kind, BackupmanError)(last.error, permanent=last.permanent, output=last.output)
        if not isinstance(last, Done):
            raise BackupmanError(child.how_it_died())

    def check(self) -> None:
        """Raise the reason of a cancellation, if there was one."""
        if self._reason:
            raise self._reason

    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._reason is not None

    @property
    def reason(self) -> BackupmanError | None:
        """What `cancel` was called with."""
        return self._reason

    def cancel(self, reason: BackupmanError) -> None:
        """End the child and its tools: it has 20 s to abort its uploads. `run` then raises the reason."""
        with self._lock:
            if self._reason:
                return
            self._reason = reason
            if self._child and self._child.alive:
                self._child.terminate()
                self._killer = Timer(KILL_AFTER, self._child.kill)
                self._killer.daemon = True
                self._killer.start()

    def _converse(self, child: Child, task: BaseModel, handle: Callable[[Message], None]) -> Message | None:
        with self._saying:
            child.say(task.model_dump_json())
            if self._until is not None:
                child.say(f"{WORD}{self._until}")
            self._told = True
        message: Message | None = None
        for line in child.messages():
            said = MESSAGE.validate_json(line)
            if isinstance(said, Logged):
                log.log(said.level, "%s", said.text)
                continue
            message = said
            handle(message)
            if isinstance(message, SessionOpened):
                with self._saying:
                    child.say("recorded")
        return message

    def _end(self, child: Child) -> None:
        child.end()
        with self._lock:
            if self._killer:
                self._killer.cancel()
