"""The doctor's exam: what is drawn, and how it is marked."""

import json
import re
from pathlib import Path
from random import Random
from typing import Any

import pytest

from exam import gan
from exam.draw import NAMED, Draft, drafted, draw_healthy, draw_sick, healthy_gan, sick_gan, verified
from exam.faults_of_data import spoil
from exam.mark import marks, page, read, rules
from exam.samples import KINDS, draw_sample
from glia.catalog import causes

CAUSES = {entry.name for entry in causes.ENTRIES}


def drawn(name: str) -> Draft:
    for seed in range(200):
        draft = draw_sick(Random(seed), NAMED[name])
        if draft is not None:
            return draft
    raise AssertionError(f"{name} fits nothing")


def substance(draft: Draft) -> tuple[str, list[bytes]]:
    return draft.script, [array.tobytes() for array in (draft.arrays or {}).values()]


@pytest.mark.parametrize("name", NAMED)
def test_a_fault_changes_the_program_and_the_script_does_not_name_it(name: str) -> None:
    draft = drawn(name)
    assert draft.twin is not None
    for script in (draft.script, draft.twin.script):
        compile(script, name, "exec")
        assert not re.search(rf"\b({'|'.join([*NAMED, *gan.FAULTS, *CAUSES])})\b", script)
        assert "#" not in script
    assert substance(draft) != substance(draft.twin)


def test_every_accepted_cause_is_a_word_of_the_vocabulary() -> None:
    named = [cause for fault in NAMED.values() for cause in fault.causes]
    assert {*named, *(cause for accepted, _ in gan.FAULTS.values() for cause in accepted)} <= CAUSES
    assert len({fault.causes[0] for fault in NAMED.values()}) >= 35


def test_a_seed_settles_the_program() -> None:
    first, again = drawn("cut_way"), drawn("cut_way")
    assert first.script == again.script and first.truth == again.truth
    assert draw_healthy(Random(4), 3).script == draw_healthy(Random(4), 3).script
    assert draw_healthy(Random(4), 3).script != draw_healthy(Random(5), 3).script


@pytest.mark.parametrize("kind", KINDS)
def test_samples_of_every_kind_compile(kind: str) -> None:
    for seed in range(12):
        compile(drafted(draw_sample(Random(seed), kind)).script, kind, "exec")


def test_answers_are_put_off_their_rows_and_inputs_stay() -> None:
    draft = drawn("answers_of_other_rows")
    assert draft.arrays is not None and draft.twin is not None and draft.twin.arrays is not None
    assert (draft.arrays["x_train"] == draft.twin.arrays["x_train"]).all()
    assert (draft.arrays["y_train"] != draft.twin.arrays["y_train"]).mean() > 0.1
    with pytest.raises(ValueError):
        spoil(draft.arrays, "no such thing", None)  # type: ignore[arg-type]


def test_a_fault_shows_beside_its_twin() -> None:
    draft = drawn("upwards")
    assert not verified(draft)
    assert draft.truth["skill"] < 0.3 < draft.truth["twin_skill"]


def test_a_sound_program_that_would_not_learn_is_dropped() -> None:
    draft = drawn("no_step")
    draft.twin = None
    assert verified(draft).startswith("skill not")


def test_two_networks_have_a_twin() -> None:
    sick, healthy = sick_gan(Random(1)), healthy_gan(Random(1))
    assert sick.twin is not None and sick.script != sick.twin.script and not healthy.truth["sick"]


def finding(cause: str, *, code: str = "GL1", severity: str = "error", after: float | None = None) -> dict[str, Any]:
    trial = {"trial": {"metric": "accuracy", "before": 0.2, "after": after, "steps": 9}} if after is not None else {}
    return {"code": code, "severity": severity, "cause": cause, "remedies": [{"change": {}, "says": "", **trial}]}


def answered(out: Path, name: str, accepted: list[str], findings: list[dict[str, Any]] | None, seconds: float) -> None:
    folder = out / name
    folder.mkdir()
    truth = {"sick": bool(accepted), "fault": "f", "causes": accepted, "kind": "mlp"}
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "seconds.json").write_text(json.dumps(seconds))
    if findings is not None:
        (folder / "doctor.json").write_text(json.dumps({"findings": findings}))


def test_marks_of_a_folder_made_by_hand(tmp_path: Path) -> None:
    answered(tmp_path, "0-sick", ["lr_too_high", "wrong_init"], [finding("wrong_init", after=0.9)], 1.0)
    answered(tmp_path, "1-sick", ["lr_too_high"], [finding("overfit", after=0.21), finding("lr_too_high")], 2.0)
    answered(tmp_path, "2-sick", ["nan_in_data"], [finding("nan_in_data", severity="note")], 3.0)
    answered(tmp_path, "3-sick", ["nan_in_data"], None, 120.0)
    answered(tmp_path, "4-healthy", [], [finding("overfit", code="GL2", severity="warning")], 4.0)
    answered(tmp_path, "5-healthy", [], [finding("overfit", severity="note")], 5.0)
    answers = read(tmp_path)
    figures = marks(answers)
    assert (figures["sick"], figures["healthy"], figures["no verdict"]) == (4, 2, 1)
    assert figures["detected"] == 0.5 and figures["first right"] == 0.25 and figures["among first three"] == 0.5
    assert figures["first remedy backed by a trial"] == 0.25 and figures["false alarms"] == 0.5
    assert (figures["seconds, median"], figures["seconds, longest"]) == (4.0, 120.0)
    one, two = rules(answers, {"GL1": "lr_too_high", "GL2": "overfit"})
    assert (one["spoke"], one["precision"], one["due"], one["recall"]) == (3, 2 / 3, 2, 1.0)
    assert (two["on healthy"], two["precision"], two["due"], two["recall"]) == (1, 0.0, 0, None)
    assert "| lr_too_high | 2 | 1.00 | 0.50 | 1.00 |" in page(answers)
