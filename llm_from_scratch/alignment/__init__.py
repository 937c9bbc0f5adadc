"""From a model to an assistant, one technique a file: losses, rewards and what belongs to them."""

from .apa import apa_loss, awr_loss
from .crlft import crlft_loss
from .distillation import cosine_loss, distil, distillation_loss
from .dpo import dpo_loss
from .hinge import hinge_loss
from .ipo import ipo_loss
from .kto import kto_loss
from .on_policy import Mixture, OnPolicySampler, minillm
from .pairs import encode_answer, encode_pairs
from .preference import preference_objective
from .references import check_reference, implicit_rewards, reference_pairs
from .supervised import noisy_next_token
from .teacher_samples import teacher_dialogues

__all__ = [
    "Mixture",
    "OnPolicySampler",
    "apa_loss",
    "awr_loss",
    "check_reference",
    "cosine_loss",
    "crlft_loss",
    "distil",
    "distillation_loss",
    "dpo_loss",
    "encode_answer",
    "encode_pairs",
    "hinge_loss",
    "implicit_rewards",
    "ipo_loss",
    "kto_loss",
    "minillm",
    "noisy_next_token",
    "preference_objective",
    "reference_pairs",
    "teacher_dialogues",
]
