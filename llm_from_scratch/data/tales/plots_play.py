"""Plots about a stranger in need, hide and seek, and a race. Rules in `telling`."""

# ruff: noqa: E501 - a sentence stays on one line, as it will be read

from __future__ import annotations

from .telling import Teller


def helping_stranger(t: Teller) -> None:
    t.craft_friend()
    t.introduce()
    t.paragraph()
    t.say(
        "{one_day}, {hero} was on the way {to_place}.",
        "{one_day}, {hero} set out {to_place} to meet {his} friends.",
        "{one_day}, {hero} wanted to play {at_place}.",
    )
    t.sense()
    t.say(
        "{at_place}, beside the road, {he} saw {a_friend} with a fine {thing}.",
        "{at_place}, on the path, {he} met {a_friend} with a fine {thing}.",
    )
    trouble = t.dice.below(3)
    if trouble == 0:
        t.say(
            "{friend} was pulling a heavy cart, and one wheel was stuck in the mud.",
            "the cart of {friend} stood in deep mud and would not move.",
        )
        t.say(
            '"i will push while you pull," said {hero}. one, two, three! the cart rolled out of the mud.',
            "{hero} put flat stones under the wheel. then they pushed together, and the cart was free.",
        )
        first = "{hero} freed the cart of {friend}"
    elif trouble == 1:
        t.say(
            "{friend} was carrying two heavy sacks and had to rest after every step.",
            "{friend} had dropped a sack, and potatoes rolled all over the road.",
        )
        t.say(
            '"let me help you," said {hero}. {he} picked up a sack and carried it to the house of {friend}.',
            "{hero} did not wait. {he} picked up what {he} could and carried it all the way.",
        )
        first = "{hero} carried a sack for {friend}"
    else:
        t.say(
            '"i have lost my glasses," said {friend}, "and now i cannot find the way {to_place}."',
            "{friend} was turning a map this way and that way, and looked quite lost.",
        )
        t.say(
            "{hero} took {friend} by the hand and showed the way, past the tall tree and over the stones.",
            '"i know the way," said {hero}. "just walk with me."',
        )
        first = "{hero} showed {friend} the way"
    t.maybe(
        "it took a long time, and now {hero} was late. but {he} did not mind.",
        "{hero} got mud on {his} nose, and they both laughed.",
    )
    t.paragraph()
    t.maybe(
        '"thank you, little {kind}," said {friend}. "you helped me {at_place}."',
        '"how kind you are, {hero}!" said {friend}. "not everybody stops {at_place}."',
    )
    if t.flip():
        t.say(
            '{friend} gave {hero} the {thing}. "this {thing} is for you," said {friend}.',
            "{friend} opened a bundle and took out the {thing}. it was a gift for {hero}.",
        )
        t.maybe(
            "{hero} was so happy. {he} showed the {thing} to everybody {at_place}.",
            "{hero} kept the {thing} on the shelf beside {his} bed and looked at it every night.",
        )
        then = "{friend} gave {hero} the {thing}"
    else:
        t.say(
            "a week later, {hero} fell and hurt {his} foot {at_place}. and who came along? it was {friend} with the {thing}!",
            "not long after, {hero} got lost in the fog {at_place}. then {he} heard a voice. it was {friend} with the {thing}!",
        )
        t.maybe(
            '"you helped me," said {friend}. "now i will help you." and {friend} brought {hero} safely home.',
            '"come," said {friend}, "i will take you home." soon {hero} was sitting by the fire.',
        )
        then = "{friend} with the {thing} helped {hero} {at_place}"
    t.remember(first, then, "glad", "{he} had helped {friend}")
    t.maybe(
        "{he} learned that kindness always finds its way back.",
        "from that day on, {hero} always stopped when somebody needed help.",
        "and {hero} knew that a stranger is only a friend you have not met.",
    )
    t.good_night()


def hide_and_seek(t: Teller) -> None:
    t.introduce()
    t.say(
        "{his} best friend was {a_friend} who had a fine {thing}.",
        "{he} often played with {a_friend} who had a fine {thing}.",
    )
    t.paragraph()
    t.say(
        '{one_day}, they met {at_place}. "let us play hide and seek," said {friend}.',
        "{one_day}, {hero} and {friend} played hide and seek {at_place}.",
    )
    t.say(
        '"if you find me, you may have my {thing}," said {friend}.',
        "{friend} put the {thing} down on the grass.",
    )
    t.maybe(
        "{hero} closed {his} eyes and counted to [ten|twenty]. then {he} began to look.",
        '"one, two, three," counted {hero}. {friend} ran away to hide.',
    )
    t.say(
        "{at_place}, {hero} looked {spot}, but {friend} was not there.",
        "{hero} tiptoed along {at_place} and looked {spot}. nobody was there.",
    )
    t.maybe(
        "{hero} called and called, but there was no answer.",
        "the shadows grew long, and still {hero} could not find {friend}.",
        '"where are you?" called {hero}. it was very quiet.',
    )
    t.maybe("{he} began to worry.", "now {he} was a little afraid.")
    t.paragraph()
    if t.flip():
        t.say(
            "then {hero} heard a soft sound. somebody was snoring!",
            "suddenly there was a noise like a tiny saw. what could it be?",
        )
        t.say(
            "{hero} looked {spot2}. there was {friend}, fast asleep.",
            "{hero} followed the sound. {friend} was lying {spot2}, sound asleep!",
        )
        t.maybe(
            '"found you!" laughed {hero}. {friend} woke up with a yawn.',
            '"wake up, dear {fkind}," said {hero}. "the game is over, and i have won."',
        )
        then = "{hero} found {friend} asleep"
    else:
        t.say(
            "then {hero} heard a small voice. it was crying for help.",
            'then somebody called, "Help! Help!"',
        )
        t.say(
            "{hero} ran and looked {spot2}. there was {friend}, stuck and not able to move.",
            "the voice came from a place {spot2}. {friend} was stuck!",
        )
        t.maybe(
            "{hero} pulled and pulled. pop! {friend} was free again.",
            '"hold my hand," said {hero}. {hero} pulled with all {his} strength, and {friend} was free.',
        )
        then = "{hero} found {friend} stuck"
    t.paragraph()
    t.maybe(
        "they laughed so hard that they fell over.",
        "they hugged each other and laughed.",
    )
    t.say(
        '"you are good at this, little {kind}," said {friend}, and gave {hero} the {thing}.',
        '"this {thing} is yours now," said {friend}.',
    )
    t.remember(
        "{hero} and {friend} played hide and seek {at_place}",
        then,
        "happy",
        "{friend} gave {hero} the {thing}",
    )
    t.maybe(
        '"next time, i will not hide so well," said {friend}. and they stayed friends.',
        "from that day on, they often played {at_place}, but they never hid too far away.",
        "{he} learned that finding a friend is the best part of the game.",
        "they walked home hand in hand and were the best of friends.",
    )
    t.good_night()


