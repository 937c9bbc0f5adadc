"""The page that tells of a spike: every kind of finding in words, whatever is missing."""

from __future__ import annotations

import dataclasses
import math

import pytest

from llm_from_scratch.training.excursions import Excursion
from llm_from_scratch.training.forensics import Explanation
from llm_from_scratch.training.forensics_page import page
from llm_from_scratch.training.suspects import Piece

PLAIN = Explanation(
    step=57, snapshot="step-40", steps=17, equal=True, differences=(), notes=(), diverged=None, loss=5.21,
    usual_loss=2.3, gradient=12.0, usual_gradient=0.8, lr=3e-3, clip=1.0, moved=(0.002, 50), began=(), tensors=20,
    batches=({"micro_batch": 1, "epoch": 2, "batch": 12},), documents=(), excerpt=None,
)  # fmt: skip
WEIGHT = Excursion(57, "weight", "layers.1.mixer.value.weight", "weight", 812.0, 15.9, 16.2, 16)
RMS = Excursion(57, "activation", "layers.1.mixer", "rms", 9.0, 0.1, 0.2, 16)
FINE, ODD = Piece(0, 0, 0, 9, 9, 2.0, 0.1, 4, 900), Piece(0, 3, 5, 16, 11, 9.25, 31.0, 70, 1680, 4.0, 9.0)


def changed(**changes):
    return dataclasses.replace(PLAIN, **changes)


@pytest.mark.parametrize("changes, parts", [
    ({}, ["step 57: loss 5.21 (about 2.3 before), gradient 12 (about 0.8 before), learning rate 0.003",
          "replayed from step-40, 17 steps: loss, gradient and rate of each are those of the log, to the last digit",
          "batch 12 of epoch 3", "in the range that they had before", "could not be told apart"]),
    ({"loss": None, "gradient": None, "usual_loss": None, "diverged": "step 57: the loss is nan"},
     ["loss not finite,", "gradient not finite (about 0.8", "  step 57: the loss is nan"]),
    ({"equal": False, "differences": ("step 44: loss is 1.0, the log says 2.0",) * 9, "notes": ("another numpy",)},
     ["it is NOT the run that the log tells of (9 numbers differ)", "the log says 2.0", "note: another numpy"]),
    ({"began": (WEIGHT, RMS, dataclasses.replace(RMS, figure="largest"))},
     ["it began at step 57, in layers.1:",
      "the weights of layers.1.mixer.value.weight: length 812; it was 15.9 to 16.2",
      "what comes out of layers.1.mixer: rms 9", "Something changed layers.1.mixer.value.weight before step 57"]),
    ({"began": (dataclasses.replace(RMS, value=None, low=None, high=None),)},
     ["what comes out of layers.1.mixer: not finite", "It began in layers.1: no document stands out"]),
    ({"documents": (ODD, FINE, FINE, FINE), "excerpt": "x9 \n" * 200},
     ["1 of 4 documents stands out:",
      "document 70 (row 4, tokens 6 to 16; token 1,680 of the training text): loss 9.25",
      "31.0 deviations", "9.0 times the usual gradient", "the first says: 'x9 x9", " …", "a smaller clip (it was 1)"]),
    ({"documents": (FINE, FINE)}, ["no document stands out among 2; the most unusual is document 4"]),
    ({"documents": (dataclasses.replace(ODD, document=None, start=None, loss=math.nan), FINE, FINE, FINE)},
     ["a piece (row 4, tokens 6 to 16): loss not finite over 11 tokens"]),
    ({"moved": (14.05, 1)}, ["Step 1 moved the weights by 1405% of their length", "rate (it was 0.003)"]),
    ({"batches": ({"micro_batch": 1}, {"micro_batch": 2, "epoch": 0, "batch": 5})},
     ["batch (not numbered), micro-batch 1 of 2", "batch 5 of epoch 1, micro-batch 2 of 2"]),
    ({"batches": ({"micro_batch": 1, "stage": 1, "batch": 5},),
      "documents": (dataclasses.replace(FINE, source="notes"),)},
     ["batch 5 of stage 2", "document 4 (row 1, tokens 1 to 9; token 900 of notes)"]),
])  # fmt: skip
def test_what_the_page_says(changes, parts):
    text = page(changed(**changes))
    for part in parts:
        assert part in text, text
    assert text.endswith("\n") and "None" not in text and "nan d" not in text


def test_each_layer_s_part_is_told_once_and_many_are_cut():
    began = tuple(dataclasses.replace(RMS, path=f"layers.{n}") for n in range(9))
    text = page(changed(began=(*began, dataclasses.replace(RMS, path="layers.0", figure="largest"))))
    assert text.count("what comes out of") == 4 and "and 5 more, behind these" in text


def test_causes_in_a_word():
    assert changed().causes == []
    assert changed(began=(RMS,)).causes == ["layer"]
    assert changed(began=(WEIGHT, RMS)).causes == ["weights"]
    many = tuple(dataclasses.replace(WEIGHT, path=f"layers.{n}.w") for n in range(9))
    assert changed(began=many, moved=(2.0, 56)).causes == ["step length"]  # all together: the step took them along
    assert changed(documents=(ODD, FINE, FINE, FINE), began=(RMS,)).causes == ["document"]
    assert changed(documents=(ODD, ODD, ODD, FINE)).causes == []  # if most stand out, it is none of theirs


def test_as_data_nothing_is_infinite():
    data = changed(documents=(dataclasses.replace(ODD, loss=math.nan, deviation=math.inf),)).to_json()
    assert data["documents"][0]["loss"] is None and data["documents"][0]["deviation"] is None
    assert data["culprits"] == 1 and data["causes"] == ["document"]
