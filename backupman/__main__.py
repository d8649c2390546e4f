"""The process of the command line, `backupman` or `python -m backupman`: it starts and ends without ado."""

import gc
import sys


def main() -> int:
    """Run the command line; what the process answers to its shell.

    Imports make no garbage, and what is there at the end goes with the process: to look for garbage in all of it would
    take a fifth of a short command's time. Whatever lives for longer has an App, which lets the collector work.
    """
    gc.disable()
    from backupman import cli

    try:
        return cli.main()
    finally:
        gc.freeze()


if __name__ == "__main__":
    sys.exit(main())
