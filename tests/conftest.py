"""Settings for the whole suite: one BLAS thread unless a test asks for more (results repeat, cores are shared)."""

import os
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "helpers"))

# Scripts that freeze references need the libraries they are frozen from; no test does.
collect_ignore_glob = ["*/make_*.py"]
