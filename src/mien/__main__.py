"""``python -m mien`` is the command ``mien``."""

import sys

from mien.cli import main

sys.exit(main())
