"""Plots about work, a promise and the truth. Rules in `telling`."""

# ruff: noqa: E501 - a sentence stays on one line, as it will be read

from __future__ import annotations

from . import words
from .telling import Teller


def wish_earned(t: Teller) -> None:
    t.craft_friend()
    t.introduce()
    t.say(
        "more than anything, {he} wanted a fine {thing}.",
        "{he} had one wish: {he} wished for a fine {thing}.",
        "every night {he} dreamed of a fine {thing}.",
    )
    t.paragraph()
    t.say(
        '"may i have a fine {thing}?" {hero} asked {his} {elder}. "you must earn it," {his} {elder} said.',
        'but {hero} had no coins. "what can i do?" {he} asked {himself}.',
        "{hero} saw the {thing} in a shop window, but it cost too much.",
    )
    t.say(
        "so {hero} went {to_place} to carry bricks. there {he} met {a_friend}.",
        "{one_day}, {at_place}, {hero} met {a_friend}.",
    )
    t.say(
        '"i have so much work and only two hands," said {friend}. "[can|could] you help me?"',
        '{friend} looked tired. "there is so much to do today," said {friend}.',
    )
    t.say('"i can help," said {hero}.', '"let me help," said {hero}. "tell me what to do."')
    t.paragraph()
    t.say(
        "all day long, {hero} [carried wood|swept the floor|pulled up weeds|washed pots and pans] {at_place}.",
        "until the sun was low, {hero} [carried water|stacked boards|picked beans|cleaned windows] {at_place}.",
        "{at_place}, {hero} swept the floor and carried wood. {he} did not stop until the work was done.",
    )
    t.maybe("it was hard work, but {he} did not give up.", "{his} arms were tired, but {he} kept on.")
    if t.flip():
        t.say(
            '"you are a good worker, little {kind}," said {friend}. "this {thing} is for you."',
            'then {friend} opened a cupboard and took out the {thing}. "i do not need it," said {friend}. "it is yours."',
        )
        t.say('{hero} could not believe it. "thank you!" {he} said.', "{hero} jumped for joy.")
        then = "{friend} gave {hero} the {thing}"
    else:
        t.say(
            "in the evening, {friend} gave {hero} [five|six|ten] shiny coins.",
            'when the work was done, {friend} counted out some coins. "you have earned them, little {kind}," said {friend}.',
        )
        t.say(
            "{hero} ran off and came back with the {thing}.",
            "{hero} hurried to buy it. soon {he} came back with the {thing} in {his} hands.",
        )
        then = "{hero} bought the {thing}"
    t.remember("{hero} worked for {friend} {at_place}", then, "proud", "{he} had earned the {thing}")
    t.maybe(
        "{he} held the {thing} tight and loved it even more.",
        "now {his} wish had come true. {hero} learned that good work brings good things.",
        "from that day on, {hero} and the {thing} were never apart, and {he} often went back to help {friend}.",
    )
    t.good_night()


