"""The models of the year told about: the map, one model in full, costs, who descends from whom, and a race.

    rows()                            the map, one row a release
    sheet("llama-2-70b")              one model in full, or a checkpoint directory; a dictionary that JSON can hold
    difference("llama-7b", "yi-6b")   what changed between two
    tree()                            who descends from whom
    costs(spec)                       the bill of any spec, your own too
    choices(spec), details(spec)      its design in words, heading by heading

`zoo.race` trains a miniature of each; the command `python -m llm_from_scratch zoo` prints all of it.
"""

from ..scaling.bill import Costs, costs
from .catalogue import Row, difference, rows, sheet, tree
from .design import choices, details

__all__ = ["Costs", "Row", "choices", "costs", "details", "difference", "rows", "sheet", "tree"]