def race(t: Teller) -> None:
    t.introduce()
    t.paragraph()
    t.say(
        "{one_day}, there was a race {at_place}. the winner would get a fine {thing}.",
        "{one_day}, everybody came {to_place} to see a great race. the prize was a fine {thing}.",
    )
    t.sense()
    t.say(
        '{hero} stood next to {a_friend}. "i am the fastest of all," said {friend}.',
        '{a_friend} was in the race too. "nobody can beat me," {friend} told {hero}.',
    )
    t.maybe(
        '{hero} said, "We shall see."',
        '"i will do my best," said {hero}.',
        "{hero} looked at the {thing} and wished to win.",
    )
    t.say('"ready, steady, go!" and off they ran {at_place}.', "somebody shouted, and they were off {at_place}!")
    t.paragraph()
    ending = t.dice.below(3)
    if ending == 0:
        t.say(
            "{friend} was soon far ahead. then {friend} lay down under a tree to rest and fell asleep.",
            "{friend} was so fast, and so sure to win, that there was time to stop and eat some berries.",
        )
        t.say(
            "{hero} was not so fast, but {he} never stopped. step by step, {he} went on.",
            "{hero} ran on and on. {he} did not look left or right.",
        )
        t.say(
            "when {friend} jumped up, it was too late. {hero} had won the {thing}!",
            "{friend} came running, but {hero} was already there. the {thing} belonged to {hero}.",
        )
        t.say(
            '"well done, little {kind}," said {friend}. "next time i will not stop." and they both laughed.',
            "{friend} was a little sad, so {hero} let {friend} hold the {thing} too.",
        )
        t.remember("{friend} stopped to rest {at_place}", "{hero} won the {thing}", "proud", "{he} had never stopped")
        t.say(
            "{he} learned that it is good to keep going.",
            "and everybody learned that slow and steady wins the race.",
        )
    elif ending == 1:
        t.say(
            "{hero} and {friend} ran side by side. then {friend} tripped over a root and fell.",
            "near the end, {friend} slipped in the mud and could not get up.",
        )
        t.say(
            "{hero} could win now! but {he} stopped and turned around.",
            "{hero} saw it and stopped at once. the {thing} did not matter now.",
        )
        t.say(
            '"take my arm," said {hero}. together they walked to the end of the race.',
            "{hero} helped {friend} up, and they crossed the line together, hand in hand.",
        )
        t.say(
            '"thank you, little {kind}," said {friend}. they came last, but everybody cheered.',
            "then {friend} gave {hero} a big hug, and that was better than the {thing}.",
        )
        t.remember(
            "{friend} fell in the race {at_place}",
            "{hero} stopped to help and did not win the {thing}",
            "glad",
            "{he} had helped {friend}",
        )
        t.say(
            "{he} learned that a friend is worth more than a prize.",
            "from that day on, {hero} and {friend} often ran {at_place}, always together.",
        )
    else:
        t.say(
            "{hero} ran as fast as the wind, but {friend} was faster.",
            "{hero} and {friend} ran side by side, but at the end {friend} was one step ahead.",
        )
        t.say(
            "{friend} won the {thing}. {hero} was sad for a moment.",
            "so {friend} got the {thing}, and {hero} got nothing.",
        )
        t.say(
            'then {hero} smiled and shook the hand of {friend}. "you ran very well," said {hero}.',
            '{hero} swallowed {his} tears. "well done, dear {fkind}," {he} said.',
        )
        t.say(
            '"you are a good runner too, little {kind}," said {friend}. "come, let us play with the {thing} together."',
            '"it was only fun because you ran so fast," said {friend}. they carried the {thing} home together.',
        )
        t.remember(
            "{friend} won the {thing} {at_place}",
            "{friend} shared the {thing} with {hero}",
            "happy",
            "{he} had done {his} best",
        )
        t.maybe(
            "{he} learned that one can lose a race and win a friend.",
            "from that day on, {hero} and {friend} were friends.",
        )
    t.good_night()


PLOTS = (helping_stranger, hide_and_seek, race)
