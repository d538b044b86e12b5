"""Draw: programs at random, sick and healthy, each tried before it is kept."""

import copy
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import count, repeat
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from exam import faults_of_data, faults_of_loop, faults_of_model, gan
from exam.faults import FAULTS, Fault
from exam.odd import draw_odd
from exam.program import Program
from exam.samples import draw_sample
from exam.script import write
from exam.trial import run_script

GROUPS = (faults_of_data, faults_of_loop, faults_of_model)  # importing them fills the list
NAMED = {fault.name: fault for fault in FAULTS}
LASTING = (  # faults that more steps do not mend
    "upwards", "no_step", "rate_far_up", "loss_made_anew", "another_model", "gradients_cleared_late", "heavy_penalty",
    "column_against_row", "share_of_one", "two_sided_loss", "nearly_all_dropped",
)  # fmt: skip
LONGER, BLOCK = 60, 10
SOUND, MIDDLING = 0.25, 0.65
ENOUGH, BY_HEART = 0.08, 0.35  # what a sound program may gain by more epochs, or lose off its training rows


@dataclass
class Draft:
    """A program as files, and what is known of it. twin: the same without its fault.

    Of a sound one: longer, with twice the epochs; known, judged on its training rows.
    """

    script: str
    arrays: dict[str, np.ndarray] | None
    chance: float
    truth: dict[str, Any]
    shows: str = "worse"
    twin: "Draft | None" = field(default=None, repr=False)
    longer: "Draft | None" = field(default=None, repr=False)
    known: "Draft | None" = field(default=None, repr=False)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "train.py").write_text(self.script)
        if self.arrays:
            np.savez(folder / "data.npz", **self.arrays)

    def skill(self) -> tuple[float, float] | None:
        """Score above chance, 1 at best, and seconds; None where the script does not come to its end."""
        with tempfile.TemporaryDirectory() as name:
            self.save(Path(name))
            outcome = run_script(Path(name))
        if outcome.score is None:
            return None
        skill = (outcome.score - self.chance) / (1 - self.chance)
        return (skill if np.isfinite(skill) else -1.0), outcome.seconds


