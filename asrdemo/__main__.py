"""`python -m asrdemo`: see asrdemo.cli."""

import sys

from asrdemo.cli import main

sys.exit(main())
