"""What drives with an SDK share: every call goes through one door, where the SDK's errors become sentences."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from backupman.errors import DriveError
from backupman.retry import RetryPolicy


@dataclass(frozen=True)
class Meaning:
    """What an error means: a sentence with the names of the place, `{object}` and `{said}` in braces."""

    sentence: str
    permanent: bool = True
    kind: type[DriveError] = DriveError


class Door(ABC):
    """Every call of the SDK goes through here: its errors become sentences, the temporary ones are tried again.

    `place` is what sentences may name.
    """

    chained: ClassVar[bool] = True
    """Whether a trace may show the SDK's own error."""
    thing: ClassVar[str] = "the object"
    """What a call is about that does not say it."""

    def __init__(self, place: Mapping[str, str], retry: RetryPolicy) -> None:
        self.retry = retry
        self.label = place["label"]
        self._place = place

    def call(self, function: Callable[[], Any], of: str | None = None) -> Any:
        """What `function` returns, tried again as the policy says; `of` is the object that it is about.

        Raises:
            DriveError: it failed for good.
        """

        def attempt() -> Any:
            with self.explained(of):
                return function()

        return self.retry.call(attempt)

    @contextmanager
    def explained(self, of: str | None = None) -> Iterator[None]:
        """Turn an error of the SDK into a DriveError."""
        try:
            yield
        except DriveError:
            raise
        except Exception as error:
            if (found := self._explain(error, of or self.thing)) is None:
                raise
            raise found from (error if self.chained else None)

    @abstractmethod
    def _explain(self, error: Exception, of: str) -> DriveError | None:
        """The DriveError that an error means; None for a fault that is none of the SDK's."""
