"""Draw: programs at random, sick and healthy, each tried before it is kept."""

import copy
import json
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from exam import faults_of_data, faults_of_loop, faults_of_model
from exam.faults import FAULTS, Fault
from exam.odd import draw_odd
from exam.program import Program
from exam.samples import draw_sample
from exam.script import write
from exam.trial import run_script

GROUPS = (faults_of_data, faults_of_loop, faults_of_model)
SOUND, MIDDLING = 0.25, 0.65


@dataclass
class Draft:
    """A program as files, and what is known of it. twin: the same without its fault."""

    script: str
    arrays: dict[str, np.ndarray] | None
    chance: float
    truth: dict[str, Any]
    shows: str = "worse"
    twin: "Draft | None" = field(default=None, repr=False)

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
        return "" if low <= skill <= high else f"skill not {low} to {high}"
    twin = draft.twin.skill()
    if twin is None or twin[0] < SOUND:
        return "twin does not learn"
    draft.truth["twin_skill"] = round(twin[0], 3)
    needed = {"worse": max(0.15, 0.3 * twin[0]), "slightly": 0.05, "certain": -9.0}[draft.shows]
    return "" if twin[0] - skill >= needed else "does not show"


class Drawing:
    """Fills a folder with numbered programs."""

    def __init__(self, out: Path, seed: int, say: Any = print) -> None:
        self.out, self.seed, self.say = out, seed, say
        self.kept = 0
        self.dropped: Counter[str] = Counter()

    def sick(self, wanted: int) -> None:
        """One fault after the other, in rounds, so that all are seen alike."""
        failures: Counter[str] = Counter()
        done = 0
        for turn in count():
            order = list(FAULTS)
            Random(f"{self.seed} order {turn}").shuffle(order)
            for fault in order:
                if done == wanted:
                    return
                if failures[fault.name] > 12:
                    continue
                draft = self._one_sick(fault, turn, failures)
                done += draft is not None

    def _one_sick(self, fault: Fault, turn: int, failures: Counter[str]) -> Draft | None:
        tried = 0
        for attempt in range(60):
            draft = draw_sick(Random(f"{self.seed} {fault.name} {turn} {attempt}"), fault)
            if draft is None:
                continue
            why = verified(draft)
            if not why:
                self._keep(draft)
                return draft
            self.dropped[f"sick, {fault.name}: {why}"] += 1
            failures[fault.name] += 1
            tried += 1
            if tried == 3:
                break
        return None

    def healthy(self, wanted: int) -> None:
        """Two in five are hard, one in four looks odd, the others are plain."""
        done = 0
        for number in count():
            if done == wanted:
                return
            draft = draw_healthy(Random(f"{self.seed} healthy {number}"), done)
            why = verified(draft)
            if why:
                self.dropped[f"healthy, {draft.truth['fault']}: {why}"] += 1
                continue
            self._keep(draft)
            done += 1

    def _keep(self, draft: Draft) -> None:
        name = f"{self.kept:03d}-{'sick' if draft.truth['sick'] else 'healthy'}"
        draft.save(self.out / name)
        (self.out / name / "truth.json").write_text(json.dumps(draft.truth, indent=1) + "\n")
        self.kept += 1
        self.say(f"{name} {draft.truth['fault']} {draft.truth['kind']} skill {draft.truth['skill']}", flush=True)


def draw_healthy(rng: Random, number: int) -> Draft:
    """A sound program: a hard one, one that looks odd, or a plain one."""
    if number % 5 in (0, 2):
        draft = drafted(draw_sample(rng, hard=True), name="hard")
        draft.truth["wanted"] = (0.2, MIDDLING)
    elif number % 5 == 4:
        p, name = draw_odd(rng)
        draft = drafted(p, name=name)
    else:
        draft = drafted(draw_sample(rng), name="plain")
    return draft
