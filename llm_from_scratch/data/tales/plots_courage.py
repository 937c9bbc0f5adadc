"""Plots about a fear overcome and a skill learned. Rules in `telling`."""

# ruff: noqa: E501 - a sentence stays on one line, as it will be read

from __future__ import annotations

from .telling import Teller


def afraid_of_the_dark(t: Teller) -> None:
    t.introduce()
    t.say(
        "{he} was afraid of the dark.",
        "but when night came, {he} was afraid of the dark.",
        "there was only one thing {he} did not like: the dark.",
    )
    t.maybe(
        "every evening, {his} {elder} had to leave a candle burning.",
        "{he} never went out after sunset.",
        "{he} pulled the covers over {his} head every night.",
    )
    t.paragraph()
    t.say(
        "one night, somebody knocked at the window. it was {a_friend}.",
        "one evening, {a_friend} came running to the door.",
    )
    t.say(
        '"i left my {thing} {at_place}," said {friend}. "will you come with me?"',
        '"please help me," said {friend}. "my {thing} is still {at_place}, and i do not want to go alone."',
    )
    t.maybe(
        "{hero} looked out into the dark. {his} knees were shaking.",
        "{hero} swallowed hard. it was very dark outside.",
    )
    t.say(
        'but {hero} did not want {friend} to go alone. "i will come," {he} said.',
        '"i am afraid," said {hero}. "me too," said {friend}. "but together we can do it."',
    )
    t.paragraph()
    t.say(
        "hand in hand, {hero} and {friend} walked {to_place}. a branch cracked {at_place}.",
        "so {hero} and {friend} walked {to_place}. it was dark {at_place}.",
        "they went slowly, step by step, {to_place}. {at_place}, {hero} held the hand of {friend}.",
    )
    t.maybe(
        "then {hero} looked up. the sky was full of stars!",
        "little by little, {hero} could see. the moon made everything bright.",
        "something moved {spot}. it was only the wind.",
    )
    t.say(
        "{spot2} they found the {thing}.",
        '"there is my {thing}!" cried {friend}. it was lying {spot2}.',
    )
    t.maybe(
        '"you are so brave, little {kind}," said {friend}. {hero} smiled in the dark.',
        '"the dark is not so bad," said {hero}. "it is only the day with its eyes closed."',
    )
    t.remember(
        "{friend} left the {thing} {at_place}",
        "{hero} and {friend} found the {thing} in the dark",
        "proud",
        "{he} had been brave",
    )
    t.maybe(
        "from that day on, {hero} was not afraid of the dark any more.",
        "{friend} took the {thing} home, and that night {hero} slept without a candle.",
        "and {hero} learned that being brave means being afraid and going all the same.",
    )
    t.good_night()


def afraid_of_water(t: Teller) -> None:
    water = t.dice.choice(("pond", "lake", "river"))
    t.slots.update(place=water, at_place=f"by the {water}", to_place=f"to the {water}")
    t.introduce()
    t.say(
        "all the others swam and splashed, but {hero} was afraid of the water.",
        "{he} never went into the water, because {he} was afraid.",
        "{he} liked everything but water. water was cold and deep.",
    )
    t.paragraph()
    t.say(
        "{one_day}, {hero} sat {at_place} and watched the others swim.",
        "{one_day}, {hero} stood {at_place} and put one toe in. brr! {he} jumped back.",
    )
    t.say(
        "{at_place} there was {a_friend} with a fine {thing}.",
        "{a_friend} with a fine {thing} sat down beside {hero} {at_place}.",
        "then {a_friend} came along {at_place} with a fine {thing}.",
    )
    t.maybe(
        '"why do you not come in?" asked {friend}. "i am afraid," said {hero}.',
        '"come in, the water is lovely!" called {friend}. but {hero} shook {his} head.',
    )
    t.maybe(
        '"start with your feet, little {kind}," said {friend}. "i will stay with you."',
        '"hold my hand," said {friend}. "we will go only one step."',
    )
    t.say(
        '"when you can swim, you shall have my {thing}," said {friend}.',
        "{friend} put the {thing} down on a stone and went ahead.",
    )
    t.paragraph()
    t.say(
        "on the first day, {hero} put {his} feet into the water. on the second day, {he} went in up to {his} knees.",
        "then {hero} took one small step, and then one more. the water came up to {his} knees, and nothing bad happened.",
    )
    t.maybe(
        "on the third day, {hero} lay on {his} back, and {friend} held {hero} up.",
        "{friend} held {hero} while {hero} kicked with both legs.",
    )
    t.say(
        '"now i am letting go," said {friend}. and {hero} floated all alone!',
        "and then {hero} noticed that nobody was holding {him}. {he} was swimming!",
    )
    t.say(
        '"the {thing} is yours now," said {friend}. "you have learned to swim!"',
        "{friend} clapped and gave {hero} the {thing}.",
    )
    t.remember(
        "{hero} was afraid of the water {at_place}",
        "{friend} taught {hero} to swim",
        "proud",
        "{he} could swim and had the {thing}",
    )
    t.maybe(
        "from that day on, {hero} swam with {friend} every summer day.",
        "{hero} learned that a big fear gets smaller with every small step.",
        "now {hero} was the last to come out of the water every evening.",
    )
    t.good_night()


