"""``python -m claimstance``."""

import sys

from claimstance.cli import main

if __name__ == "__main__":
    sys.exit(main())
