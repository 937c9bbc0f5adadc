"""Plots about a thing that is lost, broken or given. Rules in `telling`."""

# ruff: noqa: E501 - a sentence stays on one line, as it will be read

from __future__ import annotations

from . import words
from .telling import Teller


def own(t: Teller) -> None:
    """The hero has the thing of the tale."""
    t.say(
        "{he} had a fine {thing} and took the {thing} everywhere.",
        "{he} had a fine {thing} that {he} loved very much.",
        "of all the things {he} had, {he} loved a fine {thing} the most.",
        "{his} favourite thing was a fine {thing}.",
        "{his} {elder} had given {hero} a fine {thing}, and {hero} was very proud of the {thing}.",
    )


def lost_and_found(t: Teller) -> None:
    t.thing_from((*words.TOYS, *words.CLOTHES, *words.TREASURES))
    t.introduce()
    own(t)
    t.paragraph()
    t.say(
        "{one_day}, {hero} took the {thing} {to_place}.",
        "{one_day}, {hero} went {to_place} with the {thing}.",
        "{one_day}, {hero} carried the {thing} {to_place} to play.",
    )
    t.sense()
    t.say(
        "{hero} [ran and jumped|played and laughed] until it was time to go home. but where was the {thing}? it was gone!",
        "{hero} stopped to [rest|pick some flowers|watch the ants]. when {he} got up, the {thing} was gone!",
        "then {hero} fell asleep in the shade. when {he} woke up, {he} could not see the {thing}.",
    )
    t.maybe(
        "{he} looked {spot}. [it was not there|nothing]. {he} looked {spot2}. [it was not there either|nothing again].",
        "{he} searched {spot} and {spot2}, but the {thing} was not there.",
        "{he} looked left and right {at_place}, but {he} found only [leaves|dust|a beetle].",
    )
    t.maybe("{hero} sat down and [cried|began to cry].", "{hero} was [so|very] sad. a tear ran down {his} nose.")
    t.paragraph()
    t.say(
        "just then, {a_friend} came along.",
        "soon {a_friend} walked by.",
        "{a_friend} heard {hero} and came near.",
    )
    t.say(
        '"i have lost my {thing} {at_place}," said {hero}.',
        '"my {thing} is gone," said {hero}. "i have looked everywhere {at_place}."',
        '"what is wrong, little {kind}?" asked {friend}. "i cannot find my {thing} {at_place}," said {hero}.',
    )
    if t.flip(2, 3):
        t.say(
            '"[do not cry|do not worry]," said {friend}. "[i will help you look|we will look together]."',
            '"two can look better than one," said {friend}. "let us search together."',
        )
        t.say(
            "they looked high and low. at last, {friend} [saw|spotted] something [up in a tree|in a hole|between two stones]. it was the {thing}!",
            "they walked back slowly, step by step. and there, [beside the path|under a big leaf|next to a stone], lay the {thing}!",
            "{friend} had very good eyes. [soon|before long], {friend} saw the {thing} [under some leaves|beside the path].",
        )
    else:
        t.say(
            '{friend} smiled. "is this your {thing}?" asked {friend}. "i found it [beside the path|under some leaves] and kept it safe."',
            '"then this must be yours," said {friend}, and held up the {thing}. "i found it [this morning|a while ago]."',
        )
    t.maybe(
        '"thank you, dear {fkind}!" cried {hero}, and [hugged {friend}|danced with joy].',
        '{hero} [laughed and jumped|jumped for joy]. "thank you, thank you!"',
    )
    t.remember(
        "{hero} lost the {thing} {at_place}",
        "{friend} helped to find the {thing}",
        "happy",
        "the {thing} was not lost any more",
    )
    t.maybe(
        "from that day on, {hero} took good care of the {thing} {at_place}.",
        "{hero} and {friend} stayed friends for ever.",
        "{he} had found the {thing} again, and {he} had found a new friend too.",
    )
    t.good_night()


