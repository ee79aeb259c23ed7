"""Runs the command ``centerdet`` as ``python -m centerdet``."""

import sys

from centerdet.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
