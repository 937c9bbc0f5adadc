"""Onward: what we save is opened by the transformers library and by llama.cpp, family by family.

Where they are installed they open it here. Elsewhere the tests hold what is written now to what stood in the files that
they opened (fixtures/exports.json, made by fixtures/make_exports.py), and to the rules of the two file formats.
"""

from __future__ import annotations

import json
import re
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.checkpoints import save_gguf
from llm_from_scratch.families import all_families
from llm_from_scratch.families.gguf import ARCHITECTURES
from llm_from_scratch.files.gguf import TYPES

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import export_models as exports  # noqa: E402
import gguf_models  # noqa: E402

EVIDENCE = json.loads((HERE / "fixtures" / "exports.json").read_text("utf-8"))
README = (HERE.parents[1] / "README.md").read_text("utf-8")
ONWARD = README[README.index("## Onward") : README.index("## ", README.index("## Onward") + 3)]


# --- what was opened elsewhere --------------------------------------------------------------------------------------


def test_every_family_was_opened_or_has_a_reason() -> None:
    opened = {exports.family_of(release) for release in EVIDENCE["transformers"]}
    own = {name for name, family in all_families().items() if family.model_types}
    assert EVIDENCE["transformers"].keys() == set(exports.RELEASES)
    assert opened | exports.NOT_IN_TRANSFORMERS.keys() >= own and not opened & exports.NOT_IN_TRANSFORMERS.keys()
    by_llama_cpp = {gguf_models.CASES[name][0] for name in EVIDENCE["llama.cpp"]}
    assert {gguf_models.random_model(name).config["model_type"] for name in EVIDENCE["llama.cpp"]} == by_llama_cpp
    assert len(ARCHITECTURES) == 9 and EVIDENCE["llama.cpp"].keys() == gguf_models.CASES.keys()


def test_what_was_seen() -> None:
    for release, seen in EVIDENCE["transformers"].items():
        assert seen["difference"] < 1e-4 < 0.1 < seen["largest"] and seen["same greedy tokens"], release
    for name, kinds in EVIDENCE["llama.cpp"].items():
        assert kinds.keys() == set(exports.KINDS)
        assert kinds["F32"]["difference"] < 1e-4 and kinds["F16"]["difference"] < 2e-3, name
        # it rounds what meets a packed matrix to 8 bits
        assert max(kinds[kind]["difference"] for kind in ("Q8_0", "Q4_0")) < 0.03, name
        for kind in ("F32", "F16"):
            assert kinds[kind]["same best tokens"] == kinds[kind]["of"], name


@pytest.mark.parametrize("release", exports.RELEASES)
def test_the_files_are_those_that_were_opened(release: str, tmp_path: Path) -> None:
    exports.random_model(release).save_pretrained(tmp_path)
    now, then = exports.described(tmp_path), EVIDENCE["transformers"][release]["file"]
    assert now["config"] == then["config"]
    assert now["tensors"].keys() == then["tensors"].keys()
    for name, (*entry, number) in now["tensors"].items():
        *wanted, value = then["tensors"][name]
        assert entry == wanted and number == pytest.approx(value, rel=1e-5, abs=1e-3), name


def test_a_tensor_of_another_name_order_or_value_would_be_seen(tmp_path: Path) -> None:
    model = exports.random_model("llama-7b")
    weight = model.state_dict()["layers.0.mixer.query.weight"]
    then = EVIDENCE["transformers"]["llama-7b"]["file"]["tensors"]["model.layers.0.self_attn.q_proj.weight"]
    for change in (weight.T.copy(), weight[::-1].copy(), weight + 0.01):
        model.load_state_dict({**model.state_dict(), "layers.0.mixer.query.weight": change})
        model.save_pretrained(tmp_path)
        now = exports.described(tmp_path)["tensors"]["model.layers.0.self_attn.q_proj.weight"]
        assert now[-1] != pytest.approx(then[-1], rel=1e-5, abs=1e-3)


@pytest.mark.parametrize("name", EVIDENCE["tokenizers"])
def test_tokenizers_give_the_ids_that_they_gave_elsewhere(name: str, tmp_path: Path) -> None:
    ours = exports.tokenizers()[name]
    # the transformers library reads special tokens in any text; here the caller has to allow it
    found = [ours.encode(text, allowed_special="all") for text in exports.TEXTS]
    assert found == EVIDENCE["tokenizers"][name]["ids"]
    ours.save(tmp_path)
    again = lfs.Tokenizer.from_pretrained(tmp_path)
    assert [again.encode(text, allowed_special="all") for text in exports.TEXTS] == found