def mended(t: Teller) -> None:
    t.thing_from(tuple(words.HARMS))
    t.slots["harm"], t.slots["remedy"] = words.HARMS[t.slots["noun"]]
    t.craft_friend()
    t.introduce()
    own(t)
    t.paragraph()
    t.say(
        "{one_day}, {hero} was playing {at_place} with the {thing}.",
        "{one_day}, {hero} went {to_place} with the {thing}.",
        "{one_day}, {hero} ran {to_place} to play with the {thing}.",
    )
    t.sense()
    t.say(
        "but {he} was too wild. [crack|bump|crash]! {he} fell on the {thing}, and {harm}.",
        "then {he} tripped over a [root|stone] and dropped the {thing}. oh no, {harm}!",
        "{he} ran too fast and fell. {he} was not hurt, but the {thing} was broken: {harm}.",
    )
    t.maybe(
        '"my poor {thing}!" cried {hero}.',
        "{hero} looked at the broken {thing} and felt very sad.",
        '{hero} wanted to cry. "what shall i do now?" {he} said.',
    )
    t.paragraph()
    t.say(
        "{at_place} lived {a_friend}.",
        "then {a_friend} came along {at_place}.",
        "{at_place}, {hero} met {a_friend}.",
    )
    t.say(
        '"may i see your {thing}?" asked {friend}. "[i think we can mend it|nothing is lost yet]."',
        '"do not be sad, little {kind}," said {friend}. "what is broken can often be mended."',
        '"bring it here," said {friend}. "if you help me, we can mend your {thing}."',
    )
    t.maybe(
        "{hero} held the {thing} [still|with both hands] while {friend} {remedy}.",
        "{friend} {remedy}, and {hero} helped as well as {he} could.",
        "{friend} worked slowly and {remedy}. {hero} watched every step.",
    )
    t.say(
        "soon the {thing} was as good as new.",
        "when they had finished, the {thing} looked almost new.",
        "it took a long time, but in the end the {thing} was whole again.",
    )
    t.remember(
        "{hero} broke the {thing} {at_place}",
        "{friend} mended the {thing}",
        "happy",
        "the {thing} was whole again",
    )
    t.maybe(
        "and {he} learned that a broken thing is not the end of the world.",
        "from that day on, {hero} was [careful|gentle] with the {thing}, and {he} knew how to mend things too.",
        "{he} never forgot how {friend} had helped.",
        "and {hero} learned that patient hands can mend almost anything.",
    )
    t.good_night()


def gift(t: Teller) -> None:
    bought = t.flip()
    if not bought:
        t.thing_from(words.HANDMADE)
    t.introduce()
    t.say(
        "{his} best friend was {a_friend}.",
        "next door lived {a_friend}. {hero} and {friend} played together every day.",
        "{hero} had a friend, {a_friend}.",
    )
    t.paragraph()
    t.say(
        'soon it would be the birthday of {friend}. "what shall i give {friend}?" {hero} wondered.',
        '"tomorrow is my birthday," said {friend} {one_day}. {hero} thought and thought about a gift.',
        "{one_day}, {hero} wanted to find a gift for {friend}.",
    )
    if bought:
        t.say(
            "{hero} went {to_place}. there {he} saw a fine {thing} [in a little shop|on an old cart|on a table]. it was perfect!",
            "{at_place}, somebody was selling pretty things. {hero} saw a fine {thing} and liked the {thing} at once.",
        )
        t.maybe(
            "but the {thing} cost [five|six|ten] coins, and {hero} had only [two|three|four].",
            "but {hero} did not have enough coins.",
        )
        t.say(
            "{hero} [swept the floor|carried boxes|watered plants] all day, until {he} had enough for the {thing}.",
            "so {hero} worked for [two|three] days. {he} [swept floors|carried water|picked beans], until {he} had enough.",
        )
        t.maybe(
            "at last {hero} came back from the {place} with the {thing}.",
            "then {hero} took the {thing} and left the {place}.",
        )
    else:
        t.say(
            "{hero} had no coins at all. but {he} had two good hands.",
            '{hero} could not buy anything. "then i will make something," {he} said.',
        )
        t.say(
            "{he} found [wood|paper|string] and paint {at_place} and worked [all day|until late at night]. {he} made a fine {thing}.",
            "all week {he} worked in secret {at_place}. {he} cut and glued and painted, and at last {he} had made a fine {thing}.",
        )
        t.maybe(
            "{hero} brought the {thing} back from the {place}.",
            "then {he} left the {place} with the {thing} and smiled.",
        )
    t.paragraph()
    t.say(
        "the next day, {hero} gave the {thing} to {friend}.",
        'on the birthday, {hero} knocked on the door. "this {thing} is for you, dear {fkind}," said {hero}.',
    )
    t.say(
        '"a fine {thing}!" cried {friend}. "it is the best gift [in the world|of all]!"',
        '{friend} opened the paper and found the {thing}. "oh, how [lovely|pretty]!" said {friend}.',
        'the eyes of {friend} shone. "is this {thing} really for me?" asked {friend}. "thank you, {hero}!"',
    )
    t.remember(
        "{hero} bought a fine {thing} {at_place}" if bought else "{hero} made a fine {thing} {at_place}",
        "{hero} gave the {thing} to {friend}",
        "happy",
        "{friend} loved the {thing}",
    )
    t.maybe(
        "{hero} was even happier than {friend}, for giving is as good as getting.",
        "{he} learned that a gift from the heart is the finest gift.",
        "from that day on, {friend} kept the {thing} beside the bed.",
        "{hero} and {friend} [danced|laughed] and ate {a_food}. it was a happy day.",
    )
    t.good_night()


PLOTS = (lost_and_found, mended, gift)
