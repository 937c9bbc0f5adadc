"""Three walks through the house go one way: from text to a loss, from ids to logits, from a config.json to weights.

One way means: imports point downwards (`test_layering.py`), and so do calls. The only ones upwards are of something
that was handed in, and those are known by name: a primitive is given its forward and backward, the loop is given a
model. Without these the calls between rooms have no circle: data that has left a room does not come back to it. The
walks are followed as they run, call by call, in the order in which rooms are entered.
"""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from imports import circles, graph
from test_layering import FLOORS
from walks import Walk, traced

import llm_from_scratch as lfs
from llm_from_scratch import data

ROOT = Path(lfs.__file__).parent
TINY = dict(hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=300)
TEXTS = ["The hen found a red hat.", "The fox had a plan, and the hen had a better one."]

PRIMITIVE = ("autograd", "functional")  # a primitive runs the forward and the backward that it was made of
LOOP = ("training", "models")  # what is trained is handed in


def text_to_loss(folder):
    tokenizer = lfs.Tokenizer.train(" ".join(TEXTS), vocab_size=300)
    model = lfs.build("llama", **TINY, seed=0)

    def walk():
        documents = [tokenizer.encode(text) for text in TEXTS]
        batch = next(data.pack_examples(data.examples_from_documents(documents, 16), 1, 32))
        lfs.accumulate_gradients(model, batch["ids"], batch["targets"], threads=1)

    return walk


def ids_to_logits(folder):
    model = lfs.build("llama", **TINY, seed=0)
    return lambda: model(np.array([[1, 2, 3]]))


def config_to_weights(folder):
    lfs.build("llama", **TINY, seed=0).save_pretrained(folder)
    return lambda: lfs.from_pretrained(folder)


def follow(walk) -> Walk:
    walk()  # what is imported at the first call is no part of the way
    with traced(ROOT) as found:
        walk()
    return found


@pytest.mark.parametrize(
    "begin, way, handed_in",
    [
        (text_to_loss, ["tokenizers", "data", "training", "models", "layers"], {PRIMITIVE, LOOP}),
        (ids_to_logits, ["models", "layers"], {PRIMITIVE}),
        (config_to_weights, ["checkpoints", "families", "models"], set()),
    ],
)
def test_a_walk_goes_one_way(begin, way, handed_in, tmp_path):
    found = follow(begin(tmp_path))
    assert [room for room in found.entered if room in way] == way
    assert {call for call in found.calls if FLOORS[call[0]] <= FLOORS[call[1]]} == handed_in
    assert circles(graph(found.calls - handed_in)) == []
    if begin is not config_to_weights:
        assert {("models", "layers"), ("functional", "kernels")} <= found.calls, "the walk was not followed to its end"


@pytest.fixture
def house(tmp_path, monkeypatch):
    """Two floors: the upper one hands a function of its own down to the lower one."""
    package = tmp_path / "walked"
    for room, source in {
        "upper": "from walked.lower import call\ndef own(x):\n    return x + 1\ndef go():\n    return call(own, 1)\n",
        "lower": "import json\ndef call(f, x):\n    return json.loads(json.dumps([f(x)]))\n",
        "lazy": "def own(x):\n    import walked.late.early\n    return x\n",
        "late": "",
    }.items():
        (package / room).mkdir(parents=True)
        (package / room / "__init__.py").write_text(source, encoding="utf-8")
    (package / "late" / "early.py").write_text("from walked.lower import call\ncall(len, 'x')\n", encoding="utf-8")
    (package / "__init__.py").write_text("", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield package
    for name in [name for name in sys.modules if name.split(".")[0] == "walked"]:
        del sys.modules[name]


def test_a_call_upwards_is_seen(house):
    upper = importlib.import_module("walked.upper")
    with traced(house) as walk:
        assert upper.go() == [2]
    assert walk.entered == ["upper", "lower"]
    assert walk.calls == {("upper", "lower"), ("lower", "upper")}
    assert circles(graph(walk.calls)) == [["lower", "upper", "lower"]]


def test_calls_through_other_code_are_seen_and_imports_are_not(house):
    lazy, lower = (importlib.import_module(f"walked.{room}") for room in ("lazy", "lower"))
    with traced(house) as walk:
        list(map(lazy.own, lower.call(int, "1")))
        sorted([1], key=lambda x: lower.call(lazy.own, x)[0])
    assert walk.entered == ["lower", "lazy"]
    assert walk.calls == {("lower", "lazy")}
