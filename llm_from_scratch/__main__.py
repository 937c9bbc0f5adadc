"""`python -m llm_from_scratch`."""

from __future__ import annotations

import os
import sys

# `python -m` puts the current folder first, where somebody's own json.py or random.py would stand in for Python's.
if __name__ == "__main__" and sys.path[:1] == [os.getcwd()]:
    sys.path.append(sys.path.pop(0))

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
