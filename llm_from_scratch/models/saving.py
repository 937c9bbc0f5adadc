"""Writing a model to disk in its family's published layout. (Filled in with the weight tables.)"""

from __future__ import annotations

import os
from typing import Any


def save_pretrained(model: Any, directory: str | os.PathLike[str], **settings: Any) -> None:
    """Write config.json and model.safetensors."""
    raise NotImplementedError
