"""How time and memory grow: with rows, features, parameters, length, steps; with a CSV's size; and who waits for whom.

    python -m benchmarks.growth                       # all but the two below
    python -m benchmarks.growth steps --most 1000000  # does a long run slow down, or grow?
    python -m benchmarks.growth csv --most 5e9        # a CSV of so many bytes, made here, trained on for an epoch

Each point is measured in a process of its own, forked where torch is loaded already, in CPU time on one thread: the
median over blocks of steps. Memory is what the process took beyond what it had when torch was loaded. The slope is that
of a straight line through the logarithms of the last three points: 1 is proportional, 0 is no growth. Writes
benchmarks/GROWTH.md and growth.svg; points of parts that are not run stay.
"""
