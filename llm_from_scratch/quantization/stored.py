"""The forms in which a weight may be kept, by the names that files give them.

A form of one's own is a `StoredWeight` (a frozen dataclass of arrays and plain fields) and a row here.
"""

from __future__ import annotations

from ..layers import StoredWeight
from .grid_linear import GridWeight
from .int8_linear import Int8Weight
from .nf4_linear import NF4Weight
from .packed import PackedRows, PackedWeight

_FORMS: tuple[type[StoredWeight], ...] = (
    GridWeight,
    Int8Weight,
    NF4Weight,
    PackedRows,
    PackedWeight,
)
FORMS: dict[str, type[StoredWeight]] = {form.kind: form for form in _FORMS}
