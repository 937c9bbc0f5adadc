"""Keys of real config.json files that keep books: every family takes them; what could change numbers is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

import llm_from_scratch as lfs
from llm_from_scratch.families import all_families, find_family

# What versions 2 to 5 of the transformers library write into a config, defaults included, and other programs add.
BOOKS: dict[str, Any] = json.loads(
    """{"_name_or_path": "./", "_num_labels": 1, "_commit_hash": "c0ffee", "_attn_implementation": "sdpa",
    "_flash_attn_2_enabled": true, "_anything": [1], "add_cross_attention": false, "architectures": ["Some"],
    "auto_map": {"AutoConfig": "configuration_x.XConfig"}, "bad_words_ids": [[7]], "begin_suppress_tokens": [3],
    "bos_token_id": 1, "chunk_size_feed_forward": 0, "cross_attention_hidden_size": null, "custom_pipelines":
    {"text-generation": {"impl": "pipe.Pipe", "pt": "AutoModelForCausalLM"}}, "decoder_start_token_id": 0,
    "diversity_penalty": 0.0, "do_sample": true, "dtype": "float32", "early_stopping": true,
    "encoder_no_repeat_ngram_size": 0, "eos_token_id": [2, 7], "exponential_decay_length_penalty": [5, 1.1],
    "finetuning_task": "squad", "forced_bos_token_id": 1, "forced_eos_token_id": 2, "gradient_checkpointing": true,
    "id2label": {"0": "LABEL_0"}, "is_decoder": false, "is_encoder_decoder": false, "label2id": {"LABEL_0": 0},
    "length_penalty": 1.0, "max_length": 50, "max_new_tokens": 9, "min_length": 3, "min_p": 0.1,
    "no_repeat_ngram_size": 3, "n_special": 5, "num_beam_groups": 1, "num_beams": 4, "num_labels": 2,
    "num_return_sequences": 1, "output_attentions": true, "output_hidden_states": true, "output_past": true,
    "output_scores": true, "pad_token_id": 0, "predict_special_tokens": true, "prefix": "x", "pretraining_tp": 2,
    "problem_type": "regression", "pruned_heads": {}, "remove_invalid_values": true, "repetition_penalty": 1.3,
    "return_dict": true, "return_dict_in_generate": true, "sep_token_id": 4, "summary_activation": "tanh",
    "summary_first_dropout": 0.1, "summary_proj_to_labels": true, "summary_type": "cls_index",
    "summary_use_proj": true, "suppress_tokens": [5, 6], "task_specific_params": {"text-generation": {"top_k": 5}},
    "temperature": 0.7, "tf_legacy_loss": true, "tie_encoder_decoder": true, "tokenizer_class": "XTokenizer",
    "top_k": 40, "top_p": 0.9, "torchscript": true, "transformers_version": "4.31.0", "typical_p": 0.9,
    "unk_token_id": 0, "unsloth_version": "2024.1", "unsloth_fixed": true, "use_bfloat16": true, "use_cache": true,
    "use_return_dict": true, "transformers.js_config": {"dtype": "q4"}}"""
)
CHANGES: dict[str, Any] = {
    "is_encoder_decoder": True, "add_cross_attention": True, "cross_attention_hidden_size": 32,
    "chunk_size_feed_forward": 4, "pruned_heads": {"0": [1]}, "quantization_config": {"bits": 4},
    "logit_scale": 0.5, "final_logit_softcapping": 30.0, "qk_norm": True, "output_multiplier_scale": 2.0,
    "embedding_multiplier": 12.0, "residual_multiplier": 0.2, "num_meta_tokens": 8, "partial_rotary_factors": 0.5,
    "nextn_predict_layers": 1, "use_sliding_windows": True, "max_width": 4, "mask_token": 3, "headdim": 8,
}  # fmt: skip
FAMILIES = sorted(all_families())


def _config(family: str) -> dict[str, Any]:
    return {"model_type": find_family(all_families()[family].model_types[0]).model_types[0]}


@pytest.mark.parametrize("family", FAMILIES)
def test_book_keeping_changes_nothing(family: str) -> None:
    assert lfs.spec({**_config(family), **BOOKS}) == lfs.spec(_config(family))


@pytest.mark.parametrize("key", CHANGES)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_could_change_numbers_is_refused_by_name(family: str, key: str) -> None:
    with pytest.raises((ValueError, TypeError), match=key):
        lfs.spec({**_config(family), key: CHANGES[key]})


@pytest.mark.parametrize("value", [2.0, True, "2", [1, None], [[1]], {"id": 2}])
@pytest.mark.parametrize("key", ["bos_token_id", "eos_token_id"])
def test_ends_and_beginnings_are_ids(key: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"gpt2 config: {key} must be a token id, a list of token ids or null, not "):
        lfs.spec({"model_type": "gpt2", key: value})


def test_an_own_option_counts_although_its_name_looks_private() -> None:
    plain = {"model_type": "opt", "do_layer_norm_before": True}
    assert lfs.spec({**plain, "_remove_final_layer_norm": True}) != lfs.spec(plain)
