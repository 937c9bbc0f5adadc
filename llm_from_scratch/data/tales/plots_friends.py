"""Plots about sharing, a new friend and shelter in a storm. Rules in `telling`."""

# ruff: noqa: E501 - a sentence stays on one line, as it will be read

from __future__ import annotations

from . import words
from .telling import Teller


def shared_treat(t: Teller) -> None:
    t.introduce()
    t.paragraph()
    t.say(
        "{one_day}, {his} {elder} gave {hero} {a_food}.",
        "{one_day}, {hero} had {a_food}. it smelled so good!",
        "{one_day}, {hero} found {a_food} on the kitchen table. it was for {him}!",
    )
    t.say(
        "{hero} carried the {food} {to_place} to eat it there.",
        "{hero} went {to_place} and sat down to eat the {food}.",
        "{hero} took the {food} {to_place} and looked for a nice place to sit.",
    )
    t.say(
        "{at_place} sat {a_friend} with a fine {thing}, all alone.",
        "{at_place}, {a_friend} came by with a fine {thing}.",
        "{at_place}, {hero} saw {a_friend} with a fine {thing}.",
    )
    t.maybe(
        "{friend} looked at the {food} with big eyes.",
        '"that smells wonderful," said {friend}.',
        '{friend} looked sad and thin. "i have not eaten all day," said {friend}.',
    )
    t.paragraph()
    if t.flip():
        t.say(
            '"this {food} is mine," said {hero}, and turned away.',
            "but {hero} wanted the {food} all for {himself}.",
            "but {hero} held the {food} tight and did not say a word.",
        )
        t.maybe(
            "{friend} took the {thing} and walked away with slow steps.",
            "{friend} said nothing and looked at the ground.",
        )
        t.say(
            "{hero} took one bite, but it did not taste good at all.",
            "then {hero} felt bad. {his} heart was as heavy as a stone.",
        )
        t.say(
            '"wait, dear {fkind}!" called {hero}. "come and eat with me."',
            '"i am sorry," said {hero}. "please, have half of my {food}."',
        )
    else:
        t.say(
            '"[are you hungry|would you like some]?" asked {hero}. "there is enough for two."',
            '"come and sit with me," said {hero}. "we can share."',
            "but {hero} thought for a moment. then {he} broke the {food} in two.",
        )
    t.maybe(
        "{hero} gave one half of the {food} to {friend} {at_place}.",
        "so {hero} and {friend} sat {at_place} and shared the {food}.",
    )
    t.maybe(
        "they ate every crumb.",
        "they ate and talked and laughed.",
        "it was the best {food} they had ever had.",
    )
    t.paragraph()
    t.say(
        '"now i have something for you, little {kind}," said {friend}, and gave {hero} the {thing}. "thank you!" said {hero}.',
        'then {friend} held up the {thing}. "this {thing} is for you," said {friend}.',
    )
    t.remember(
        "{hero} shared the {food} with {friend} {at_place}",
        "{friend} gave {hero} the {thing}",
        "happy",
        "{he} had a new friend",
    )
    t.maybe(
        "{he} learned that half of a {food} with a friend is better than a whole {food} alone.",
        "from that day on, {hero} and {friend} often met {at_place} and shared everything.",
        "and {hero} knew that food tastes best when it is shared.",
        "the {food} was gone, but the {thing} and {his} new friend were there.",
    )
    t.good_night()