def promise_kept(t: Teller) -> None:
    t.thing_from((*words.TOYS, *words.CLOTHES, "umbrella", "basket", "bucket"))
    t.introduce()
    t.paragraph()
    t.say("{one_day}, {hero} visited {a_friend}.", "{one_day}, {hero} met {a_friend}.")
    t.say(
        "{friend} had a fine {thing}. {hero} had never seen such a fine {thing}.",
        "{friend} showed {hero} a fine {thing}.",
        "{friend} was holding a fine {thing}.",
    )
    t.say(
        '"may i borrow the {thing}?" asked {hero}.',
        '"please, may i take the {thing} {to_place}?" asked {hero}.',
    )
    t.say(
        '"yes," said {friend}, "but please bring it back before dark." "i promise," said {hero}.',
        '"you may have it for one day," said {friend}. {hero} promised to bring it back [before bedtime|in the evening].',
    )
    t.paragraph()
    t.say(
        "so {hero} took the {thing} {to_place}. it was lovely {at_place}.",
        "so {hero} went {to_place} with the {thing}. {he} played and played, and the hours flew by.",
    )
    t.maybe(
        "soon it was getting dark {at_place}.",
        "then {he} saw the first star {at_place}. it was almost dark!",
        "{at_place}, the sun was low and the shadows were long.",
    )
    if t.flip():
        t.maybe(
            '"stay and play with us," called some other children. "we have [a swing|a tent|a new game]!"',
            '"you can bring it back tomorrow," said some other children. "stay with us!"',
        )
        t.say(
            'but {hero} shook {his} head. "i made a promise," {he} said.',
            "but {hero} remembered the promise and stood up.",
        )
    else:
        t.say(
            "then it began to rain. {hero} put the {thing} under {his} arm and ran.",
            "the way was long, and a cold rain fell. but {hero} had made a promise, so {he} kept going.",
        )
    t.maybe("{he} ran all the way.", "{he} ran as fast as {he} could.", "step by step, {he} hurried on.")
    t.paragraph()
    t.say(
        '{friend} was waiting at the door. "here is your {thing}," said {hero}.',
        'soon {hero} knocked at the door and gave back the {thing}. "i am just in time," {he} said.',
    )
    t.maybe(
        '"you kept your promise, little {kind}!" said {friend}. "you may borrow the {thing} again."',
        '"i knew you would come," said {friend}, and put the {thing} back on the shelf.',
    )
    t.remember(
        "{hero} took the {thing} {to_place}",
        "{hero} brought the {thing} back to {friend}",
        "proud",
        "{he} had kept a promise",
    )
    t.maybe(
        "{he} learned that a promise is a promise, even when it is hard to keep.",
        "from that day on, {friend} trusted {hero} with everything.",
        "a friend who trusts you is worth more than any toy.",
    )
    t.good_night()


def mistake_told(t: Teller) -> None:
    t.thing_from(words.FRAGILE)
    t.introduce()
    t.say(
        "{his} {elder} had a fine {thing}. it was very old.",
        "on the kitchen shelf stood a fine {thing}. it belonged to {his} {elder}.",
    )
    t.paragraph()
    t.say(
        "{one_day}, {hero} was [dancing|jumping|running] around the kitchen. bump! the {thing} fell down and broke.",
        "{one_day}, {hero} wanted to look at the {thing}. it slipped from {his} hands. crash! it broke into [three|four|five] pieces.",
    )
    t.maybe(
        "{hero} was [afraid|scared]. {he} [quickly hid|put] the pieces [under the bed|behind a curtain|in a drawer].",
        '"oh no," whispered {hero}. {he} hid the pieces [under the bed|behind a curtain] and said nothing.',
    )
    t.maybe(
        "at supper, there was {a_food}. but {hero} could not eat one bite of the {food}.",
        "that evening, {hero} could not sleep. {his} tummy felt heavy as a stone.",
        "all day, {hero} did not want to play. {his} heart was heavy.",
    )
    t.say(
        'then {hero} went {to_place}. {at_place} {he} met {a_friend}. "i broke something," said {hero}. "tell the truth," said {friend}. "it is hard for one minute, and then it is easy."',
        'then {hero} went {to_place}. {at_place}, {he} asked {a_friend} what to do. "say what you did, little {kind}," said {friend}. "you will feel better."',
    )
    t.paragraph()
    t.say(
        'so {hero} took a deep breath and went to {his} {elder}. "i broke your {thing}," said {hero}. "i am sorry."',
        'so {hero} brought the pieces to {his} {elder}. "i am sorry," said {hero}. "i broke the {thing}, and i hid it."',
    )
    t.maybe(
        '"thank you for telling me," said {his} {elder}. "that was brave."',
        '{his} {elder} gave {hero} a hug. "a fine {thing} can break," said {his} {elder}. "i am glad that you told me."',
    )
    t.maybe(
        "together they glued the {thing}. it had a few cracks, but it was still pretty.",
        "they sat down with some glue and put the {thing} together again, piece by piece.",
    )
    t.remember(
        "{hero} broke the {thing}",
        "{friend} talked to {hero} {at_place}",
        "glad",
        "{he} had told the truth about the {thing}",
    )
    t.maybe(
        "{he} learned that the truth makes a heart light.",
        "and {hero} learned that it is brave to tell the truth.",
        "from that day on, {hero} always told the truth at once.",
    )
    t.good_night()


PLOTS = (wish_earned, promise_kept, mistake_told)
