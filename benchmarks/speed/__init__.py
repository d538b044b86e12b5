"""Speed of glia beside what people would use instead: the same work, each tool in its usual form, in turns.

    python -m benchmarks.speed                          # every part, and benchmarks/RESULTS.md
    python -m benchmarks.speed steps                    # one part
    python -m benchmarks.speed steps table lenet        # some of its works
    python -m benchmarks.speed steps table --tools glia plain --rounds 3

`make bench` makes the environment that has the other tools and runs all parts there. A tool that is not installed, or
has no usual form for a work, is a dash.
"""