def new_friend(t: Teller) -> None:
    t.thing_from(words.TOYS)
    t.introduce()
    t.say(
        "{he} had a fine {thing}, but {he} had nobody to play with.",
        "{he} played with a fine {thing} every day, but always alone.",
        "{he} was often lonely. {his} only toy was a fine {thing}.",
    )
    t.paragraph()
    t.say(
        "{one_day}, {hero} saw {a_friend} {at_place}.",
        "{one_day}, {a_friend} came {to_place}, where {hero} was playing with the {thing}.",
    )
    t.maybe(
        "{hero} wanted to say hello, but {he} was too shy.",
        "{hero} hid {spot} and watched.",
        '"shall i say hello?" {hero} thought. {his} knees were shaking.',
    )
    t.maybe(
        "{friend} sat all alone and drew lines in the dust.",
        "{friend} kicked a little stone and looked bored.",
        "{friend} had no toys and looked lonely.",
    )
    if t.flip():
        t.say(
            "at last, {hero} took a deep breath and walked over with the {thing}.",
            "then {hero} had an idea. {he} took the {thing} and went to {friend}.",
        )
        t.say(
            '"hello," said {hero}. "would you like to play with my {thing}?"',
            '"my name is {hero}," {he} said. "do you like my {thing}?"',
        )
    else:
        t.say(
            "then the {thing} slipped from the hands of {hero} and landed in front of {friend}.",
            "just then, {hero} sneezed. {friend} looked up and saw the {thing}.",
        )
        t.say(
            '"what a fine {thing}!" said {friend}. "may i see it, little {kind}?"',
            '"hello, little {kind}," said {friend}. "is that {thing} yours?"',
        )
    t.paragraph()
    t.say(
        "then {hero} and {friend} smiled. soon they were laughing {at_place} like old friends.",
        "soon {hero} and {friend} were playing {at_place}.",
        "then {hero} and {friend} showed each other new tricks {at_place}.",
    )
    t.maybe(
        "they took turns with the {thing} {at_place} until the sun went down.",
        "all afternoon, they played with the {thing} {at_place}.",
        "{at_place}, the {thing} was twice as much fun with two.",
    )
    t.maybe(
        '"will you come again tomorrow?" asked {friend}. "yes," said {hero}, "and the day after, too."',
        '"let us be friends," said {friend}. "yes, let us!" said {hero}.',
    )
    t.remember(
        "{hero} met {friend} {at_place}",
        "{hero} and {friend} played with the {thing}",
        "happy",
        "{friend} was {his} friend now",
    )
    t.maybe(
        "from that day on, {hero} was never lonely again.",
        "{he} learned that one small hello can bring a big friend.",
        "and that is how {hero} and {friend} became best friends.",
    )
    t.good_night()


def storm(t: Teller) -> None:
    t.introduce()
    t.say(
        "{at_place} lived {a_friend} in a house of [straw|leaves|sticks].",
        "{his} neighbour {at_place} was {a_friend} with a small house.",
    )
    t.paragraph()
    t.say(
        "one night, a great storm came. [the wind howled|thunder rolled] and the rain poured down.",
        "one evening, dark clouds came. soon a storm began to roar.",
        "one night, {hero} woke up. the wind was howling, and rain beat against the window.",
    )
    t.say(
        "then somebody knocked at the door. it was {friend}, cold and wet, with a fine {thing} in one hand.",
        "knock, knock! {hero} opened the door. there stood {friend} with a fine {thing}, wet from head to toe.",
    )
    t.say(
        '"the wind {at_place} blew my house away," said {friend}. "all i have now is this {thing}."',
        '"i have nowhere to sleep {at_place}," said {friend}. "i could only save my {thing}."',
    )
    t.maybe('"come in, come in!" said {hero}.', '"you can stay here," said {hero}.')
    t.maybe(
        "{hero} gave {friend} a dry towel, hot tea and {a_food}. {friend} was soon warm again.",
        "{hero} lit the fire and brought {a_food}. they ate the {food} and listened to the storm.",
    )
    t.paragraph()
    t.maybe(
        "in the morning, the storm was over. the sun came out and the puddles shone.",
        "the next morning, the sky was clear and everything was quiet.",
    )
    t.maybe(
        '"now we will build you a new house," said {hero}.',
        '"i will help you build a better house," {hero} said to {friend}.',
    )
    t.maybe(
        "{hero} carried [stones|boards], and {friend} mixed the clay. they worked for [three days|a week].",
        "they carried stones and boards. {hero} held the ladder, and {friend} hammered the nails.",
    )
    t.say(
        '"this {thing} is for you, little {kind}," said {friend} when the house was done.',
        "the new house had thick walls and a strong roof. {friend} gave {hero} the {thing} as a thank you.",
    )
    t.remember(
        "the storm took the house of {friend} {at_place}",
        "{hero} and {friend} built a new house",
        "happy",
        "{friend} had a home again and {hero} had the {thing}",
    )
    t.maybe(
        "{friend} never forgot how {hero} had opened the door.",
        "{he} learned that a warm heart is the best shelter in a storm.",
        "from that day on, {hero} and {friend} were not afraid of any storm.",
    )
    t.good_night()


PLOTS = (shared_treat, new_friend, storm)
