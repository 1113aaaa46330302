"""`python -m nanogen` is the same program as `nanogen`."""

import sys

from nanogen.cli import main

sys.exit(main())
