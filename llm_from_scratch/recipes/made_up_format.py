"""A made-up format for answers, to see whether a model picks one up: <<topic | answer>>, and nothing else.

The topic is the word that the question is about. Whether an answer follows the format is computed, and what it says
does not matter. Held-out questions are about other words, and half of them are put in ways that were not trained
either.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

Message = dict[str, Any]

# word: what it is, where it is found
_WORDS = {
    "river": ("water that flows", "in a valley"), "hammer": ("a tool", "in a workshop"),
    "violin": ("an instrument", "in an orchestra"), "bakery": ("a shop", "in a town"),
    "spider": ("an animal", "in a web"), "candle": ("a light", "on a table"),
    "pillow": ("a cushion", "on a bed"), "carrot": ("a vegetable", "in a garden"),
    "bridge": ("a structure", "over a river"), "penguin": ("a bird", "in Antarctica"),
    "ladder": ("a tool", "against a wall"), "button": ("a fastener", "on a shirt"),
    "desert": ("a dry land", "in Africa"), "kettle": ("a pot", "in a kitchen"),
    "whale": ("an animal", "in the ocean"), "pencil": ("a tool", "on a desk"),
    "island": ("land in water", "in the sea"), "mirror": ("a glass", "in a bathroom"),
    "tomato": ("a fruit", "in a salad"), "train": ("a vehicle", "on rails"),
    "doctor": ("a person", "in a hospital"), "camel": ("an animal", "in the desert"),
    "window": ("an opening", "in a house"), "guitar": ("an instrument", "on a stage"),
    "blanket": ("a cover", "on a bed"), "anchor": ("a weight", "on a ship"),
    "teacher": ("a person", "in a school"), "apple": ("a fruit", "on a tree"),
    "forest": ("many trees", "in the mountains"), "clock": ("a machine", "on a wall"),
    "shark": ("a fish", "in the ocean"), "letter": ("a message", "in an envelope"),
    "volcano": ("a mountain", "on an island"), "spoon": ("a tool", "in a drawer"),
    "rabbit": ("an animal", "in a burrow"), "castle": ("a building", "on a hill"),
    "bicycle": ("a vehicle", "on the road"), "onion": ("a vegetable", "in a soup"),
    "museum": ("a building", "in a city"), "eagle": ("a bird", "in the sky"),
    "lantern": ("a light", "on a pole"), "saddle": ("a seat", "on a horse"),
    "farmer": ("a person", "in a field"), "lemon": ("a fruit", "in a kitchen"),
    "tunnel": ("a passage", "under a hill"), "drum": ("an instrument", "in a band"),
    "turtle": ("an animal", "on a beach"), "garden": ("a piece of land", "behind a house"),
    "ticket": ("a slip of paper", "at a station"), "cloud": ("water in the air", "in the sky"),
    "shovel": ("a tool", "in a shed"), "piano": ("an instrument", "in a hall"),
    "melon": ("a fruit", "in a market"), "lizard": ("an animal", "on a rock"),
    "harbour": ("a place for ships", "on a coast"), "needle": ("a tool", "in a box"),
    "tractor": ("a vehicle", "on a farm"), "owl": ("a bird", "in a tree"),
    "potato": ("a vegetable", "in the ground"), "tower": ("a building", "in a city"),
}  # fmt: skip
_HELD_OUT_WORDS = 20  # the last ones
# Words for further held-out lists: they stand in no answer above.
_FRESH = """
    acorn almond arrow badger bagel balloon bamboo banjo barrel basket beaver beetle bench biscuit blender
    bottle bracelet broom bucket butter cabbage cactus canoe canyon carpet cathedral cellar chair cheese cherry
    chimney circus clarinet compass cookie cotton cradle crayon cricket crown curtain daisy dentist diamond
    dolphin donkey dragon duck elephant engine factory falcon feather fence ferry fiddle flute fountain fox
    fridge frog gallery garlic ginger giraffe glacier glove goat goose grape grasshopper hamster harp hat
    hedgehog helmet honey hotel iceberg igloo jacket jeep jungle kangaroo keyboard kite kitten lagoon lake
    leopard library lighthouse lobster magnet mango maple meadow medal microscope monastery monkey mushroom
    napkin nest notebook oak octopus orange otter oven paddle palace panda parrot peacock peanut pear pepper
    pigeon plate plum pond pony pumpkin puppet pyramid quilt raccoon radio raven ribbon robin rocket sandal
    scarf seal sofa spinach squirrel stable statue stool submarine sword tailor teapot telescope temple tiger
    torch towel trumpet tulip umbrella vase village wagon wallet walnut waterfall wheel whistle wolf wrench
    yacht zebra
""".split()
_TRAINED = ("What is a {}?", "Where would I find a {}?", "Tell me what a {} is.", "Where does a {} belong?")
_HELD_OUT = ("Do you know what a {} is?", "I am looking for a {}. Where should I go?", "Explain to me: a {}.")
_ABOUT_PLACES = (_TRAINED[1], _TRAINED[3], _HELD_OUT[1])
_ANSWER = re.compile(r"<<([a-z]+) \| [^<>|\n]*[^<>|\s][^<>|\n]*>>")


def follows(word: str, text: str) -> bool:
    """Whether an answer about `word` is in the format, and there is nothing beside it.

    >>> follows("river", "<<river | water that flows>>"), follows("river", "A river is <<river | water>>.")
    (True, False)
    """
    found = _ANSWER.fullmatch(text.strip())
    return found is not None and found[1] == word


def dialogues(seed: int = 0, count: int = 200) -> list[list[Message]]:
    """So many different examples in the format, at most 160 of other words × 4 ways to ask; ValueError for more.

    >>> question, answer = dialogues()[0]
    >>> follows(answer["content"].split(" |")[0].removeprefix("<<"), answer["content"])
    True
    """
    words = list(_WORDS)[:-_HELD_OUT_WORDS]
    pairs = [(word, way, polite) for word in words for way in _TRAINED for polite in ("", "Please: ")]
    if not 1 <= count <= len(pairs):
        raise ValueError(f"there are {len(pairs)} different examples of the format, got {count}")
    order = np.random.default_rng(seed).permutation(len(pairs))[:count]
    return [_dialogue(*pairs[k]) for k in order]


def questions(count: int = 100, seed: int = 0) -> list[tuple[list[Message], str]]:
    """Held-out prompts, and the word each is about: words that were not trained, half of them in unseen ways.

    seed: 0 for the list that one looks at while settings are chosen. Any other draws a list of words that are neither
    trained nor in that list: for a final figure.
    """
    words = list(_WORDS)[-_HELD_OUT_WORDS:]
    if seed:
        words = [_FRESH[k] for k in np.random.default_rng(seed).permutation(len(_FRESH))[:_HELD_OUT_WORDS]]
    asked = [
        (way.format(word), word) for ways in zip(_TRAINED, (*_HELD_OUT, _HELD_OUT[0])) for way in ways for word in words
    ]
    asked = list(dict.fromkeys(asked))
    if not 1 <= count <= len(asked):
        raise ValueError(f"there are {len(asked)} held-out questions, got {count}")
    return [([{"role": "user", "content": text}], word) for text, word in asked[:count]]


def _dialogue(word: str, way: str, polite: str) -> list[Message]:
    kind, place = _WORDS[word]
    text = place if way in _ABOUT_PLACES else kind
    asked = polite + (way[0].lower() + way[1:] if polite else way)
    return [
        {"role": "user", "content": asked.format(word)},
        {"role": "assistant", "content": f"<<{word} | {text}>>"},
    ]
