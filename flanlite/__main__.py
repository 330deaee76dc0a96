"""`python -m flanlite` is the command `flanlite`."""

import sys

from flanlite.cli.main import main

if __name__ == '__main__':
    sys.exit(main())
