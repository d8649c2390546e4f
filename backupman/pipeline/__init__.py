"""The pipeline: compression, then encryption. Two named slots, so that the wrong order cannot be written.

A stage has a `suffix`, `encode(out)` (a context manager of a sink whose clean exit writes the trailer, and whose
exception leaves the output cut off) and `decode(source)`. Both stream in constant memory.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

from pydantic import Field

from backupman.pipeline._sink import Sink
from backupman.pipeline.compression import SUFFIXES as METHODS
from backupman.pipeline.compression import Compression
from backupman.pipeline.encryption import Encryption, decrypt
from backupman.registry import Settings

__all__ = ["METHODS", "Compression", "Encryption", "Pipeline", "Sink", "method_of", "unpacked"]


class Pipeline(Settings):
    """What happens to a dump on its way to the spool."""

    compression: Compression = Field(default_factory=Compression, description="How dumps are compressed.")
    encryption: Encryption | None = Field(default=None, description="Whom dumps are encrypted to; absent: nobody.")
    threads: int = Field(
        default=2, ge=1, le=64, description="Threads that a backup compresses with by zstd; gzip always takes one."
    )

    @property
    def suffix(self) -> str:
        """For example `.gz`, `.zst.age` or nothing."""
        return self.compression.suffix + (self.encryption.suffix if self.encryption else "")

    @contextmanager
    def encode(self, out: Sink) -> Iterator[Sink]:
        """A sink for the dump; what comes out of the pipeline goes to `out`, complete after a clean exit."""
        with ExitStack() as stack:
            if self.encryption:
                out = stack.enter_context(self.encryption.encode(out))
            yield stack.enter_context(self.compression.encode(out, self.threads))

    def decode(self, source: BinaryIO, identities: Sequence[str] = ()) -> BinaryIO:
        """The dump again; `identities` are age secret keys and needed only when the dump is encrypted.

        Raises:
            PipelineError: while reading, when the data are cut, altered, or not for these identities.
        """
        if self.encryption:
            source = self.encryption.decode(source, identities)
        return self.compression.decode(source)


def method_of(ending: str) -> str:
    """The compression of an object whose name ends so, encrypted or not."""
    compressed = ending.removesuffix(".age")
    return next((method for method, suffix in METHODS.items() if suffix and compressed.endswith(suffix)), "none")


def unpacked(source: BinaryIO, ending: str, identities: Sequence[str] = ()) -> BinaryIO:
    """The dump in an object whose name ends so, as `Pipeline.suffix` has it; no config need know of it any more.

    Raises:
        PipelineError: while reading, when the data are cut, altered, or not for these identities.
    """
    if ending.endswith(".age"):
        source = decrypt(source, identities)
    return Compression.model_validate({"method": method_of(ending)}).decode(source)
