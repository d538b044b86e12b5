"""The doctor's exam.

python -m exam draw OUT --count 300        draw programs, sick and healthy, each tried before it is kept
python -m exam run  OUT --glia glia        run the doctor on each
python -m exam mark OUT --markdown PAGE    the marks
"""

import argparse
import sys
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m exam", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    draw = verbs.add_parser("draw", help="draw programs, each tried before it is kept")
    draw.add_argument("--count", type=int, default=300, help="half of them sick, half healthy")
    draw.add_argument("--seed", type=int, default=0)
    draw.add_argument("--jobs", type=int, default=1)
    draw.add_argument("--long", type=int, default=0, help="so many more that take a minute or more")
    run = verbs.add_parser("run", help="run the doctor on each program")
    run.add_argument("--glia", default="glia", help="the command")
    run.add_argument("--jobs", type=int, default=2)
    run.add_argument("--limit", type=float, default=120, help="seconds for one program")
    mark = verbs.add_parser("mark", help="the marks")
    mark.add_argument("--markdown", type=Path, help="write the page there")
    mark.add_argument("--note", default="", help="a sentence at the head of the page")
    for verb in (draw, run, mark):
        verb.add_argument("out", type=Path)
    options = parser.parse_args()
    {"draw": _draw, "run": _run, "mark": _mark}[options.verb](options)
    return 0


def _draw(options: argparse.Namespace) -> None:
    from exam.draw import draw

    dropped = draw(options.out, options.count, options.seed, jobs=options.jobs, long=options.long)
    print(f"dropped {sum(dropped.values())}")
    for why, times in dropped.most_common():
        print(f"{times:4d} {why}")


def _run(options: argparse.Namespace) -> None:
    from exam.run import run

    for name, answered, seconds in run(options.out, options.glia, options.jobs, options.limit):
        print(f"{name} {'answered' if answered else 'NO VERDICT'} {seconds:.1f} s", flush=True)


def _mark(options: argparse.Namespace) -> None:
    from exam.mark import page, read
    from glia.doctor.examine import rules

    answers = read(options.out)
    for each in answers:
        told = [finding["cause"] for finding in (each.findings or [])[:3]]
        if each.findings is None or (each.sick and not each.right(1)) or (not each.sick and told):
            print(each.name, each.truth["kind"], each.truth["fault"], each.truth["causes"][:1], "->", told)
    text = page(answers, {rule.code: rule.cause for rule in rules()}, options.note)
    if options.markdown:
        options.markdown.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    sys.exit(main())
