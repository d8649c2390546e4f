"""`python -m backupman` is the command line."""

import sys

from backupman.cli import main

sys.exit(main())
