"""The script that freezes the references needs torch: it is not a test, and has no doctests to collect."""

collect_ignore_glob = ["fixtures/*.py"]