def split(p: Program) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The arrays as they were made, and as they are stored."""
    x, y = p.data.make(p.rows, p.seed, p.noise)
    cut = len(x) * 3 // 4
    clean = {"x_train": x[:cut], "y_train": y[:cut], "x_valid": x[cut:], "y_valid": y[cut:]}
    stored = clean
    for name in p.spoils:
        stored = faults_of_data.spoil(stored, name, np.random.default_rng(p.seed))
    return clean, stored


def drafted(p: Program, fault: Fault | None = None, name: str = "") -> Draft:
    """A program written out."""
    clean, stored = split(p)
    chance = 0.5 if p.data.form == "rare" else 0.0
    if p.data.task in ("classes", "two", "next") and p.data.form != "rare":
        chance = float(np.unique(clean[f"y_{p.seen}"], return_counts=True)[1].max() / clean[f"y_{p.seen}"].size)
    truth = {
        "sick": fault is not None,
        "fault": fault.name if fault else name,
        "causes": list(fault.causes) if fault else [],
        "kind": p.kind,
        "data": p.data.name,
        "style": p.style,
        "chance": round(chance, 4),
    }
    return Draft(write(p), stored if p.stored else None, chance, truth, fault.shows if fault else "worse")


def draw_sick(rng: Random, fault: Fault) -> Draft | None:
    """A program with the fault, and its twin; None where the fault does not fit the sample drawn."""
    p = draw_sample(rng, rng.choice(fault.kinds), data=fault.data)
    change = fault.change(p, rng)
    if next(change, "does not fit") == "does not fit":
        return None
    twin = copy.deepcopy(p)
    next(change, None)
    draft = drafted(p, fault)
    draft.twin = drafted(twin)
    return draft


def verified(draft: Draft) -> str:
    """Why the draft is dropped; empty where it is kept. Writes its measured skill into its truth."""
    found = draft.skill()
    if found is None:
        return "broken or slow"
    skill, seconds = found
    draft.truth |= {"skill": round(skill, 3), "seconds": round(seconds, 2)}
    if draft.twin is None:
        low, high = draft.truth.pop("wanted", (SOUND, 1.01))
        if not low <= skill <= high:
            return f"skill not {low} to {high}"
        more = draft.longer.skill() if draft.longer else None
        if more and more[0] > skill + ENOUGH:
            return "more epochs would gain"
        known = draft.known.skill() if draft.known else None
        return "training rows known by heart" if known and known[0] > skill + BY_HEART else ""
    twin = draft.twin.skill()
    if twin is None or twin[0] < SOUND:
        return "twin does not learn"
    draft.truth["twin_skill"] = round(twin[0], 3)
    needed = {"worse": max(0.15, 0.3 * twin[0]), "slightly": 0.05, "certain": -9.0}[draft.shows]
    return "" if twin[0] - skill >= needed else "does not show"


def draw(out: Path, wanted: int, seed: int, *, jobs: int = 1, long: int = 0) -> Counter[str]:
    """Fills a folder with numbered programs, sick and healthy by turns. What was dropped, and why, is counted."""
    drawing = Drawing(seed, jobs)
    sick, healthy = drawing.sick(), drawing.healthy()
    for number in range(wanted):
        keep(next(healthy if number % 2 else sick), out, number)
    for number, draft in zip(range(wanted, wanted + long), drawing.long()):
        keep(draft, out, number)
    drawing.pool.shutdown(cancel_futures=True)
    return drawing.dropped


def keep(draft: Draft, out: Path, number: int) -> None:
    name = f"{number:03d}-{'sick' if draft.truth['sick'] else 'healthy'}"
    draft.save(out / name)
    (out / name / "truth.json").write_text(json.dumps(draft.truth, indent=1) + "\n")
    print(name, draft.truth["fault"], draft.truth["kind"], "skill", draft.truth["skill"], flush=True)


class Drawing:
    """The state of a draw. Which programs come does not depend on the number of jobs."""

    def __init__(self, seed: int, jobs: int) -> None:
        self.seed = seed
        self.pool = ThreadPoolExecutor(jobs)
        self.dropped: Counter[str] = Counter()

    def sick(self) -> Iterator[Draft]:
        """One fault after the other, in rounds, so that all are seen alike. One that never shows is given up."""
        failures: Counter[str] = Counter()
        for turn in count():
            names = [*NAMED, "gan", "gan again"]
            Random(f"{self.seed} order {turn}").shuffle(names)
            for start in range(0, len(names), BLOCK):
                block = [name for name in names[start : start + BLOCK] if failures[name] < 9]
                for draft, dropped in self.pool.map(self._one_sick, block, repeat(turn)):
                    for name, why in dropped:
                        failures[name] += 1
                        self._drop(f"sick, {name}: {why}")
                    if draft is not None:
                        yield draft

    def _one_sick(self, name: str, turn: int) -> tuple[Draft | None, list[tuple[str, str]]]:
        """Up to three tries of one fault."""
        dropped: list[tuple[str, str]] = []
        for attempt in range(60):
            rng = Random(f"{self.seed} {name} {turn} {attempt}")
            draft = sick_gan(rng) if name.startswith("gan") else draw_sick(rng, NAMED[name])
            if draft is None:
                continue
            why = verified(draft)
            if not why:
                return draft, dropped
            dropped.append((name, why))
            if len(dropped) == 3:
                break
        return None, dropped

    def healthy(self) -> Iterator[Draft]:
        """Two in five are hard, one in five looks odd, the others are plain."""
        for start in count(0, BLOCK):
            numbers = range(start, start + BLOCK)
            drafts = [draw_healthy(Random(f"{self.seed} healthy {number}"), number) for number in numbers]
            for draft, why in zip(drafts, self.pool.map(verified, drafts)):
                if why:
                    self._drop(f"healthy, {draft.truth['fault']}: {why}")
                else:
                    yield draft

    def long(self) -> Iterator[Draft]:
        """Programs that take a minute or more, tried at a small part of their length, sick and healthy by turns."""
        made = 0
        for number in count():
            pair = draw_long(Random(f"{self.seed} long {number}"), sick=made % 2 == 0)
            if pair is None:
                continue
            short, whole = pair
            why = verified(short)
            if why:
                self._drop(f"long, {short.truth['fault']}: {why}")
            else:
                made += 1
                whole.truth = {**short.truth, "length": LONGER}
                yield whole

    def _drop(self, why: str) -> None:
        self.dropped[why] += 1
        print("dropped", why, flush=True)


def sick_gan(rng: Random) -> Draft:
    """Two networks against each other, with a fault."""
    name = rng.choice(list(gan.FAULTS))
    script, twin = gan.draw_gan(rng, name)
    truth = {"sick": True, "fault": name, "causes": list(gan.FAULTS[name][0]), "kind": "gan", "data": "points"}
    return Draft(script, None, 0.0, {**truth, "style": "two networks"}, twin=Draft(twin, None, 0.0, {}))


def healthy_gan(rng: Random) -> Draft:
    truth = {"sick": False, "fault": "plain", "causes": [], "kind": "gan", "data": "points", "style": "two networks"}
    return Draft(gan.draw_gan(rng, None)[0], None, 0.0, truth)


def draw_long(rng: Random, sick: bool) -> tuple[Draft, Draft] | None:
    """The short form of a program and its whole form, with so many times the rows; None where there is none."""
    p = draw_sample(rng)
    p.stored, p.rows = False, 800
    fault = NAMED[rng.choice(LASTING)] if sick else None
    if p.data.make.__module__.endswith("tables") or p.data.name == "digits" or p.style == "closure":
        return None
    twin = None
    if fault is not None:
        change = fault.change(p, rng)
        if next(change, "does not fit") == "does not fit":
            return None
        twin = copy.deepcopy(p)
        next(change, None)
    if p.stored or p.schedule or p.patience:
        return None
    short = drafted(p, fault, "long")
    short.twin = drafted(twin) if twin else None
    p.rows *= LONGER
    return short, drafted(p, fault, "long")


def draw_healthy(rng: Random, number: int) -> Draft:
    """A sound program: a hard one, one that looks odd, or a plain one."""
    if number % 20 == 1:
        return healthy_gan(rng)
    hard, odd = number % 5 in (0, 2), number % 5 == 4
    p, name = draw_odd(rng) if odd else (draw_sample(rng, hard=hard), "hard" if hard else "plain")
    draft = drafted(p, name=name)
    draft.longer = drafted(replace(p, epochs=2 * p.epochs), name=name)
    draft.known = drafted(replace(p, seen="train"), name=name)
    draft.truth["wanted"] = (0.2, MIDDLING) if hard else (SOUND, 1.01)
    return draft