# --- the rules of the formats, read by nothing of ours --------------------------------------------------------------


@pytest.mark.parametrize("release", ["gpt2", "llama-2-70b", "mixtral-8x7b", "mamba-130m"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_safetensors_file_keeps_its_rules(release: str, dtype: str, tmp_path: Path) -> None:
    exports.random_model(release).save_pretrained(tmp_path, dtype=dtype)
    content = (tmp_path / "model.safetensors").read_bytes()
    size = int.from_bytes(content[:8], "little")
    text = content[8 : 8 + size].decode("utf-8")
    header = json.loads(text)
    assert size % 8 == 0 and text.startswith("{") and text.rstrip(" ").endswith("}")
    metadata = header.pop("__metadata__", {})
    assert all(isinstance(value, str) for value in metadata.values()) and metadata["format"] == "pt"
    end = 0
    for entry in sorted(header.values(), key=lambda entry: entry["data_offsets"]):
        begin, stop = entry["data_offsets"]
        bytes_each = {"F32": 4, "BF16": 2}[entry["dtype"]]
        assert begin == end and stop - begin == bytes_each * int(np.prod(entry["shape"]))
        end = stop
    assert len(content) == 8 + size + end  # no holes, nothing behind
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    assert config["model_type"] and config["architectures"]


def _gguf(content: bytes) -> tuple[dict[str, Any], dict[str, tuple[tuple[int, ...], int, int]], int]:
    """Metadata, {tensor: (shape, type, offset)} and where the data begin: the format's rules, written down again."""
    at = 0

    def take(form: str) -> Any:
        nonlocal at
        (value,) = struct.unpack_from("<" + form, content, at)
        at += struct.calcsize("<" + form)
        return value

    def string() -> str:
        nonlocal at
        size = take("Q")
        at += size
        return content[at - size : at].decode("utf-8")

    def value(kind: int) -> Any:
        if kind == 8:
            return string()
        if kind == 9:
            inner, count = take("I"), take("Q")
            return [value(inner) for _ in range(count)]
        return take("BbHhIif?  Qqd"[kind])

    assert content[:4] == b"GGUF"
    at = 4
    assert take("I") == 3
    tensors, pairs = take("Q"), take("Q")
    metadata = {}
    for _ in range(pairs):
        key = string()
        assert key not in metadata and re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_-]+)*", key), key
        metadata[key] = value(take("I"))
    found = {}
    for _ in range(tensors):
        name, dims = string(), take("I")
        shape = tuple(take("Q") for _ in range(dims))
        kind, offset = take("I"), take("Q")
        found[name] = (shape, kind, offset)
    aligned = metadata.get("general.alignment", 32)
    return metadata, found, -(-at // aligned) * aligned


BLOCKS = {0: (1, 4), 1: (1, 2), 8: (32, 34), 2: (32, 18)}  # F32, F16, Q8_0, Q4_0: numbers and bytes of a block


@pytest.mark.parametrize("kind", exports.KINDS)
@pytest.mark.parametrize(
    "name", ["llama", "mixtral", "qwen", "falcon_40b", "bloom", "mpt", "gpt2", "gpt_neox", "mamba"]
)
def test_a_gguf_file_keeps_its_rules(name: str, kind: str, tmp_path: Path) -> None:
    model, path = gguf_models.random_model(name), tmp_path / "a.gguf"
    save_gguf(model, path, kind=kind, tokenizer=gguf_models.small_tokenizer())
    content = path.read_bytes()
    metadata, tensors, start = _gguf(content)
    architecture = metadata["general.architecture"]
    for key in ("context_length", "embedding_length", "block_count"):
        assert isinstance(metadata[f"{architecture}.{key}"], int)
    assert metadata[f"{architecture}.block_count"] == 2
    assert metadata["tokenizer.ggml.model"] in ("gpt2", "llama")
    assert len(metadata["tokenizer.ggml.tokens"]) == metadata[f"{architecture}.vocab_size"] == model.spec.vocab_size
    end = 0
    for tensor, (shape, number, offset) in sorted(tensors.items(), key=lambda item: item[1][2]):
        assert offset % 32 == 0 and 0 <= offset - end < 32, tensor  # in order, aligned, no more than padding between
        values, size = BLOCKS[number]
        assert shape[0] % values == 0, tensor  # a row is whole blocks; the first dimension is the row
        end = offset + int(np.prod(shape)) // values * size
        assert len(tensor) < 64
        if len(shape) == 1:
            assert number == 0, tensor  # norms and biases stay float32
    assert end <= len(content) - start < end + 32
    assert {TYPES[kind].number for kind in exports.KINDS} == BLOCKS.keys()
    assert any(number == TYPES[kind].number for _, number, _ in tensors.values())


# --- opened here, where they are installed --------------------------------------------------------------------------


def test_generation_settings_reach_the_transformers_library(tmp_path: Path) -> None:
    said = {"bos_token_id": 1, "eos_token_id": [2, 5], "temperature": 0.6, "top_p": 0.9, "do_sample": True}
    model = exports.random_model("llama-7b")
    model.save_pretrained(tmp_path / "plain")
    (tmp_path / "plain" / "generation_config.json").write_text(json.dumps(said), encoding="utf-8")
    lfs.from_pretrained(tmp_path / "plain").save_pretrained(tmp_path / "again")
    assert json.loads((tmp_path / "again" / "generation_config.json").read_text("utf-8")) == said
    transformers = pytest.importorskip("transformers")
    theirs = transformers.GenerationConfig.from_pretrained(tmp_path / "again").to_dict()
    assert {key: theirs[key] for key in said} == said


@pytest.mark.parametrize("release", exports.RELEASES)
def test_the_transformers_library_opens(release: str, tmp_path: Path) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    model, ids = exports.random_model(release), exports.ids()
    model.save_pretrained(tmp_path)
    path = "sdpa" if release == "falcon-rw-1b" else "eager"
    theirs, report = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, attn_implementation=path, dtype=torch.float32, output_loading_info=True
    )
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    with torch.no_grad():
        logits = theirs.eval()(torch.from_numpy(ids)).logits.numpy()
    np.testing.assert_allclose(model(ids).data, logits, rtol=0, atol=1e-4)
    written = theirs.generate(torch.from_numpy(ids[:1]), max_new_tokens=12, do_sample=False, pad_token_id=0).numpy()
    assert np.array_equal(written, model.generate(ids[:1], max_new_tokens=12, temperature=0.0))


