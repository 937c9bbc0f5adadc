"""How rich the world of the tales is: what 10,000 of them speak of, counted in their text."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

from . import PLOTS, Tale, tell, words

WHAT = {
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
    counts: dict[str, float] = {name: len(seen.intersection(listed)) for name, listed in WHAT.items()}
    counts["things with their colours"] = len({one.facts.thing for one in told})
    counts["plots"] = len({one.plot for one in told})
    counts["different words"] = len({word.lower() for word in seen})
    counts["mean length in words"] = sum(len(one.text.split()) for one in told) / len(told)
    return counts


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the inventory."""
    parser = argparse.ArgumentParser(prog="python -m llm_from_scratch.data.tales", description=__doc__)
    parser.add_argument("--tales", type=int, default=10_000, metavar="N", help="so many tales (default 10000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of this seed (default 0)")
    args = parser.parse_args(arguments)
    told = [tell(args.seed, number) for number in range(args.tales)]
    print(f"{args.tales:,} tales of seed {args.seed}, {len(PLOTS)} plots:")
    for name, count in inventory(told).items():
        print(f"  {name:26}{count:9,.1f}" if isinstance(count, float) else f"  {name:26}{count:7,}")
