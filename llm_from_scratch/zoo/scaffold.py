"""The beginning of a family file, guessed from a published config.json and, if there is one, the list of its tensors.

What is guessed is what most releases of the LLaMA kind do; where nothing is known, a TODO says what to look up. The
file loads this one config, and refuses other values of options that nobody has looked up yet.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ..families.published.config import Config, current_to_2023, keeps_books
from ..families.published.sizes import USUAL_KEYS

# Spellings of the sizes beside the usual ones, and of what else a config says of its model.
_SPELLINGS = {
    "layers": ("n_layer", "n_layers", "num_layers"),
    "width": ("n_embd", "d_model", "n_embed", "dim"),
    "heads": ("n_head", "n_heads", "num_heads"),
    "key_value_heads": ("num_kv_heads", "n_head_kv", "n_kv_heads"),
    "head_dim": ("kv_channels",),
    "feed_forward": ("n_inner", "ffn_dim", "ffn_hidden_size", "mlp_hidden_size"),
    "window": ("window_size",),
    "context": ("n_positions", "seq_length", "max_seq_len", "max_sequence_length", "n_ctx"),
    "vocabulary": (),
    "eps": ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_eps", "norm_epsilon"),
    "activation": ("hidden_activation", "hidden_act", "activation_function", "activation"),
    "rotary base": ("rope_theta", "rotary_emb_base"),
    "rotary share": ("partial_rotary_factor", "rotary_pct", "rope_pct"),
    "init": ("initializer_range", "init_std"),
    "bias": ("attention_bias", "use_qkv_bias", "qkv_bias", "use_bias", "bias"),
    "feed-forward bias": ("mlp_bias", "use_bias", "bias"),
    "tied": ("tie_word_embeddings",),
}
_QKV = "mixer.query+mixer.key+mixer.value"
# How names of tensors end, and what they probably are.
_INSIDE = (
    (r"(c_attn|query_key_value|Wqkv|qkv_proj)", _QKV),
    (r"(q_proj|wq|query)", "mixer.query"),
    (r"(k_proj|wk|key)", "mixer.key"),
    (r"(v_proj|wv|value)", "mixer.value"),
    (r"q_(norm|ln|layernorm)", "mixer.query_norm"),
    (r"k_(norm|ln|layernorm)", "mixer.key_norm"),
    (r"(o_proj|out_proj|wo|attn\.c_proj|attn\.dense|attention\.dense)", "mixer.output"),
    (r"(gate_proj|w1)", "feed_forward.gate"),
    (r"(up_proj|w3|fc1|fc_in|c_fc|dense_h_to_4h)", "feed_forward.up"),
    (r"(down_proj|w2|fc2|fc_out|mlp\.c_proj|dense_4h_to_h)", "feed_forward.down"),
    (r"(input_layernorm|ln_?1|norm_?1|attention_norm|attn_norm)", "mixer_norm"),
    (r"(post_attention_layernorm|pre_feedforward_layernorm|ln_?2|norm_?2|ffn_norm|mlp_norm)", "feed_forward_norm"),
    (r"post_feedforward_layernorm", "feed_forward_norm_branch"),
)
_OUTSIDE = (
    (r"(embed_tokens|wte|word_embeddings|tok_embeddings|embed_in)", "embedding"),
    (r"(wpe|embed_positions)", "positions"),
    (r"(norm|ln_f|norm_f|final_layer_?norm)", "norm"),
    (r"(lm_head|embed_out|output)", "head"),
)
_LLAMA = [f"model.layers.0.self_attn.{part}_proj.weight" for part in "qkvo"]
_LLAMA += [f"model.layers.0.mlp.{part}_proj.weight" for part in ("gate", "up", "down")]
_LLAMA += ["model.layers.0.input_layernorm.weight", "model.layers.0.post_attention_layernorm.weight"]
_LLAMA += ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"]
_IMPORTS = {  # module: the names that a file may need of it
    "..layers": ("AttentionSpec", "FeedForwardSpec", "LayerSpec", "Normal", "NormSpec"),
    "..models.spec": ("ModelSpec", "PositionTable"),
    "._activations": ("ACTIVATIONS",),
    "._relatives": ("rotary_from_config",),
    ".published.config": ("Config",),
    ".published.layouts": ("TRANSPOSED", "Fused"),
    ".published.weights": ("Row", "WeightTable"),
}


class _Guess(NamedTuple):
    """One kind of stored tensor: their name with {i} for the layer and {w} for weight or bias; ours, if it is known."""

    theirs: str
    ours: str | None
    shape: tuple[int, ...]
    has_bias: bool


def scaffold(name: str, config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]] | None = None) -> str:
    """The text of NAME.py for a config and the shapes of its tensors; without shapes, LLaMA's tensors are assumed.

    Raises ValueError for a config that does not say depth, width, heads or vocabulary under a known name.

    >>> config = {"n_layer": 2, "hidden_size": 8, "num_attention_heads": 2, "vocab_size": 5, "intermediate_size": 16}
    >>> text = scaffold("toy", {**config, "hidden_act": "silu", "surprise": 1})
    >>> [line for line in text.splitlines() if "SIZE_KEYS" in line or "surprise" in line][1:]
    ['SIZE_KEYS = {"layers": "n_layer"}', '    config.only("surprise", 1)  # TODO: what does it do?']
    """
    values = {key: value for key, value in current_to_2023(config).items() if _tells(key)}
    words = _words(values)
    guesses = _guesses(dict.fromkeys(_LLAMA, ()) if shapes is None else shapes)
    title, text = name.replace("_", "-"), json.dumps
    said = config.get("architectures")
    architecture = said[0] if isinstance(said, list) and said else name.title().replace("_", "") + "ForCausalLM"
    own = {size: words[size] for size in USUAL_KEYS if size in words and words[size] != USUAL_KEYS[size]}
    body = f"{_spec(title, values, words, guesses)}\n\n{_weights(guesses)}"
    imports = [
        f"from {module} import {', '.join(used)}"
        for module, names in _IMPORTS.items()
        if (used := [word for word in names if re.search(rf"\b{word}\b", body)])
    ]
    lines = [
        f'"""{title}. TODO: what is new in it; source. Initialisation: N(0, initializer_range); TODO: as published?"""',
        "",
        "from __future__ import annotations",
        "",
        "from typing import Any",
        "",
        *imports,
        "",
        f"MODEL_TYPES = ({text(config.get('model_type', name))},)",
        f"ARCHITECTURE = {text(architecture)}",
        "DEFAULTS: dict[str, Any] = {  # TODO: the defaults of the published code; these are what one release says",
        *(f"    {text(key)}: {_literal(value)}," for key, value in values.items()),
        "}",
        *([f"SIZE_KEYS = {text(own)}"] if own else []),
        f'SIZES: dict[str, dict[str, Any]] = {{"{title}": {{}}}}  # TODO: names of the released sizes',
        "",
        "",
        body,
    ]
    return "\n".join(lines)


def _literal(value: Any) -> str:
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _tells(key: str) -> bool:
    """Whether a key is about the model: what the transformers library keeps in every config is not."""
    return key in ("bos_token_id", "eos_token_id") or not keeps_books(key)


def _words(values: Mapping[str, Any]) -> dict[str, str]:
    """{what: the key that says it}, for whatever the config says."""
    found = {}
    for what, others in _SPELLINGS.items():
        tried = ((USUAL_KEYS[what],) if what in USUAL_KEYS else ()) + others
        said = [key for key in tried if key in values]
        if said:
            found[what] = said[0]
            if what in ("width", "heads"):
                Config(values, "scaffold").size(said[0])
        elif what in ("layers", "width", "heads", "vocabulary"):
            raise ValueError(f"the config does not say {what} under a known name ({', '.join(tried)})")
    return found


def _guesses(shapes: Mapping[str, tuple[int, ...]]) -> list[_Guess]:
    found: dict[str, _Guess] = {}
    for name, shape in shapes.items():
        stem, _, last = re.sub(r"\.\d+\.", ".{i}.", name, count=1).rpartition(".")
        inside = "{i}" in stem
        part = next(
            (p for ending, p in (_INSIDE if inside else _OUTSIDE) if re.search(rf"(^|[._]){ending}$", stem)), None
        )
        if part is None or last not in ("weight", "bias"):
            found.setdefault(f"{stem}.{last}", _Guess(f"{stem}.{last}", None, tuple(shape), False))
        elif stem not in found or last == "weight":
            before = found.get(stem)
            found[stem] = _Guess(stem, part, tuple(shape), last == "bias" or (before is not None and before.has_bias))
        else:
            found[stem] = found[stem]._replace(has_bias=True)
    if any(guess.ours == "feed_forward_norm_branch" for guess in found.values()):
        for stem, guess in found.items():  # then the one behind attention is on its output too
            if stem.endswith("post_attention_layernorm"):
                found[stem] = guess._replace(ours="mixer_norm_branch")
    order = ["embedding", "positions", *(part for _, part in _INSIDE), "mixer_norm_branch", "norm", "head", None]
    return sorted(found.values(), key=lambda guess: order.index(guess.ours))


def _spec(title: str, values: Mapping[str, Any], words: Mapping[str, str], guesses: Iterable[_Guess]) -> str:
    parts = {part: guess for guess in guesses if guess.ours for part in guess.ours.split("+")}
    read = {"bos_token_id", "eos_token_id"}

    def ask(what: str, question: str, otherwise: Any) -> str:
        """The question to the config, if it has an answer; {} in it is the key."""
        if what not in words:
            return str(otherwise)
        read.add(words[what])
        return question.format(json.dumps(words[what]))

    def biased(part: str) -> bool:
        return part in parts and parts[part].has_bias

    norm = parts.get("mixer_norm") or parts.get("mixer_norm_branch")
    kind = "rms" if "rms" in words.get("eps", "rms" if norm and not norm.has_bias else "") else "layer"
    learned = "" if norm and (kind == "rms" or norm.has_bias) else f", weight={norm is not None}, bias=False"
    settings = [
        f"bias={ask('bias', 'config.flag({})', biased('mixer.query'))},",
        f"output_bias={ask('bias', 'config.flag({})', biased('mixer.output'))},",
    ]
    lines = [
        f"hidden, heads = {ask('width', 'config.size({})', '')}, {ask('heads', 'config.size({})', '')}",
        f"shared = {ask('key_value_heads', 'config.size_or({}, heads)', 'heads')}",
        f"head_dim = {ask('head_dim', 'config.size_or({}, hidden // heads)', 'hidden // heads')}",
        f"init = Normal({ask('init', 'config.number({}, least=0.0)', '0.02')})",
        'inits: dict[str, Any] = {"init": init, "output_init": init}',
        f'norm = NormSpec(hidden, "{kind}", {ask("eps", "config.number({}, least=0.0)", "1e-5")}{learned})',
    ]
    if "rotary base" in words:
        dims = ask("rotary share", "int(head_dim * config.number({}, above=0.0))", "head_dim")
        lines.append(f"rotary = rotary_from_config(config, {dims}, {ask('rotary base', '{}', '')})")
        read.add("rope_scaling")
        settings.append("rotary=rotary,")
    if "window" in words and values[words["window"]] is not None:
        settings.append(f"window={ask('window', 'config.size({})', '')},  # TODO: in every layer?")
    width = values.get(words.get("head_dim", "")) or values[words["width"]] // values[words["heads"]]
    for part, whole in (("query_norm", "heads * head_dim"), ("key_norm", "shared * head_dim")):
        if f"mixer.{part}" in parts:
            size = "head_dim" if parts[f"mixer.{part}"].shape in ((width,), ()) else whole
            settings.append(f'{part}=NormSpec({size}, "{kind}", norm.eps),')
    lines += ["attention = AttentionSpec(", "    hidden, heads, shared, head_dim,"]
    lines += [*(f"    {setting}" for setting in settings), "    **inits,", ")"]
    inner, act = ask("feed_forward", "config.size_or({}, 4 * hidden)", "4 * hidden"), "config.choice({}, ACTIVATIONS)"
    bias = ask("feed-forward bias", "config.flag({})", biased("feed_forward.up"))
    lines += [f"width, activation = {inner}, {ask('activation', act, repr('gelu'))}"]
    gated = "feed_forward.gate" in parts
    lines += [f"feed_forward = FeedForwardSpec(hidden, width, activation, gated={gated}, bias={bias}, **inits)"]
    branch = ", norm_branch=norm" if "feed_forward_norm_branch" in parts else ""
    before = "" if branch and "mixer_norm" not in parts else ", norm"
    both = "mixer_norm" not in parts or "feed_forward_norm" in parts
    block = f"LayerSpec.{'sequential' if both else 'parallel'}(attention, feed_forward{before}{branch})"
    context = ask("context", "config.size({})", 2048)
    fields = [
        f"vocab_size={ask('vocabulary', 'config.size({})', '')}",
        "hidden_size=hidden",
        f"layers=({block},) * {ask('layers', 'config.size({}, most=10_000)', '')}",
        "norm=norm",
        f"context_length={context}",
        f"tied={ask('tied', 'config.flag({})', 'head' not in parts)}",
        *(["head_bias=True"] if biased("head") else []),
        *([f"positions=PositionTable({context}, init=init)"] if "positions" in parts else []),
        "embedding_init=init",
        "head_init=init",
    ]
    unread = [key for key in values if key not in read]
    lines += [f"config.only({json.dumps(key)}, {_literal(values[key])})  # TODO: what does it do?" for key in unread]
    lines += ["return ModelSpec(", *(f"    {field}," for field in fields), ")"]
    head = f'def spec_from_config(config: Config) -> ModelSpec:\n    """The design of a {title}."""\n'
    return head + "".join(f"    {line}\n" for line in lines)


def _weights(guesses: Iterable[_Guess]) -> str:
    rows, ignored, known = [], [], {}
    for theirs, ours, shape, has_bias in guesses:
        remark = f"  # {shape}" if shape else ""
        if ours is None:
            if theirs.endswith("inv_freq"):
                ignored.append(theirs.replace("{i}", "*"))
            else:
                rows.append(f'# TODO: Row("", {json.dumps(theirs)}),{remark}')
            continue
        known[ours] = theirs
        end = "{w}" if has_bias else "weight"
        names = [json.dumps(f"{'layers.{i}.' * ('{i}' in theirs)}{part}.{end}") for part in ours.split("+")]
        layout = ", TRANSPOSED" if "norm" not in ours and ours not in ("embedding", "positions") else ""
        if ours == _QKV:
            layout, remark = ", Fused()", remark + "  # TODO: [Q | K | V], or head by head: Fused(groups=heads)?"
        mine = names[0] if len(names) == 1 else f"({', '.join(names)})"
        rows.append(f"Row({mine}, {json.dumps(f'{theirs}.{end}')}{layout}),{remark}")
    embedding = known.get("embedding", "TODO")
    prefix = embedding.split(".")[0] + "." if "." in embedding else ""
    tail = [f"ignored={tuple(name.removeprefix(prefix) for name in ignored)!r},"] if ignored else []
    tail += [f"prefix={json.dumps(prefix)},"] if prefix else []
    tail += [f"tied=({json.dumps(known.get('head', 'lm_head') + '.weight')}, {json.dumps(embedding + '.weight')}),"]
    lines = ["return WeightTable(", "    rows=(", *(f"        {row}" for row in rows), "    ),"]
    lines += [*(f"    {each}" for each in tail), ")"]
    head = 'def weights_from_config(config: Config) -> WeightTable:\n    """Which tensor is which."""\n'
    return head + "".join(f"    {line}\n" for line in lines)