@pytest.mark.parametrize("name", EVIDENCE["tokenizers"])
def test_the_transformers_library_opens_tokenizers(name: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    ours = exports.tokenizers()[name]
    ours.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in exports.TEXTS:
        assert theirs.encode(text, add_special_tokens=False) == ours.encode(text, allowed_special="all"), text


@pytest.mark.parametrize("kind", exports.KINDS)
@pytest.mark.parametrize("name", gguf_models.CASES)
def test_llama_cpp_opens(name: str, kind: str, tmp_path: Path) -> None:
    library = pytest.importorskip("llama_cpp")
    model, path = gguf_models.random_model(name), tmp_path / "a.gguf"
    save_gguf(model, path, kind=kind, tokenizer=gguf_models.small_tokenizer())
    theirs = gguf_models.llama_cpp_logits(library, path, gguf_models.IDS)
    ours = lfs.from_pretrained(path)(gguf_models.IDS[None]).data[0]
    within = {"F32": 1e-4, "F16": 2e-3}.get(kind, 0.03)
    assert np.abs(ours - theirs).max() < within * np.abs(theirs).max()
    same = ours.argmax(-1) == theirs.argmax(-1)
    assert same.all() if kind in ("F32", "F16") else same.mean() > 0.8


# --- the page -------------------------------------------------------------------------------------------------------


def test_the_page_tells_versions_families_and_what_was_not_tried() -> None:
    for name in ("transformers", "llama-cpp-python"):
        assert EVIDENCE["made"][name] in ONWARD
    for name in all_families():
        title = {"gpt2": "GPT-2", "gpt_neo": "GPT-Neo", "gpt_neox": "GPT-NeoX", "glm": "GLM-130B", "mpt": "MPT",
                 "opt": "OPT", "llama": "LLaMA", "decilm": "DeciLM", "stripedhyena": "StripedHyena",
                 "bloom": "BLOOM"}.get(name, name.capitalize())  # fmt: skip
        assert title in ONWARD, title
    for reason in ("not tried", "vLLM", "MLX", "dequantize=True"):
        assert reason in ONWARD
