"""Call again unless it is permanent: the one retry policy, backoff by tenacity (kept, plain, sync and async alike)."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import tenacity
from pydantic import BaseModel, ConfigDict

from backupman.errors import BackupmanError

T = TypeVar("T")


class RetryPolicy(BaseModel):
    """How often and how long a call is tried again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attempts: int = 5
    first_wait: float = 1.0
    max_wait: float = 60.0

    def call(
        self,
        function: Callable[[], T],
        *,
        before_sleep: Callable[[BackupmanError], None] | None = None,
        sleep: Callable[[float], Any] = time.sleep,
    ) -> T:
        """What `function` returns; a temporary `BackupmanError` is tried again, the last one is raised as it was.

        `sleep` waits so many seconds, or less: `Event().wait` lets another thread end the wait.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_temporary),
            stop=tenacity.stop_after_attempt(self.attempts),
            wait=self._wait,
            sleep=sleep,
            before_sleep=(lambda state: before_sleep(_error(state))) if before_sleep else None,
            reraise=True,
        )
        return retrying(function)

    def _wait(self, state: tenacity.RetryCallState) -> float:
        backoff = tenacity.wait_random_exponential(multiplier=self.first_wait, max=self.max_wait)(state)
        wished = _error(state).retry_after
        return max(backoff, wished) if wished else backoff


NO_RETRY = RetryPolicy(attempts=1)


def is_temporary(error: BaseException) -> bool:
    """Whether another try of the same call can help."""
    return isinstance(error, BackupmanError) and not error.permanent


def _error(state: tenacity.RetryCallState) -> BackupmanError:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, BackupmanError)  # noqa: S101 - only such errors are retried
    return error


def backoff(attempt: int, *, first: timedelta, longest: timedelta) -> timedelta:
    """How long to wait after the given attempt (1, 2, …): doubled each time up to `longest`, a fifth left to chance."""
    state = tenacity.RetryCallState(retry_object=tenacity.Retrying(), fn=None, args=(), kwargs={})
    state.attempt_number = attempt
    most = tenacity.wait_exponential(multiplier=first.total_seconds(), max=longest.total_seconds())(state)
    return timedelta(seconds=tenacity.wait_random(0.8 * most, most)(state))
