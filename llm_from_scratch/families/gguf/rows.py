"""Which of our parameters is which tensor of a GGUF file.

Most rows are the same for all architectures, because a row whose parameters a model does not have does not apply. They
differ in how query, key and value lie, and in what attention and feed-forward part were replaced by.
"""

from __future__ import annotations

from ...layers import MixtureSpec
from ...models.spec import ModelSpec
from ..published.layouts import TRANSPOSED, Fused, InterleavedRotary, Stacked
from ..published.weights import Row

_OURS, _THEIRS = "layers.{i}.", "blk.{i}."
_PARTS = ("query", "key", "value")
Rows = tuple[Row, ...]

SHARED = (
    Row("embedding.weight", "token_embd.weight"),
    Row("embedding_norm.{w}", "token_embd_norm.{w}"),
    Row("positions.weight", "position_embd.weight"),
    Row(_OURS + "mixer.output.{w}", _THEIRS + "attn_output.{w}", TRANSPOSED),
    Row(_OURS + "feed_forward.gate.{w}", _THEIRS + "ffn_gate.{w}", TRANSPOSED),
    Row(_OURS + "feed_forward.up.{w}", _THEIRS + "ffn_up.{w}", TRANSPOSED),
    Row(_OURS + "feed_forward.down.{w}", _THEIRS + "ffn_down.{w}", TRANSPOSED),
    Row("norm.{w}", "output_norm.{w}"),
    Row("head.weight", "output.weight", TRANSPOSED),
)
NORMS = (
    Row(_OURS + "mixer_norm.{w}", _THEIRS + "attn_norm.{w}"),
    Row(_OURS + "feed_forward_norm.{w}", _THEIRS + "ffn_norm.{w}"),
)


def separate(spec: ModelSpec) -> Rows:
    """Query, key and value are tensors of their own (qwen2)."""
    apart = (Row(f"{_OURS}mixer.{part}.{{w}}", f"{_THEIRS}attn_{part[0]}.{{w}}", TRANSPOSED) for part in _PARTS)
    return (*SHARED, *NORMS, *apart)


def interleaved(spec: ModelSpec) -> Rows:
    """LLaMA's query and key have rotary pairs as neighbours; experts are stacked, one on the other."""
    mixer = spec.mixers[0]
    heads = {"query": mixer.heads, "key": mixer.key_value_heads}
    turned = {f"{_OURS}mixer.{part}.{{w}}": InterleavedRotary(count) for part, count in heads.items()}
    rows = (Row(row.ours, row.theirs, turned.get(str(row.ours), row.layout)) for row in separate(spec))
    return (*rows, *_experts(spec))


def _experts(spec: ModelSpec) -> Rows:
    mixture = spec.feed_forwards[0]
    if not isinstance(mixture, MixtureSpec):
        return ()
    place = _OURS + "feed_forward."
    stacked = (
        Row(
            tuple(f"{place}experts.{n}.{part}.weight" for n in range(mixture.experts)),
            f"{_THEIRS}ffn_{part}_exps.weight",
            Stacked(),
        )
        for part in ("gate", "up", "down")
    )
    return (Row(place + "router.weight", _THEIRS + "ffn_gate_inp.weight", TRANSPOSED), *stacked)


def fused(spec: ModelSpec) -> Rows:
    """One tensor [Q | K | V], whatever the order of the published one (qwen, bloom, mpt, gpt2, gptneox)."""
    parts = tuple(f"{_OURS}mixer.{part}.{{w}}" for part in _PARTS)
    return (*SHARED, *NORMS, Row(parts, _THEIRS + "attn_qkv.{w}", Fused()))


def falcon(spec: ModelSpec) -> Rows:
    """As `fused`; the attention of Falcon 40B reads the second norm, the feed-forward part the first."""
    plain = fused(spec)
    if len(spec.layers[0].norms) == 1:
        return plain
    second = Row(_OURS + "mixer_norm.{w}", _THEIRS + "attn_norm_2.{w}")
    first = Row(_OURS + "feed_forward_norm.{w}", _THEIRS + "attn_norm.{w}")
    return (*(row for row in plain if row not in NORMS), second, first)


def mamba(spec: ModelSpec) -> Rows:
    """A state space in place of attention and feed-forward part. What stands in for A_log is A (`Architecture`)."""
    mixer = _OURS + "mixer."
    return (
        *(row for row in SHARED if not row.theirs.startswith(_THEIRS)),
        NORMS[0],
        Row((mixer + "input.weight", mixer + "gate.weight"), _THEIRS + "ssm_in.weight", Fused()),
        Row(mixer + "convolution.{w}", _THEIRS + "ssm_conv1d.{w}"),
        Row(mixer + "selection.weight", _THEIRS + "ssm_x.weight", TRANSPOSED),
        Row(mixer + "step.{w}", _THEIRS + "ssm_dt.{w}", TRANSPOSED),
        Row(mixer + "A_log", _THEIRS + "ssm_a"),
        Row(mixer + "D", _THEIRS + "ssm_d"),
        Row(mixer + "output.weight", _THEIRS + "ssm_out.weight", TRANSPOSED),
    )
