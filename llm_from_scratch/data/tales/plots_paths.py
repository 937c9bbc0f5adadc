"""Plots about a secret place and a lost way. Rules in `telling`."""

# ruff: noqa: E501 - a sentence stays on one line, as it will be read

from __future__ import annotations

from . import words
from .telling import Teller


def secret_place(t: Teller) -> None:
    t.thing_from(words.TREASURES)
    t.introduce()
    t.paragraph()
    t.say(
        "{one_day}, {hero} followed a [butterfly|dragonfly] {to_place}.",
        "{one_day}, {hero} was walking {at_place} when {he} saw a narrow path.",
    )
    t.sense()
    if t.flip():
        t.say(
            "{spot} {hero} found a little door. {he} had never seen it before.",
            "and there, {spot}, {hero} saw a tiny door. {he} pushed it open.",
        )
        t.maybe(
            "behind it was a tiny room made of leaves, with a floor of soft moss.",
            "behind the door was a quiet little room with stones to sit on.",
        )
    else:
        t.say(
            "{hero} crept through some thick leaves and stopped. what was this?",
            "{hero} bent down to pick a flower and saw a hole in the leaves. {he} looked inside.",
        )
        t.say(
            "in front of {him} was a hidden place, full of flowers and light.",
            "it was a secret little place, quiet and warm, and no bigger than a kitchen.",
        )
    t.say(
        "there, {at_place}, lay a fine {thing}.",
        "something was shining {at_place}. it was a fine {thing}!",
    )
    t.paragraph()
    t.say(
        "now {hero} wanted to show the {thing} to somebody. {he} ran to {a_friend}.",
        "such a secret was too big for one. so {hero} told {a_friend} about the {thing}.",
    )
    t.say(
        '"can you keep a secret?" asked {hero}. "yes, little {kind}," said {friend}. "i promise."',
        '"close your eyes and come with me," said {hero}, and took {friend} by the hand.',
    )
    t.maybe(
        '"oh!" said {friend}. "it is the loveliest place [in the world|i have ever seen]."',
        "{friend} was too surprised to say a word.",
    )
    if t.flip():
        t.say(
            '"shall we take the {thing} home?" asked {friend}. "no," said {hero}. "it belongs here."',
            "they looked at the {thing}, but they did not take it away.",
        )
        why = "{friend} kept the secret of the {thing}"
    else:
        t.say(
            'suddenly a voice said, "That {thing} is mine. i lost it long ago. thank you!"',
        )
        t.say("{hero} gave the {thing} back, and they were all so glad that they danced.")
        why = "{he} had given the {thing} back"
    t.remember("{hero} found the {thing} {at_place}", "{hero} showed the {thing} to {friend}", "happy", why)
    t.maybe(
        "from that day on, {hero} and {friend} met there every week, and nobody ever found out.",
        "{he} learned that a secret is most fun when a friend knows it too.",
        "{hero} and {friend} never forgot the day of the {thing}, and they kept their secret for ever.",
    )
    t.good_night()


def lost_way(t: Teller) -> None:
    t.introduce()
    t.say(
        '"do not go too far," {his} {elder} always said.',
        "{his} {elder} had told {hero} to stay close to home.",
    )
    t.paragraph()
    t.say(
        "but {one_day}, {hero} ran after a butterfly, on and on, {to_place}.",
        "but {one_day}, {hero} went {to_place} to look for berries, further than ever before.",
    )
    t.sense()
    t.maybe(
        "{he} looked around {at_place} and did not know where {he} was.",
        "{at_place}, every path looked the same. {hero} was lost.",
    )
    t.maybe(
        "it grew dark. {hero} sat down {spot} and cried.",
        '"hello?" called {hero}. nobody answered.',
        "{hero} walked this way and that way, but {he} could not find the path.",
    )
    t.paragraph()
    t.say(
        "then something moved {at_place}. it was {a_friend} with a fine {thing}.",
        'a soft voice said, "Who is there?" It was {a_friend} with a fine {thing}.',
    )
    t.say(
        '"where do you live, little {kind}?" asked {friend}. "i live {back_home}," said {hero}.',
        '"i live {back_home}," said {hero}, "but i do not know the way."',
    )
    t.say(
        '"[that is not far|i know it well]," said {friend}. "[follow me and my {thing}|hold my {thing} and walk with me]."',
        '"do not be afraid," said {friend}. "look at my {thing} and follow me."',
    )
    t.maybe(
        "so they left the {place}, and {friend} told a funny story on the way.",
        "{friend} went ahead with the {thing}, and {hero} stayed close behind.",
    )
    t.maybe(
        "at last, {hero} saw a light in the window.",
        "and there was {his} home! the door stood open.",
    )
    t.paragraph()
    t.say(
        'then {hero} ran into the arms of {his} {elder}. "thank you, dear {fkind}," said {hero}.',
        "then {hero} ran to {his} {elder}, and {friend} got {a_food} as a thank you.",
    )
    t.remember(
        "{hero} got lost {at_place}",
        "{friend} with the {thing} brought {hero} home",
        "glad",
        "{he} was home again",
    )
    t.maybe(
        "{he} learned that help can come when you least expect it.",
        "from that day on, {hero} never went too far alone, but {he} often visited {friend}.",
        "and {friend} came to visit every week.",
    )
    t.good_night()


PLOTS = (secret_place, lost_way)
