"""From a model to an assistant, one technique a file: losses, rewards and what belongs to them."""

from .apa import apa_loss, awr_loss
from .best_of import BestOf, best_of_kl, best_of_n, expected_best
from .constitution import CONSTITUTION, Principle, Revision, revise
from .crlft import crlft_loss
from .dpo import dpo_loss
from .hinge import hinge_loss
from .ipo import ipo_loss
from .judging import judged_preferences
from .kto import kto_loss
from .pairs import encode_answer, encode_pairs
from .preference import preference_objective
from .references import check_reference, implicit_rewards, reference_pairs

__all__ = [
    "BestOf",
    "CONSTITUTION",
    "Principle",
    "Revision",
    "apa_loss",
    "awr_loss",
    "best_of_kl",
    "best_of_n",
    "check_reference",
    "crlft_loss",
    "dpo_loss",
    "encode_answer",
    "encode_pairs",
    "expected_best",
    "hinge_loss",
    "implicit_rewards",
    "ipo_loss",
    "judged_preferences",
    "kto_loss",
    "preference_objective",
    "reference_pairs",
    "revise",
]
