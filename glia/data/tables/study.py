"""A first look at a whole table, before anything is fitted: the answer, and what each other column is."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from glia.data.tables.columns import KIND_OF_ANSWER, Plan, plan_columns
from glia.data.tables.source import Piece
from glia.data.tables.target import Answer, answered, find_column, find_targets, plan_answer
from glia.errors import GliaError

if TYPE_CHECKING:
    from glia.recipe import Data


@dataclass(frozen=True)
class Study:
    """piece: the rows that have an answer. plans: all columns but targets and those left out.

    left_out: columns that were set aside without looking at them, with the reason. unanswered: rows without an answer.
    """

    piece: Piece
    answer: Answer
    plans: tuple[Plan, ...]
    left_out: dict[str, str]
    group: str | None
    time: str | None
    unanswered: int

    @property
    def inputs(self) -> list[str]:
        return [plan.name for plan in self.plans if plan.used]


def study_table(whole: Piece, data: "Data", offered: tuple[str, ...]) -> Study:
    """Errors: a column that is not there, a target without values, no column to learn from."""
    targets = find_targets(whole, tuple(data.target), offered)
    kinds = {find_column(name, whole): kind for name, kind in data.kinds.items()}
    group, time = (find_column(name, whole) if name else None for name in (data.group, data.time))
    left_out = {find_column(name, whole): "you left it out" for name in data.drop}
    if group:
        left_out[group] = "it says which rows belong together"
    for name in targets:
        if name in left_out:
            raise GliaError(f"target {name!r} cannot be left out or group the rows", hint="take it from drop or group")
    piece = whole.take(answered(whole, targets))
    if not len(piece):
        raise GliaError(f"no row of {whole.name} has a value in target {', '.join(map(repr, targets))}")
    task: str = data.task
    if task == "auto" and len(targets) == 1 and targets[0] in kinds:
        task = KIND_OF_ANSWER.get(kinds[targets[0]], task)
    answer = plan_answer(piece, targets, task)
    names = [name for name in piece.frame.columns if name not in targets and name not in left_out]
    plans = plan_columns(piece, names, {name: kind for name, kind in kinds.items() if name in names})
    result = Study(piece, answer, tuple(plans), left_out, group, time, len(whole) - len(piece))
    if not result.inputs:
        why = "; ".join(f"{plan.name}: {plan.why}" for plan in plans[:4]) or "there is no other column"
        raise GliaError(
            f"no column of {whole.name} can be learnt from", got=why, hint="kinds COLUMN=number or category"
        )
    return result
