"""From a model to an assistant, one technique a file: losses, rewards and what belongs to them."""

from .apa import apa_loss, awr_loss
from .crlft import crlft_loss
from .dpo import dpo_loss
from .hinge import hinge_loss
from .ipo import ipo_loss
from .kto import kto_loss
from .pairs import encode_answer, encode_pairs
from .preference import preference_objective
from .references import check_reference, implicit_rewards, reference_pairs

__all__ = [
    "apa_loss",
    "awr_loss",
    "check_reference",
    "crlft_loss",
    "dpo_loss",
    "encode_answer",
    "encode_pairs",
    "hinge_loss",
    "implicit_rewards",
    "ipo_loss",
    "kto_loss",
    "preference_objective",
    "reference_pairs",
]
