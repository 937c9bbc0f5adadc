"""For authors of exercises: `python -m llm_from_scratch.grading write` and `... wrongs [ch04]`.

`write` cuts the learners' files from the worked solutions. `wrongs` runs every wrong solution and prints what
a learner who made that mistake would read: the place to see whether the messages help.
"""

from __future__ import annotations

import argparse
import sys

from .generate import write_learner_file
from .tasks import find_chapters, find_exercises, select_chapters
from .wrongs import sweep


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m llm_from_scratch.grading", description=__doc__)
    parser.add_argument("what", choices=["write", "wrongs"])
    parser.add_argument("chapters", nargs="*", help="such as ch04; all if none is named")
    parser.add_argument("--seed", type=int, default=1, help="of the inputs (default: 1)")
    options = parser.parse_args(arguments)
    chapters = select_chapters(find_chapters(find_exercises()), options.chapters)
    missed = 0
    for chapter in chapters:
        if options.what == "write":
            print(f"{chapter.learner_file}: {'written' if write_learner_file(chapter) else 'in step'}")
            continue
        for verdict in sweep(chapter, options.seed):
            missed += not verdict.caught
            print(f"{'caught' if verdict.caught else 'MISSED'}  {chapter.name} {verdict.task}: {verdict.wrong}")
            print(f"  by {', '.join(verdict.failing) or 'nothing'}; meant: {verdict.meant_check}")
            print(f"  {verdict.message}\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
