"""`python -m llm_from_scratch.data.tales`: how rich the world of the tales is, in numbers."""

from __future__ import annotations

from . import inventory

if __name__ == "__main__":
    inventory.main()
