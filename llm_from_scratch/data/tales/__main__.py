"""`python -m llm_from_scratch.data.tales`: how rich their world is; `--checker`: how good their checker."""

from __future__ import annotations

from . import inventory

if __name__ == "__main__":
    inventory.main()
