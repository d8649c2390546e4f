"""A dump tool that writes a file as it is, and how many seconds its writes took: so long it was held up."""

import sys
import time
from pathlib import Path

PIECE = 2**16


def main() -> None:
    """Write the file to standard output, and the seconds into another one."""
    blocked = 0.0
    with Path(sys.argv[1]).open("rb") as file:
        while piece := file.read(PIECE):
            started = time.perf_counter()
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            blocked += time.perf_counter() - started
    Path(sys.argv[2]).write_text(str(blocked))


if __name__ == "__main__":
    main()
