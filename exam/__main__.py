"""python -m exam draw | run | mark."""

import argparse
import sys
from collections import Counter
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m exam", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    draw = verbs.add_parser("draw", help="draw programs, sick and healthy, each tried before it is kept")
    draw.add_argument("out", type=Path)
    draw.add_argument("--count", type=int, default=300, help="half of them sick, half healthy")
    draw.add_argument("--seed", type=int, default=0)
    draw.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    if options.verb == "draw":
        return _draw(options)
    return 2


def _draw(options: argparse.Namespace) -> int:
    from exam.draw import Drawing

    drawing = Drawing(options.out, options.seed)
    drawing.sick(options.count // 2)
    drawing.healthy(options.count - options.count // 2)
    for why, times in Counter(drawing.dropped).most_common():
        print(f"dropped {times}: {why}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
