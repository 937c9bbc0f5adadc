"""Aligning a model with preferences: a table of methods, and a run of any of them, measured as all are."""

from .method import COMMON, Method, Setup
from .prepare import open_setup, prepare_run, resolved
from .table import METHODS, find_method, methods_table

__all__ = [
    "COMMON",
    "METHODS",
    "Method",
    "Setup",
    "find_method",
    "methods_table",
    "open_setup",
    "prepare_run",
    "resolved",
]
