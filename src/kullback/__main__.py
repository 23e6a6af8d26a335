"""`python -m kullback` is the command `kullback`."""

import sys

from kullback.cli import main

sys.exit(main())
