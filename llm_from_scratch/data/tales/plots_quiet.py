"""Quiet plots: a seed that takes its time, a sleepless night, a sad friend, a wet picnic. Rules in `telling`."""

# ruff: noqa: E501 - a sentence stays on one line, as it will be read

from __future__ import annotations

from . import words
from .telling import Teller


def seed(t: Teller) -> None:
    """A friend with a craft gives the hero a seed, which has to be waited for."""
    plant = t.dice.choice(("sunflower", "pumpkin", "bean plant", "rose bush", "strawberry plant", "tomato plant"))
    t.slots["plant"] = plant
    t.thing_from(("bucket", "basket", "jar", "bowl", "cup", "wagon", "teapot", "vase"))
    t.craft_friend()
    t.introduce()
    t.paragraph()
    t.say(
        "{one_day}, {hero} met {a_friend} {at_place}. {friend} gave {hero} a tiny seed in a fine {thing}.",
        '{one_day}, {at_place}, {a_friend} gave {hero} a fine {thing} with a seed in it. "plant it and wait," said {friend}.',
    )
    t.maybe(
        '"what will it be?" asked {hero}. "wait and see," said {friend}.',
        '"it is so small," said {hero}. "big things start small," said {friend}.',
    )
    t.say(
        "{hero} took the {thing}, filled it with earth and put the seed in.",
        "{hero} dug a little hole {at_place}, put the seed in, and carried water in the {thing}.",
    )
    t.paragraph()
    t.maybe(
        "the next day, {hero} looked. nothing. the day after, {he} looked again. nothing.",
        "every morning, {hero} ran to look. but there was only earth.",
    )
    if t.flip():
        t.say(
            '"it does not work," said {hero}. {he} was cross and wanted to dig it up.',
            '"my seed is asleep," {hero} told {friend}. {he} did not want to wait any longer.',
        )
        t.say(
            '"be patient, little {kind}," said {friend}. "a seed has its own time."',
            '"give it sun and water and time, little {kind}," said {friend}.',
        )
    else:
        t.maybe(
            "but {hero} did not give up. {he} watered it and sang to it.",
            "{hero} told the seed a story every evening, so that it would not be lonely.",
        )
    t.maybe(
        "it rained, and the sun shone {at_place}, and one week went by.",
        "days passed {at_place}, and then a week, and then another.",
    )
    t.say(
        "then, one morning, {hero} saw a tiny tip beside the {thing}.",
        "and one morning, a small leaf looked out of the earth.",
    )
    t.say(
        "it grew and grew until it was [as tall as a door|taller than {hero}]. it was a {plant}!",
        "every day it was a little bigger, and by the end of summer it was a big {plant}.",
    )
    t.paragraph()
    t.maybe(
        "then {hero} showed the {plant} to {friend} and gave back the {thing}.",
        '"look, dear {fkind}!" called {hero}. "my seed is a {plant} now!"',
    )
    t.remember(
        "{friend} gave {hero} a seed and the {thing} {at_place}",
        "the seed became a {plant}",
        "proud",
        "{he} had waited so long",
    )
    t.maybe(
        "{he} learned that good things take time.",
        "in autumn, {hero} gave a seed of the {plant} to another child. and {he} was happy.",
        "from that day on, {hero} knew how to wait.",
    )
    t.good_night()


def sleepless(t: Teller) -> None:
    """The hero cannot sleep, and is not the only one."""
    t.thing_from(("blanket",))
    t.introduce()
    t.paragraph()
    t.say(
        "one night, {hero} could not sleep. {he} turned to the left, and {he} turned to the right.",
        "it was late, but {hero} was wide awake.",
    )
    t.maybe(
        "{he} drank some water. {he} counted to one hundred. it did not help.",
        "{he} closed {his} eyes, but they opened again by themselves.",
    )
    t.say(
        "so {he} got up and walked {to_place}. {at_place} sat {a_friend} with a fine {thing}.",
        "so {he} went {to_place} in {his} pyjamas. under the moon, {he} met {a_friend} with a fine {thing}.",
    )
    t.say(
        '"can you not sleep either, little {kind}?" asked {friend}. "no," said {hero}.',
        '"why are you awake?" asked {friend}. "i do not know," said {hero}.',
    )
    t.paragraph()
    t.say(
        "{friend} put the {thing} around {hero}. it was soft and warm.",
        "there was room for two under the {thing}.",
    )
    t.maybe(
        '"let us listen to the night," said {friend}.',
        '"let us count the stars," said {friend}. "you start on the left, and i start on the right."',
    )
    t.say(
        "the wind moved softly {at_place}. somewhere, a door creaked and was still.",
        "they heard the leaves and the slow breath of the night {at_place}.",
        '"one, two, three," counted {hero}. a star fell, and {he} made a wish.',
    )
    t.maybe(
        "{friend} hummed a song, very low and very slow.",
        "{friend} told a story about a cloud that wanted to be a sheep.",
    )
    t.maybe(
        "{hero} gave a big yawn. then {friend} gave a big yawn too.",
        "the eyes of {hero} grew small and smaller.",
    )
    t.paragraph()
    t.maybe(
        "soon they were both asleep under the {thing}, and only the moon was awake.",
        "then {friend} carried {hero} back to bed and left the {thing} there.",
        "in the morning, {hero} woke up under the {thing}.",
    )
    t.remember(
        "{hero} could not sleep",
        "{hero} met {friend} with the {thing} {at_place}",
        "happy",
        "{he} had slept under the {thing}",
    )
    t.say(
        "from that day on, {friend} was {his} friend.",
        "and {hero} learned that a night is not so long with a friend.",
    )


