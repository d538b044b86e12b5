"""Words and figures that the terminal and the page share."""

from typing import TYPE_CHECKING

from glia.profiling.trials import LATE, Trial

if TYPE_CHECKING:
    from glia.profiling.profile import Profile

SAID = {
    "data": "waiting for batches, moving them",
    "forward": "the network's answer",
    "loss": "from the answer to the loss",
    "backward": "gradients",
    "replayed": "forward and backward, as one row of calls",
    "optimiser": "step, clearing, clipping",
    "rest": "logging, metrics, batches cut by hand",
    "logging": "chart, hashes, checkpoints",
    "doctor": "what watches the run",
}


def time(seconds: float) -> str:
    """12.1 ms, 340 us."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.0f} us"


def size(count: float) -> str:
    """1.5 MiB."""
    for unit, one in (("GiB", 2**30), ("MiB", 2**20)):
        if count >= one:
            return f"{count / one:.3g} {unit}"
    return f"{count / 2**10:.3g} KiB"


def step(found: "Profile") -> str:
    """What a step takes, of how many rows, on what."""
    rows = f", {found.rows} rows" if found.rows else ""
    threads = f", {found.threads} thread{'s' * (found.threads > 1)}" if found.device == "cpu" else ""
    return f"(half of them {time(found.low)} to {time(found.high)}){rows}, {found.device}{threads}"


def figures(found: "Profile") -> list[str]:
    """What is known of the machine's share and of memory, a line each."""
    lines = []
    if found.compute:
        lines.append(f"the step on copies, its batch in memory: {time(found.compute)}")
    if found.flops and found.of_peak:
        shares = ", ".join(
            f"{100 * share:.0f} % of the {name} peak ({found.peak[name] / 1e9:.0f})"
            for name, share in found.of_peak.items()
        )
        rate = found.flops / found.compute / 1e9
        lines.append(f"matrix products: {found.flops / 1e9:.3g} GFLOP a step, {rate:.3g} GFLOP/s: {shares}")
    memory = found.memory
    if memory.weights:
        parts = (("weights", memory.weights), ("gradients", memory.gradients), ("optimiser", memory.optimiser))
        held = ", ".join(f"{name} {size(count)}" for name, count in (*parts, ("kept for backward", memory.kept)))
        lines.append(f"memory: {held}")
    gpu = f", {size(memory.device)} on the GPU" if memory.device else ""
    lines.append(f"most held: {size(memory.peak)} by the process{gpu}")
    return lines


def heading(found: "Profile") -> str:
    """How many changes help."""
    count = len(found.best)
    words = {0: "nothing that was tried helps", 1: "one change helps", 3: "the three changes that help most"}
    return words.get(count, f"{count} changes help")


def gain(trial: Trial) -> str:
    """A trial's figures."""
    times = f"{trial.faster:.2f}x faster" if trial.faster >= 1 else f"{1 / trial.faster:.2f}x slower"
    return (
        f"{times} ({time(trial.before)} -> {time(trial.after)} {trial.per}; "
        f"quartiles {trial.low:.2f} to {trial.high:.2f}x of {trial.rounds} turns)"
    )


def others(found: "Profile") -> list[str]:
    """What else was tried, what could not be, and what there was no time for, a line each."""
    rest = [trial for trial in found.trials if trial not in found.best]
    late = ", ".join(trial.change.name for trial in rest if trial.error == LATE)
    tried = ", ".join(f"{trial.change.name} ({trial.faster:.2f}x)" for trial in rest if not trial.error)
    failed = [f"{t.change.name} could not be tried: {t.error}" for t in rest if t.error and t.error != LATE]
    lines = [f"tried too: {tried}" if tried else "", *failed, f"no time was left for: {late}" if late else ""]
    return [line for line in lines if line]
