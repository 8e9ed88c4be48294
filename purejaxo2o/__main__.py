"""`python -m purejaxo2o`: the command line."""

import sys

from purejaxo2o.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
