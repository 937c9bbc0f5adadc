"""How rich the world of the tales is, counted in their text, and how well the checker knows true tales from altered."""

from __future__ import annotations

import argparse
import itertools
import re
from collections.abc import Sequence

from . import Tale, consistency, consistency_score, tell, words
from .altering import WHAT, alter
from .dice import Dice

LISTED = {
    "heroes": (*words.HE_NAMES, *words.SHE_NAMES),
    "kinds": words.KINDS,
    "things": words.THINGS,
    "colours": words.COLOURS,
    "places": tuple(words.PLACES),
    "homes": words.HOME_PLACES,
    "foods": words.FOOD_NOUNS,
    "elders": tuple(words.ELDERS),
}


def inventory(told: Sequence[Tale]) -> dict[str, float]:
    """Distinct heroes, kinds, things … and words that occur in the texts, distinct plots, and the mean length in words.

    >>> inventory([tell(0, 0)])["heroes"]
    1
    """
    seen = {word for one in told for word in re.findall("[A-Za-z]+", one.text)}
    counts: dict[str, float] = {name: len(seen.intersection(listed)) for name, listed in LISTED.items()}
    counts["things with their colours"] = len({one.facts.thing for one in told})
    counts["plots"] = len({one.plot for one in told})
    counts["different words"] = len({word.lower() for word in seen})
    counts["mean length in words"] = sum(len(one.text.split()) for one in told) / len(told)
    return counts


def power(altered: int, seed: int = 0) -> dict[str, float]:
    """For each kind of alteration, the share of so many altered tales in which the checker finds a contradiction.

    >>> power(3)["colour"]
    1.0
    """
    shares = {}
    for what in WHAT:
        texts = (alter(tell(seed, number), what, Dice(seed, number)) for number in itertools.count())
        chosen = list(itertools.islice((text for text in texts if text is not None), altered))
        shares[what] = 1 - consistency_score(chosen)
    return shares


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the inventory, and with `--checker` what the checker makes of true and of altered tales."""
    parser = argparse.ArgumentParser(prog="python -m llm_from_scratch.data.tales", description=__doc__)
    parser.add_argument("--tales", type=int, default=10_000, metavar="N", help="so many tales (default 10000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of this seed (default 0)")
    parser.add_argument("--checker", action="store_true", help="also try the checker on them and on altered ones")
    parser.add_argument("--altered", type=int, default=1000, metavar="N", help="so many of each kind (default 1000)")
    args = parser.parse_args(arguments)
    if min(args.tales, args.altered) < 1 or args.seed < 0:
        parser.error("--tales and --altered take a number from 1 on, --seed one from 0 on")
    told = [tell(args.seed, number) for number in range(args.tales)]
    print(f"{args.tales:,} tales of seed {args.seed}:")
    for name, count in inventory(told).items():
        print(f"  {name:26}{count:9,.1f}" if isinstance(count, float) else f"  {name:26}{count:7,}")
    if args.checker:
        flagged = sum(not consistency(one.text).consistent for one in told)
        print(f"the checker flags {flagged:,} of them, and finds, of {args.altered:,} tales with one mention changed:")
        for what, share in power(args.altered, args.seed).items():
            print(f"  {what:26}{share:9.1%}")