def cheering_up(t: Teller) -> None:
    """A friend is sad, and one thing after another does not help."""
    t.thing_from(("drum", "flute", "whistle", "puppet", "balloon"))
    t.introduce()
    t.say("{his} friend was {a_friend}.", "{he} had a friend, {a_friend}.")
    t.paragraph()
    t.say(
        "{one_day}, {friend} was {at_place}, but {friend} was sad and did not want to play.",
        "{one_day}, {hero} went {to_place}. {friend} sat {at_place} and did not say a word.",
    )
    t.maybe('"i must cheer up {friend}," thought {hero}.', "{hero} did not like to see {friend} like that.")
    t.say(
        "{hero} told a joke. {friend} did not laugh. {hero} stood on {his} head. {friend} did not even look.",
        "{hero} brought {a_food}. but {friend} only took one small bite of the {food}.",
        "{hero} made a funny face. {friend} only sighed.",
    )
    t.say(
        "then {hero} had an idea. {he} ran home and came back with a fine {thing}.",
        "so {hero} ran home and looked in the cupboard. there was a fine {thing}!",
    )
    t.paragraph()
    t.say(
        "soon {hero} began to play with the {thing} {at_place}. it was so silly that a smile came to the face of {friend}.",
        "then {hero} hopped and danced around {at_place} with the {thing}.",
    )
    t.say(
        '{friend} laughed out loud. "do it again, little {kind}!" said {friend}.',
        'then {friend} laughed and laughed. "please, may i try the {thing} too?" said {friend}.',
    )
    t.maybe(
        '"why were you so sad?" asked {hero}. "i do not know," said {friend}. "but now it is gone."',
        "{friend} told {hero} everything, and the sad feeling flew away like a leaf in the wind.",
    )
    t.remember(
        "{friend} was sad {at_place}",
        "{hero} came with the {thing}",
        "glad",
        "{friend} laughed again",
    )
    t.maybe(
        "{he} learned that a friend can be the best medicine.",
        "from that day on, the {thing} stood ready for every sad day.",
        "{hero} left the {thing} with {friend}, and they were both happy.",
    )
    t.good_night()


def picnic(t: Teller) -> None:
    """A picnic in the rain."""
    t.introduce()
    t.paragraph()
    t.say(
        "{one_day}, {hero} wanted to have a picnic {at_place}. {he} packed {a_food}.",
        "{one_day}, {hero} packed {a_food} and went {to_place} for a picnic.",
    )
    t.say(
        "{he} asked {a_friend} to come along.",
        "{a_friend} came too.",
        "on the way, {he} met {a_friend}, who came along.",
    )
    t.say(
        "{friend} brought a fine {thing} to play with."
        if t.slots["noun"] in words.TOYS
        else "{friend} brought a fine {thing}.",
        "{friend} had a fine {thing} under one arm.",
    )
    t.paragraph()
    t.say(
        "they had just sat down {at_place} when it began to rain.",
        "but dark clouds came, and it began to rain {at_place}.",
    )
    t.maybe(
        '"our picnic is spoiled!" cried {hero}.',
        "{hero} looked at the wet {food} and felt like crying.",
        '"now everything is wet," said {hero}, and {he} stamped {his} foot.',
    )
    t.say(
        '"[wait|no, no], little {kind}," said {friend}. "rain can be fun. come with me!"',
        'but {friend} laughed. "who is afraid of a little water?" said {friend}.',
    )
    t.paragraph()
    if t.flip():
        t.say(
            "{friend} jumped into a puddle. splash! then {hero} jumped in too.",
            "they took off their shoes and danced in the puddles.",
        )
        t.maybe(
            "soon they were muddy and wet and could not stop laughing.",
            "they splashed until they were out of breath.",
        )
        t.say(
            "afterwards they went home, dried the {thing}, and ate the {food} by the fire.",
            "when the rain stopped, they ate the {food}, and {friend} hung the {thing} up to dry.",
        )
        then = "{hero} and {friend} danced in the puddles"
    else:
        t.say(
            "they crept under a thick bush and sat there close together.",
            "they found a dry spot under an old tree.",
        )
        t.say(
            "there they ate the {food} and played with the {thing} while the rain fell all around."
            if t.slots["noun"] in words.TOYS
            else "there they ate the {food}, put the {thing} between them, and watched the rain fall all around.",
        )
        t.maybe(
            "then the sun came out, and they saw a rainbow.",
            "when the rain stopped, the whole world smelled new.",
        )
        then = "{hero} and {friend} found a dry spot"
    t.remember("the rain came down {at_place}", then, "happy", "{friend} had come with the {thing}")
    t.maybe(
        '"this was the best picnic ever," said {hero}. and {friend} was happy too.',
        "{he} learned that a rainy day can be a good day.",
        "from that day on, {hero} and {friend} met {at_place} in sun and in rain.",
    )
    t.good_night()


PLOTS = (seed, sleepless, cheering_up, picnic)
