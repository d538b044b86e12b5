"""Checkpoints: exact, verified, and never fewer than one that is whole."""

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from glia.errors import DamagedError
from glia.runs import checkpoint
from glia.runs.packing import in_one_piece, pack, unpack

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(TREES)
def test_plain_state_comes_back_as_it_was(tree: Any) -> None:
    assert repr(unpack(*pack(tree))) == repr(tree)


def test_tensors_of_every_kind_come_back_bit_for_bit() -> None:
    base = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    tree = {
        "shared": [base, base[1], base.T, base[:, ::2]],
        "nan": torch.tensor([float("nan"), float("inf"), -0.0]),
        "types": [base.double(), base.bfloat16(), base > 0, torch.arange(3), torch.tensor(3.0), torch.empty(0, 2)],
        1: base.contiguous(memory_format=torch.contiguous_format),
    }
    again = unpack(*pack(tree))

    def same(one: Any, other: Any) -> bool:
        if isinstance(one, torch.Tensor):
            return one.dtype == other.dtype and one.shape == other.shape and repr(one) == repr(other)
        pairs = zip(one.values(), other.values()) if isinstance(one, dict) else zip(one, other)
        return all(same(a, b) for a, b in pairs)

    assert same(tree, again) and list(again) == list(tree)


def test_the_bytes_are_those_of_the_library() -> None:
    """Of every kind of number, of none, of one, of names that JSON has to quote; and of views, which it refuses."""
    kinds = [torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]
    kinds += [torch.float16, torch.bfloat16, torch.float32, torch.float64]
    values = torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).mul(9)
    tensors = {
        f'{"zay"[i % 3]}."{i}" \u00e9\n': values.to(kind)[:, i % 4 :].contiguous() for i, kind in enumerate(kinds)
    }
    tensors |= {f"one.{kind}": values.to(kind)[1, 2].clone() for kind in kinds} | {"none": torch.empty(0, 2)}
    assert in_one_piece(tensors) == safetensors.torch.save(tensors)
    odd = {"complex": values.to(torch.complex64), "plain": values}
    assert in_one_piece(odd) == safetensors.torch.save(odd)
    assert in_one_piece({}) == safetensors.torch.save({})
    views = {"whole": values, "half": values[:2]}
    assert in_one_piece(views) == safetensors.torch.save({name: view.clone() for name, view in views.items()})


def test_what_a_checkpoint_cannot_hold_is_said() -> None:
    with pytest.raises(TypeError, match=r"set \(at state.a\)"):
        pack({"a": {1}})


def test_garbled_state_is_damage() -> None:
    with pytest.raises(DamagedError):
        unpack(b'{"tensor": "gone"}', pack({})[1])


def test_newest_whole_one_is_found_and_old_ones_go(tmp_path: Path) -> None:
    assert checkpoint.latest(tmp_path) is None
    for step in range(5):
        checkpoint.save(tmp_path, step, {"step": step, "weights": torch.full((3,), float(step))})
    assert len(list((tmp_path / "checkpoints").iterdir())) == checkpoint.KEEP
    warnings: list[str] = []
    state = checkpoint.latest(tmp_path, warnings.append)
    assert state is not None and state["step"] == 4 and not warnings
    path = tmp_path / "checkpoints" / "step-000000004" / "state.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 4
    path.write_bytes(content)
    state = checkpoint.latest(tmp_path, warnings.append)
    assert state is not None and state["step"] == 3 and len(warnings) == 1 and "damaged" in warnings[0]


def test_a_folder_that_was_moved_aside_is_put_back(tmp_path: Path) -> None:
    """As after a kill between the two renames that replace a checkpoint of the same step."""
    folder = checkpoint.save(tmp_path, 7, {"step": 7})
    folder.rename(folder.with_name(f".old-{folder.name}-123"))
    state = checkpoint.latest(tmp_path)
    assert state is not None and state["step"] == 7


def spoil(folder: Path) -> None:
    path = folder / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def test_a_run_that_went_back_past_damage_keeps_what_it_saves_from_then_on(tmp_path: Path) -> None:
    """Later steps are damaged leftovers then: they must not push out the new ones."""
    for step in (20, 30):
        spoil(checkpoint.save(tmp_path, step, {"step": step}))
    assert checkpoint.latest(tmp_path, lambda line: None) is None
    for step in (1, 2, 3):
        checkpoint.save(tmp_path, step, {"step": step})
        state = checkpoint.latest(tmp_path)
        assert state is not None and state["step"] == step
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["step-000000002", "step-000000003"]


def test_two_checkpoints_that_changed_places_are_found(tmp_path: Path) -> None:
    for step in (1, 2):
        checkpoint.save(tmp_path, step, {"progress": {"step": step}})
    one, two = (tmp_path / "checkpoints" / f"step-00000000{n}" for n in (1, 2))
    two.rename(two.with_name("x"))
    one.rename(two)
    two.with_name("x").rename(one)
    warnings: list[str] = []
    assert checkpoint.latest(tmp_path, warnings.append) is None and "another step" in warnings[0]


def test_looking_changes_nothing_while_another_process_saves(tmp_path: Path) -> None:
    """A reader between the two renames of a writer must not put the old folder back in the writer's way."""
    folder = checkpoint.save(tmp_path, 7, {"step": 7})
    folder.rename(folder.with_name(f".old-{folder.name}-1-abcdef01"))
    before = sorted((tmp_path / "checkpoints").iterdir())
    state = checkpoint.latest(tmp_path)
    assert state is not None and state["step"] == 7
    assert sorted((tmp_path / "checkpoints").iterdir()) == before
