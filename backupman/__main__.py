"""The process of the command line, `backupman` or `python -m backupman`: it starts and ends without ado."""

import gc
import sys

from backupman import __version__


def main() -> int:
    """Run the command line; what the process answers to its shell.

    Imports make no garbage, and what is there at the end goes with the process: to look for garbage in all of it would
    take a fifth of a short command's time. Whatever lives for longer has an App, which lets the collector work.
    """
    if sys.argv[1:] == ["version"] and sys.stdout:  # what scripts ask again and again needs no library
        print(f"backupman {__version__}", flush=True)  # noqa: T201 - the one command that is not in `cli`
        return 0
    gc.disable()
    try:
        from backupman import cli

        return cli.main()
    except KeyboardInterrupt:  # while it is imported: nothing was begun
        from backupman.errors import ExitCode

        return ExitCode.INTERRUPTED
    finally:
        gc.freeze()


if __name__ == "__main__":
    sys.exit(main())
