"""Plots about a fear overcome, a skill learned, a secret place and losing the way. Rules in `telling`."""

# ruff: noqa: E501 - a sentence stays on one line, as it will be read

from __future__ import annotations

from . import words
from .telling import Teller


def afraid_of_the_dark(t: Teller) -> None:
    t.introduce()
    t.say(
        "{he} was afraid of the dark.",
        "but when night came, {he} was afraid of the dark.",
        "there was only one thing {he} did not like: the dark.",
    )
    t.say(
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
    t.say(
        "{hero} looked out into the dark. {his} knees were shaking.",
        "{hero} swallowed hard. it was as black as ink outside.",
    )
    t.say(
        'but {hero} did not want {friend} to go alone. "i will come," {he} said.',
        '"i am afraid," said {hero}. "me too," said {friend}. "but together we can do it."',
    )
    t.paragraph()
    t.say(
        "hand in hand, {hero} and {friend} walked {to_place}. a branch cracked. the leaves whispered.",
        "{hero} and {friend} walked {to_place}. {hero} sang a little song to feel brave.",
        "they went slowly, step by step, {to_place}. {hero} held the hand of {friend}.",
    )
    t.say(
        "then {hero} looked up. the sky was full of stars!",
        "little by little, {hero} could see. the moon made everything bright.",
        "something moved {spot}. it was only the wind.",
    )
    t.say(
        "{spot2} they found the {noun}.",
        '"there is my {noun}!" cried {friend}. it was lying {spot2}.',
    )
    t.paragraph()
    t.say(
        '"you are so brave," said {friend}. {hero} smiled in the dark.',
        '"the dark is not so bad," said {hero}. "it is only the day with its eyes closed."',
    )
    t.say(
        "from that day on, {hero} was not afraid of the dark any more, and {friend} never left the {noun} behind again.",
        "{friend} took the {noun} home, and that night {hero} slept without a candle, for {hero} was not afraid any more.",
        "they carried the {noun} home, and {hero} learned that being brave means being afraid and going all the same.",
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
        "there was {a_friend}.",
        "{a_friend} came and sat down beside {hero}.",
        "then {a_friend} came swimming by.",
    )
    t.say(
        '"why do you not come in?" asked {friend}. "i am afraid," said {hero}.',
        '"come in, the water is lovely!" called {friend}. but {hero} shook {his} head.',
    )
    t.say(
        '"start with your feet, little {kind}," said {friend}. "i will stay with you."',
        '"hold my hand," said {friend}. "we will go only one step."',
    )
    t.paragraph()
    t.say(
        "on the first day, {hero} put {his} feet into the water. on the second day, {he} went in up to {his} knees.",
        "{hero} took one small step, and then one more. the water came up to {his} knees, and nothing bad happened.",
    )
    t.say(
        "on the third day, {hero} lay on {his} back, and {friend} held {hero} up.",
        "{friend} held {hero} while {hero} kicked with both legs.",
    )
    t.say(
        '"now i am letting go," said {friend}. and {hero} floated all alone!',
        "and then {hero} noticed that nobody was holding {him}. {he} was swimming!",
    )
    t.maybe('"look at me!" shouted {hero}. "i can swim!"', "{hero} laughed and splashed like all the others.")
    t.paragraph()
    t.say(
        "from that day on, {hero} swam with {friend} every summer day.",
        "{hero} learned that a big fear gets smaller with every small step.",
        "now {hero} was the last to come out of the water every evening. {he} was proud and happy.",
    )
    t.good_night()


def learning_a_skill(t: Teller) -> None:
    do, did, doing = t.dice.choice(
        (
            ("skate", "skated", "skating"),
            ("juggle", "juggled", "juggling"),
            ("whistle a song", "whistled a song", "whistling"),
            ("read", "read a whole page", "reading"),
            ("stand on one hand", "stood on one hand", "standing on one hand"),
            ("walk on a rope", "walked on a rope", "walking on a rope"),
            ("swim", "swam like a fish", "swimming"),
            ("ride a bike", "rode a bike", "riding a bike"),
        )
    )
    t.slots.update(do=do, did=did, doing=doing)
    t.introduce()
    t.paragraph()
    t.say(
        "{one_day}, {hero} saw {a_friend} {at_place}. {friend} could {do}!",
        "{one_day}, {at_place}, {a_friend} showed everybody how to {do}.",
    )
    t.say(
        '"i want to {do} too," said {hero}.',
        '{hero} watched with big eyes. "i wish i could {do}," {he} said.',
    )
    t.say(
        "{hero} tried at once, but {doing} was harder than it looked. bump! {he} fell on {his} bottom."
        if doing not in ("reading", "whistling")
        else "{hero} tried at once, but {doing} was harder than it looked.",
        "{hero} tried once. {he} tried twice. it did not work at all.",
        "but {doing} was not easy. {hero} tried and tried, and it went wrong every time.",
    )
    t.say(
        '"i will never learn it," said {hero}, and {his} eyes filled with tears.',
        "some children laughed. {hero} wanted to run away and hide.",
        '"i give up," said {hero}.',
    )
    t.paragraph()
    t.say(
        '"do not give up, little {kind}," said {friend}. "when i was small, i could not {do} at all. i will teach you."',
        '"everybody starts like that," said {friend}. "try a little every day."',
    )
    t.say(
        "so {hero} practised every day {at_place}. {friend} came to help.",
        "every morning, {hero} went {to_place} to practise. on some days it rained, but {he} went all the same.",
        "{hero} practised in the morning and in the evening. {friend} showed {hero} how, again and again.",
    )
    t.say(
        "after a week, it went a little better. after two weeks, it went much better.",
        "{hero} made many mistakes, and each mistake taught {him} something.",
        "slowly, very slowly, it got better.",
    )
    t.say(
        "then, one day, {hero} {did}!",
        "and one fine day, it worked. {hero} {did}, and {friend} clapped and cheered!",
    )
    t.paragraph()
    t.say(
        "{hero} learned that practice makes the hardest things easy.",
        '"now i can {do}!" sang {hero}, and {he} was happy all day long.',
        "from that day on, {hero} taught the little ones how to {do}, and never laughed when they made a mistake.",
    )
    t.good_night()


def secret_place(t: Teller) -> None:
    t.thing_from(words.TREASURES)
    t.introduce()
    t.paragraph()
    t.say(
        "{one_day}, {hero} followed a [butterfly|dragonfly|tiny bird] {to_place}.",
        "{one_day}, {hero} was walking {at_place} when {he} saw a narrow path.",
    )
    t.sense()
    if t.flip():
        t.say(
            "{spot} {hero} found a little door. {he} had never seen it before.",
            "and there, {spot}, {hero} saw a tiny green door. {he} pushed it open.",
        )
        t.say(
            "behind it was a tiny room made of green leaves, with a floor of soft moss.",
            "behind the door was a quiet little room with stones to sit on.",
        )
    else:
        t.say(
            "{hero} crept through some thick leaves and stopped. what was this?",
            "{hero} bent down to pick a flower and saw a hole in the leaves. {he} looked inside.",
        )
        t.say(
            "in front of {him} was a hidden place, full of flowers and light.",
            "it was a secret little place, green and warm, and no bigger than a kitchen.",
        )
    t.say(
        "in the middle lay a {thing}.",
        "something was shining on the ground. it was a {thing}!",
    )
    t.paragraph()
    t.say(
        "{hero} wanted to show it to somebody. {he} ran to {a_friend}.",
        "such a secret was too big for one. so {hero} told {a_friend} about it.",
    )
    t.say(
        '"can you keep a secret?" asked {hero}. "yes," said {friend}. "i promise."',
        '"close your eyes and come with me," said {hero}, and took {friend} by the hand.',
    )
    t.say(
        '"oh!" said {friend}. "it is the loveliest place [in the world|i have ever seen]."',
        "{friend} was too surprised to say a word.",
    )
    if t.flip():
        t.say(
            '"shall we take the {noun} home?" asked {friend}. "no," said {hero}. "it belongs here."',
            "they looked at the {noun}, but they did not take it away.",
        )
    else:
        t.say(
            'suddenly a voice said, "That {noun} is mine." it was a little old woman. "i lost it long ago. thank you!"',
        )
        t.say("{hero} gave the {noun} back, and they were all so glad that they danced.")
    t.paragraph()
    t.say(
        "from that day on, {hero} and {friend} met there every week, and nobody ever found out.",
        "the secret place became their own, and {hero} was happy to share it.",
        "{hero} learned that a secret is most fun when a friend knows it too.",
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
    t.say(
        "when {he} looked around, {he} did not know where {he} was.",
        "soon every path looked the same. {hero} was lost.",
    )
    t.say(
        "it grew dark. {hero} sat down {spot} and cried.",
        '"hello?" called {hero}. nobody answered.',
        "{hero} walked this way and that way, but {he} could not find the path.",
    )
    t.paragraph()
    t.say(
        "then something moved {spot2}. it was {a_friend}.",
        'a soft voice said, "Who is there?" It was {a_friend}.',
    )
    t.say(
        '"i want to go home," said {hero}. "where do you live, little {kind}?" asked {friend}. "close to the {home_place}," said {hero}.',
        '"i live near the {home_place}," said {hero}, "but i do not know the way."',
    )
    t.say(
        '"[that is not far|i know it well]," said {friend}. "[follow me|take my hand]."',
        '"look up," said {friend}. "that bright star stands over the {home_place}. we will follow it."',
    )
    t.say(
        "{hero} and {friend} walked through the night, and {friend} told a funny story on the way.",
        "{friend} went ahead, and {hero} stayed close behind.",
    )
    t.say(
        "at last, {hero} saw the {home_place} and a light in the window.",
        "and there was the {home_place}! the door stood open.",
    )
    t.paragraph()
    t.say(
        '{hero} ran into the arms of {his} {elder}. "thank you, dear {fkind}," said {hero}.',
        "{hero} ran to {his} {elder}, and {friend} got {a_food} as a thank you.",
    )
    t.say(
        "{hero} learned to stay on the path, and {he} learned that help can come when you least expect it.",
        "from that day on, {hero} never went too far alone, but {he} often visited {friend}.",
        "{hero} was happy to be home, and {friend} came to visit every week.",
    )
    t.good_night()


PLOTS = (afraid_of_the_dark, afraid_of_water, learning_a_skill, secret_place, lost_way)
