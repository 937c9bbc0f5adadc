"""Looking inside: what a model reads off its stream at every depth, who wrote a logit, and what depends on what.

Small and exact: every number is computed from the model as it runs, for every family, and what should add up does.
"""

from .ablation import ablate_heads, head_means
from .attribution import Attribution, direct_logit_attribution
from .induction import induction_scores, offset_scores
from .lens import logit_lens
from .stream import stream_parts
from .tracing import activation_patching

__all__ = [
    "Attribution",
    "ablate_heads",
    "activation_patching",
    "direct_logit_attribution",
    "head_means",
    "induction_scores",
    "logit_lens",
    "offset_scores",
    "stream_parts",
]
