"""`python -m vfdeck`."""

import sys

from vfdeck.app.cli import main

sys.exit(main())
