"""The lexicon of the tales: names, kinds of character, things, food, places, weather.

The checker reads the same lists, so a word listed here may not occur in the plots by any other way than a
slot (a test holds that). Every entry is plain ASCII.
"""

from __future__ import annotations

# A name tells the pronoun, as it mostly does in books for small children.
HE_NAMES = "Tom Ben Sam Max Leo Tim Jack Finn".split()
SHE_NAMES = "Lily Mia Anna Rosie Ella Nora Ruby Daisy".split()
PRONOUNS = {"he": ("he", "him", "his", "himself"), "she": ("she", "her", "her", "herself")}

# The hero is of one kind, the other character of another sort: who is meant is always plain.
HERO_ANIMALS = "rabbit mouse kitten puppy duck frog lamb bear".split()
CHILDREN = {"he": "boy", "she": "girl"}
ANIMALS = "fox owl dog cat hedgehog squirrel turtle otter goat pig pony mole badger beaver sparrow".split()
CRAFTS = "baker farmer miller gardener tailor painter sailor potter teacher shepherd".split()
KINDS = (*HERO_ANIMALS, *CHILDREN.values(), *ANIMALS, *CRAFTS)
# A quick fox may be slow in no tale, so a trait says nothing that a plot could contradict.
TRAITS = (
    "little",
    "small",
    "young",
    "kind",
    "gentle",
    "cheerful",
    "merry",
    "friendly",
    "curious",
    "bright-eyed",
    "clever little",
    "sweet little",
    "happy little",
    "bright little",
    "playful",
    "fluffy",
)
CRAFT_TRAITS = (
    "old",
    "kind",
    "friendly",
    "cheerful",
    "kind old",
    "merry old",
    "young",
    "gentle",
    "tall",
    "busy",
)
HOBBIES = (
    "sing",
    "dance",
    "climb trees",
    "paint pictures",
    "pick flowers",
    "jump over puddles",
    "count the stars",
    "tell stories",
    "watch the clouds",
    "play in the mud",
    "listen to the rain",
    "roll in the grass",
    "chase butterflies",
    "collect leaves",
    "blow bubbles",
    "whisper to snails",
    "swing on a gate",
    "hop like a cricket",
    "build towers out of bricks",
    "shout louder than the wind",
)
ELDERS = {
    "mother": "she",
    "father": "he",
    "grandmother": "she",
    "grandfather": "he",
    "aunt": "she",
    "uncle": "he",
}

# Others that are no kind and no place of a tale, only seen or named in passing.
PASSERS_BY = "child butterfly dragonfly beetle cricket sheep fish runner".split()
INDOORS = "kitchen shop house road".split()
# No tale says these; the checker knows that they are colours all the same.
OTHER_COLOURS = "black grey gray violet turquoise beige crimson scarlet gold lilac navy dark-blue light-blue".split()

COLOURS = "red blue green yellow white purple orange brown pink silver golden".split()
TOYS = "kite ball drum boat doll wagon whistle puppet sled balloon train flute".split()
CLOTHES = "hat scarf cap coat ribbon".split()
HANDMADE = "kite boat doll puppet whistle hat scarf basket wagon drum sled".split()
USEFUL = "basket bucket umbrella lantern blanket".split()
FRAGILE = "cup vase bowl plate jar teapot".split()
TREASURES = "bell key feather shell button marble".split()
THINGS = (*TOYS, *CLOTHES, *USEFUL, *FRAGILE, *TREASURES)
# What can go wrong with a toy, and what makes it whole: (the harm, the remedy).
HARMS = {
    "kite": ("now it had a big hole", "sewed the hole with strong thread"),
    "drum": ("now it had a long crack", "closed the crack with glue"),
    "boat": ("now its sail was torn", "sewed the sail with strong thread"),
    "doll": ("now one arm had come off", "sewed the arm on with strong thread"),
    "wagon": ("now one wheel had come off", "put the wheel back with a new nail"),
    "sled": ("now one side was cracked", "covered the crack with a thin board"),
    "puppet": ("now one leg had come off", "put the leg back with glue"),
    "train": ("now one wheel had come off", "put the wheel back with glue"),
    "umbrella": ("now it had a big hole", "sewed the hole with strong thread"),
    "coat": ("now one sleeve was torn", "sewed the sleeve with strong thread"),
}

# phrase that introduces it, noun that recalls it
FOODS = (
    ("an apple pie", "pie"),
    ("a cherry pie", "pie"),
    ("a honey cake", "cake"),
    ("a plum cake", "cake"),
    ("a loaf of warm bread", "bread"),
    ("a pot of hot soup", "soup"),
    ("a big pancake", "pancake"),
    ("a piece of cheese", "cheese"),
    ("a sweet pear", "pear"),
    ("a round melon", "melon"),
    ("a warm bun", "bun"),
    ("a large cookie", "cookie"),
    ("a carrot pudding", "pudding"),
    ("a berry tart", "tart"),
)
FOOD_NOUNS = tuple(dict.fromkeys(noun for _, noun in FOODS))

# place: (preposition, spots where a small thing or a small friend may hide)
PLACES = {
    "forest": ("in", ("under a bush", "behind a log", "in the ferns")),
    "meadow": ("in", ("in the tall grass", "behind a rock", "under a bush")),
    "garden": ("in", ("under the leaves", "behind a wall", "in the flowers")),
    "park": ("in", ("under a bench", "behind a tree", "under a bush")),
    "orchard": ("in", ("behind a tree", "in the tall grass", "under the leaves")),
    "field": ("in", ("in the tall grass", "behind a fence", "under a bush")),
    "pond": ("by", ("in the reeds", "behind a rock", "under the leaves")),
    "lake": ("by", ("in the reeds", "behind a rock", "under a bench")),
    "river": ("by", ("in the reeds", "behind a tree", "under a log")),
    "mill": ("at", ("behind the door", "under a table", "behind a sack")),
    "farm": ("at", ("in the hay", "behind a fence", "under a cart")),
    "market": ("at", ("under a table", "behind a barrel", "under a cart")),
    "bridge": ("by", ("behind a rock", "under a bush", "in the tall grass")),
    "beach": ("on", ("behind a rock", "in the sand", "under the seaweed")),
    "hill": ("on", ("behind a rock", "in the tall grass", "under a bush")),
}
HOME_PLACES = ("village", "sea", "castle", "church", "lighthouse", "harbour", "tower")
DWELLINGS = ("house", "cottage", "hut", "cabin")
SIZES = ("small", "little", "cosy", "tiny")
NEAR = ("near", "by", "close to")

# A day's phrase and what may be said of it.
DAYS = {
    "sunny": (
        ("one sunny morning", "one sunny day", "one warm afternoon", "one bright morning", "on a warm day"),
        (
            "the sky was clear and the birds were singing.",
            "the sun felt warm, and bees hummed in the air.",
            "everything smelled of flowers.",
            "there was not a cloud in the sky.",
            "butterflies danced in the light.",
        ),
    ),
    "windy": (
        ("one windy morning", "one windy day", "one windy afternoon", "on a windy day"),
        (
            "the wind pushed the clouds across the sky.",
            "the leaves whispered in the wind.",
            "the wind sang in the trees.",
            "dry leaves danced over the path.",
        ),
    ),
    "cool": (
        (
            "one cool morning",
            "early one morning",
            "one quiet morning",
            "one misty afternoon",
            "one autumn day",
        ),
        (
            "the grass was wet and the air smelled of rain.",
            "a thin mist hung over the ground.",
            "it was so quiet that one could hear a leaf fall.",
            "drops of water shone on every leaf.",
        ),
    ),
}
