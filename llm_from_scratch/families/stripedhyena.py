"""StripedHyena: Hyena's gated long convolutions and attention in turn, each with a SwiGLU behind it.

Read are the released weights and the options of the released config.yml or config.json (whose list of Hyena layers
names a layer too many: numbers beyond num_layers are passed over). Poles and residues of the long filters are stored in
float32 whatever the rest is in. `column_split_hyena` says how the two gates and the values lie in one matrix: by heads,
or in thirds. RMSNorm adds eps outside the root. Source: Together AI 2023 and the released code; Poli et al. 2023,
arXiv:2302.10866. How the released model was initialised and trained is not public: here N(0, 0.02), what adds to the
residual divided by √(2 · layers), and poles as in `layers.hyena.DecayingModes`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..layers import AttentionSpec, FeedForwardSpec, HyenaSpec, LayerSpec, ModalFilterSpec, Normal, NormSpec, Rotary
from ..models.spec import ModelSpec
from .published.config import Config
from .published.layouts import TRANSPOSED, ColumnSplit, Fused, Modes
from .published.sizes import grouped
from .published.weights import Row, WeightTable

MODEL_TYPES = ("stripedhyena",)
ARCHITECTURE = "StripedHyenaModelForCausalLM"
# fmt: off
DEFAULTS = {
    "vocab_size": 32000, "hidden_size": 4096, "num_filters": 4096, "num_layers": 32,
    "attn_layer_idxs": list(range(1, 32, 2)), "hyena_layer_idxs": list(range(0, 33, 2)), "inner_mlp_size": 14336,
    "num_attention_heads": 32, "proj_groups": 4, "short_filter_length": 3, "short_filter_bias": True, "state_size": 2,
    "hyena_filter_groups": 1, "column_split_hyena": True, "column_split": False, "rotary_emb_base": 500000,
    "qkv_proj_bias": False, "mha_out_proj_bias": False, "eps": 1e-5, "final_norm": True, "tie_embeddings": False,
    "max_seqlen": 32768, "bos_token_id": None, "eos_token_id": None,
}
# fmt: on
SIZE_KEYS = {"layers": "num_layers", "feed_forward": "inner_mlp_size", "context": "max_seqlen"}
ALIASES = {"tie_word_embeddings": "tie_embeddings"}
SIZES: dict[str, dict[str, Any]] = {"stripedhyena-7b": {}}
# Ways to compute, to place and to store the same; names of files; training settings.
_HARMLESS = """model_name max_batch_size model_parallel_size pipe_parallel_size use_flash_attn use_flash_attention_2
    use_flash_rmsnorm use_flash_depthwise use_flashfft use_laughing_hyena inference_mode prefill_style compile
    hyena_block_dtype attn_block_dtype mlp_dtype depthwise_dtype params_dtype low_mem_mode log_intermediate_values
    mlp_init_method mlp_output_init_method make_vocab_size_divisible_by inner_size_multiple_of split_k0 tokenizer_type
    vocab_file process_group padding_idx seqlen""".split()


def resized(config: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
    """A filter a channel; as many query heads share keys and values as before, if there are so many."""
    heads, groups = config["num_attention_heads"], config["proj_groups"]
    return {
        "num_filters": sizes["width"],
        "proj_groups": sizes["heads"] // grouped(heads // groups, heads, sizes["heads"]),
    }


def spec_from_config(config: Config) -> ModelSpec:
    """The design of a StripedHyena."""
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    config.divides("num_attention_heads", heads, "hidden_size", hidden)
    groups, context = config.size("proj_groups"), config.size("max_seqlen")
    config.divides("proj_groups", groups, "num_attention_heads", heads)
    if (hidden // heads) % 2:
        raise config.error(f"rotary positions turn pairs, so the width of a head must be even, not {hidden // heads}")
    config.only("num_filters", hidden)
    config.only("hyena_filter_groups", 1)
    config.only("column_split", False)
    config.only("smeared_gqa", None, False)
    config.only("use_interpolated_rotary_pos_emb", None, False)
    config.only("rotary_emb_scaling_factor", None, 1.0)
    config.only("long_fir_threshold", None)
    config.only("mlp_activation", None, "silu")
    config.flag("column_split_hyena")
    config.ignore(*_HARMLESS)
    depth = config.size("num_layers", most=10_000)
    init = Normal(0.02)
    inits: dict[str, Any] = {"init": init, "output_init": Normal(0.02 / math.sqrt(2 * depth))}
    attention = AttentionSpec(
        hidden,
        heads,
        heads // groups,
        hidden // heads,
        bias=config.flag("qkv_proj_bias"),
        output_bias=config.flag("mha_out_proj_bias"),
        rotary=Rotary(hidden // heads, config.number("rotary_emb_base", above=0.0)),
        **inits,
    )
    hyena = HyenaSpec(
        hidden,
        ModalFilterSpec(config.size("state_size"), longest=float(context)),
        convolution_width=config.size("short_filter_length"),
        convolution_bias=config.flag("short_filter_bias"),
        **inits,
    )
    feed_forward = FeedForwardSpec(hidden, config.size("inner_mlp_size"), "silu", gated=True, bias=False, **inits)
    norm = NormSpec(hidden, "rms", config.number("eps", least=0.0), eps_outside=True)
    mixers: dict[bool, Any] = {True: attention, False: hyena}
    return ModelSpec(
        vocab_size=config.size("vocab_size"),
        hidden_size=hidden,
        layers=tuple(LayerSpec.sequential(mixers[kind], feed_forward, norm) for kind in _attends(config, depth)),
        norm=norm if config.flag("final_norm") else None,
        context_length=context,
        tied=config.flag("tie_embeddings"),
        embedding_init=init,
        head_init=init,
    )


def _attends(config: Config, depth: int) -> list[bool]:
    """For each layer whether it is attention; each must be in one of the two lists."""
    lists = {}
    for name in ("attn_layer_idxs", "hyena_layer_idxs"):
        values = config.get(name)
        if not isinstance(values, (list, tuple)) or any(isinstance(n, bool) or not isinstance(n, int) for n in values):
            raise config.error(f"{name} must be a list of layer numbers, not {values!r}", TypeError)
        lists[name] = set(values)
    for layer in range(depth):
        named = [name for name, values in lists.items() if layer in values]
        if len(named) != 1:
            where = "both" if named else "neither"
            raise config.error(f"layer {layer} is in {where} of attn_layer_idxs and hyena_layer_idxs, not in one")
    return [layer in lists["attn_layer_idxs"] for layer in range(depth)]


def weights_from_config(config: Config) -> WeightTable:
    """Which tensor is which."""
    ours, theirs = "layers.{i}.", "blocks.{i}."
    fused = tuple(f"{ours}mixer.{part}.{{w}}" for part in ("query", "key", "value"))
    heads = config.size("num_attention_heads") if config.flag("column_split_hyena") else 1
    split, depthwise = ColumnSplit(heads, 3), ColumnSplit(heads, 3, depthwise=True)
    outputs = tuple(  # the last matrix of either mixer goes by a name of its own
        Row(
            f"layers.{i}.mixer.output.{{w}}",
            f"blocks.{i}.{'inner_mha_cls.out_proj' if attends else 'out_filter_dense'}.{{w}}",
            TRANSPOSED,
        )
        for i, attends in enumerate(_attends(config, config.size("num_layers", most=10_000)))
    )
    return WeightTable(
        rows=(
            Row("embedding.weight", "embedding_layer.weight"),
            Row(ours + "mixer_norm.weight", theirs + "pre_norm.scale"),
            Row(ours + "mixer.projection.{w}", theirs + "projections.{w}", split),
            Row(ours + "mixer.convolution.weight", theirs + "filter.short_filter_weight", depthwise),
            Row(ours + "mixer.convolution.bias", theirs + "filter.short_filter_bias", split),
            Row(ours + "mixer.filter.poles", theirs + "filter.poles", Modes(), precise=True),
            Row(ours + "mixer.filter.residues", theirs + "filter.residues", Modes(), precise=True),
            Row(ours + "mixer.D", theirs + "filter.D"),
            Row(fused, theirs + "inner_mha_cls.Wqkv.{w}", Fused()),
            Row(ours + "feed_forward_norm.weight", theirs + "post_norm.scale"),
            Row(ours + "feed_forward.gate.weight", theirs + "mlp.l1.weight", TRANSPOSED),
            Row(ours + "feed_forward.up.weight", theirs + "mlp.l2.weight", TRANSPOSED),
            Row(ours + "feed_forward.down.weight", theirs + "mlp.l3.weight", TRANSPOSED),
            *outputs,
            Row("norm.weight", "norm.scale"),
            Row("head.weight", "unembed.weight", TRANSPOSED),
        ),
        ignored=("blocks.*.inner_mha_cls.rotary_emb.inv_freq",),
        tied=("unembed.weight", "embedding_layer.weight"),
    )