def learning_a_skill(t: Teller) -> None:
    t.slots["do"], t.slots["did"], t.slots["doing"] = t.dice.choice(
        (
            ("skate", "skated", "skating"),
            ("juggle", "juggled", "juggling"),
            ("tie a knot", "tied a fine knot", "tying a knot"),
            ("read", "read a whole page", "reading"),
            ("stand on one hand", "stood on one hand", "standing on one hand"),
            ("walk on a rope", "walked on a rope", "walking on a rope"),
            ("swim", "swam like a fish", "swimming"),
            ("ride a bike", "rode a bike", "riding a bike"),
        )
    )
    t.introduce()
    t.paragraph()
    t.say(
        "{one_day}, {hero} saw {a_friend} {at_place} with a fine {thing}. {friend} could {do}!",
        "{one_day}, {at_place}, {a_friend} with a fine {thing} showed everybody how to {do}.",
    )
    t.say(
        '"i want to {do} too," said {hero}.',
        '{hero} watched with big eyes. "i wish i could {do}," {he} said.',
    )
    t.maybe(
        "{hero} tried at once, but {doing} was hard {at_place}. oh dear!",
        "{hero} tried once. {he} tried twice. it did not work at all.",
        "but {doing} was not easy. {hero} tried and tried, and it went wrong every time.",
    )
    t.maybe(
        '"i will never learn it," said {hero}, and {his} eyes filled with tears.',
        "some children laughed. {hero} wanted to run away and hide.",
        '"i give up," said {hero}.',
    )
    t.paragraph()
    t.say(
        '"do not give up, little {kind}," said {friend}. "i will teach you, and then you shall have this {thing}."',
        '"everybody starts like that," said {friend}. "try a little every day, and you will win my {thing}."',
    )
    t.say(
        "so {hero} practised every day {at_place}. {friend} came to help.",
        "every morning, {hero} went {to_place} to practise {at_place}.",
        "{hero} practised {at_place} in the morning and in the evening.",
    )
    t.maybe(
        "after a week, it went a little better. after two weeks, it went much better.",
        "{hero} made many mistakes, and each mistake taught {him} something.",
        "slowly, very slowly, it got better.",
    )
    t.say(
        "then, one day, {hero} {did}! {friend} gave {hero} the {thing}.",
        "and one fine day, it worked. {hero} {did}, and {friend} held up the {thing} and cheered!",
    )
    t.remember(
        "{hero} could not {do}",
        "{friend} taught {hero} {at_place}",
        "proud",
        "{he} could {do} and had won the {thing}",
    )
    t.maybe(
        "{he} learned that practice makes the hardest things easy.",
        '"now i can {do}!" sang {hero}, and {he} was happy all day long.',
        "from that day on, {hero} taught the little ones, and never laughed when they made a mistake.",
    )
    t.good_night()


PLOTS = (afraid_of_the_dark, afraid_of_water, learning_a_skill)
