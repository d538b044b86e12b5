"""Weights from files: whatever the keys are called, what fits is loaded exactly, and what does not is told."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import glia
from glia.errors import DamagedError, GliaError
from glia.models.build import build
from glia.models.keys import Rename, best_names
from glia.models.normalise import Pictures
from glia.models.weights import load_weights
from tests.models.zoo import classes, image_facts


def net(name: str = "resnet20", outputs: int = 10, seed: int = 0, **options: Any) -> nn.Module:
    return build(name, image_facts(3, 32, 32), classes(outputs), seed=seed, **options)


def state(model: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", ["resnet20", "lenet5"])
@pytest.mark.parametrize("prefix", ["", "module.", "module.model."])
def test_own_names_with_anything_before_them(tmp_path: Path, name: str, prefix: str) -> None:
    source, target = net(name, seed=1), net(name)
    save_file({prefix + key: value for key, value in state(source).items()}, tmp_path / "w.safetensors")
    loaded = load_weights(target, tmp_path / "w.safetensors")
    assert same(state(target), state(source))
    counted = [
        key for key in state(source) if not key.endswith(("num_batches_tracked", "normalise.mean", "normalise.std"))
    ]
    assert sorted(loaded.matched) == sorted(counted) and not loaded.fresh and not loaded.unexpected
    assert loaded.line() == f"loaded {len(counted)} of {len(counted)} tensors (glia)"


class Body(nn.Module):
    """A small body with the names of one library, known to another by others."""

    published_keys: ClassVar[Mapping[str, tuple[Rename, ...]]] = {
        "torchvision": (),
        "huggingface": (
            Rename(r"^net\.encoder\.(\d+)\.dense\.", r"layer\1."),
            Rename(r"^classifier\.", "fc."),
            Rename(r"^net\.mix\.", "mix.", transpose=True),
        ),
    }

    def __init__(self, outputs: int = 4, width: int = 6) -> None:
        super().__init__()
        self.layer0, self.layer1 = nn.Linear(5, width), nn.Linear(width, width)
        self.mix, self.fc = nn.Linear(width, 3), nn.Linear(3, outputs)


def theirs(body: Body, net_prefix: str = "net.") -> dict[str, Tensor]:
    """The state of `body` as the other library has it, by the renames done backwards by hand."""
    made = {}
    for key, value in state(body).items():
        first, _, rest = key.partition(".")
        if first.startswith("layer"):
            made[f"{net_prefix}encoder.{first[5:]}.dense.{rest}"] = value
        elif first == "mix":
            made[f"{net_prefix}mix.{rest}"] = value.t().contiguous() if value.ndim == 2 else value
        else:
            made[f"classifier.{rest}"] = value
    return made


@pytest.mark.parametrize("before", ["", "module."])
@pytest.mark.parametrize("wrapped", [False, True])
def test_the_table_that_fits_is_found(tmp_path: Path, before: str, wrapped: bool) -> None:
    source, body = Body(), Body()
    target = Pictures(image_facts(3, 8, 8), body) if wrapped else body
    assert not torch.equal(source.mix.weight, body.mix.weight)
    save_file({before + key: value for key, value in theirs(source).items()}, tmp_path / "w.safetensors")
    loaded = load_weights(target, tmp_path / "w.safetensors")
    assert loaded.source == "huggingface" and not loaded.fresh and not loaded.unexpected
    assert same(state(body), state(source))
    save_file({before + key: value for key, value in state(source).items()}, tmp_path / "v.safetensors")
    other = Pictures(image_facts(3, 8, 8), Body())
    assert load_weights(other, tmp_path / "v.safetensors").source == "torchvision"
    assert same(state(other.network), state(source))


def test_a_file_of_the_bare_body_lacks_the_word_before_it(tmp_path: Path) -> None:
    class WithModel(Body):
        published_keys: ClassVar[Mapping[str, tuple[Rename, ...]]] = {
            "huggingface": tuple(
                Rename(r.pattern.replace("^net", "^model"), r.replacement, r.transpose)
                for r in Body.published_keys["huggingface"]
            )
        }

    source, target = Body(), WithModel()
    bare = {key: value for key, value in theirs(source, "").items() if not key.startswith("classifier")}
    save_file(bare, tmp_path / "w.safetensors")
    loaded = load_weights(target, tmp_path / "w.safetensors")
    assert loaded.missing == ("fc.weight", "fc.bias") and len(loaded.matched) == 6
    assert torch.equal(target.mix.weight, source.mix.weight)
    assert loaded.line() == "loaded 6 of 8 tensors (huggingface); not in the file: fc.weight, fc.bias"


def test_the_head_of_another_number_of_classes_stays(tmp_path: Path) -> None:
    source, target = net(outputs=1000, seed=1), net(outputs=10)
    before = state(target)
    save_file(state(source), tmp_path / "w.safetensors")
    loaded = load_weights(target, tmp_path / "w.safetensors")
    assert loaded.line().endswith("(glia); not loaded: output.weight 1000x64 -> 10x64, output.bias 1000 -> 10")
    assert loaded.fresh == ("output.weight", "output.bias")
    after, given = state(target), state(source)
    for key in after:
        assert torch.equal(after[key], before[key] if key.startswith("output") else given[key]), key


def test_the_head_stays_new_where_asked(tmp_path: Path) -> None:
    source, target = net(seed=1), net()
    before = state(target)
    save_file(state(source), tmp_path / "w.safetensors")
    loaded = load_weights(target, tmp_path / "w.safetensors", head=False)
    assert loaded.left == ("output.weight", "output.bias") == loaded.fresh
    assert torch.equal(target.state_dict()["output.weight"], before["output.weight"])
    assert torch.equal(target.state_dict()["stem.0.weight"], source.state_dict()["stem.0.weight"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_number_formats(tmp_path: Path, dtype: torch.dtype) -> None:
    source, target = net("lenet5", seed=1), net("lenet5")
    save_file({key: value.to(dtype) for key, value in state(source).items()}, tmp_path / "w.safetensors")
    load_weights(target, tmp_path / "w.safetensors")
    expected = {key: value.to(dtype).to(torch.float32) for key, value in state(source).items()}
    assert same(state(target), expected)


def test_folders_shards_and_runs(tmp_path: Path) -> None:
    source = net("lenet5", seed=1)
    whole = tmp_path / "whole"
    whole.mkdir()
    save_file(state(source), whole / "model.safetensors")
    parts = tmp_path / "parts"
    parts.mkdir()
    names = list(state(source))
    pieces = {"a.safetensors": names[:4], "b.safetensors": names[4:]}
    for file, keys in pieces.items():
        save_file({key: state(source)[key] for key in keys}, parts / file)
    index = {"metadata": {}, "weight_map": {key: file for file, keys in pieces.items() for key in keys}}
    (parts / "model.safetensors.index.json").write_text(json.dumps(index))
    for place in (whole, whole / "model.safetensors", parts, parts / "model.safetensors.index.json"):
        target = net("lenet5")
        loaded = load_weights(target, place)
        assert same(state(target), state(source)) and len(loaded.sha256) == 64
    assert load_weights(net("lenet5"), whole).sha256 != load_weights(net("lenet5"), parts).sha256
    (parts / "b.safetensors").unlink()
    with pytest.raises(GliaError, match=r"names b\.safetensors, which is not beside it"):
        load_weights(net("lenet5"), parts)
    for file in ("../w.safetensors", "/etc/passwd", "c.pt"):
        (parts / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": file}}))
        with pytest.raises(GliaError, match="outside its folder"):
            load_weights(net("lenet5"), parts)


def test_a_run_of_ours(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 255, (40, 12, 12), dtype=np.uint8), np.arange(40) % 2
    run = glia.train((x, y), runs=tmp_path, model="lenet5", epochs=1, baselines=False)
    target = build("lenet5", image_facts(1, 12, 12), classes(2))
    assert not load_weights(target, run.folder).fresh
    assert same(state(target), state(run.model))  # its normalisation too
    best = run.folder / "model" / "best.safetensors"
    best.write_bytes(best.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedError, match="other bytes than were written"):
        load_weights(target, run.folder)


def test_another_size_and_another_network(tmp_path: Path) -> None:
    save_file(state(net(seed=1, width=8)), tmp_path / "w.safetensors")
    target = net()
    before = state(target)
    with pytest.raises(GliaError) as raised:
        load_weights(target, tmp_path / "w.safetensors")
    assert "stem.0.weight" in str(raised.value)
    assert "got 8x3x3x3; expected 16x3x3x3" in str(raised.value)
    save_file(state(net("lenet5")), tmp_path / "w.safetensors")
    with pytest.raises(GliaError, match="of another network: 0 of"):
        load_weights(target, tmp_path / "w.safetensors")
    assert same(state(target), before)


def test_broken_and_hostile_files(tmp_path: Path) -> None:
    good = state(net("lenet5"))
    file = tmp_path / "w.safetensors"

    def refused(match: str, path: Path = file) -> None:
        with pytest.raises(GliaError, match=match) as raised:
            load_weights(net("lenet5"), path)
        assert "\n" not in str(raised.value)

    for content in (b"", b"x", b"PK\x03\x04" * 10, b"\xff" * 64, b"\x02\0\0\0\0\0\0\0{}" + b"left over"):
        file.write_bytes(content)
        refused("no whole safetensors file")
    save_file(good, file)
    file.write_bytes(file.read_bytes()[:-7])
    refused("no whole safetensors file")
    save_file(good | {"c1.weight": good["c1.weight"] * torch.nan}, file)
    refused(r"c1\.weight .* not finite")
    save_file(good | {"c1.weight": good["c1.weight"].to(torch.int8)}, file)
    refused(r"got int8; expected float32")
    refused("there are no weights", tmp_path / "absent.safetensors")
    for name in ("w.pt", "pytorch_model.bin", "w.pth", "w.ckpt"):
        (tmp_path / name).write_bytes(b"\x80\x04")
        refused("is a pickle", tmp_path / name)
    folder = tmp_path / "folder"
    folder.mkdir()
    refused("0 .safetensors files", folder)
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04")
    refused("is a pickle", folder)
    (folder / "model.safetensors.index.json").write_text("[1]")
    refused("cannot be read", folder)
    (tmp_path / "w.npz").write_bytes(b"")
    refused("no file of weights", tmp_path / "w.npz")


def test_tied_weights_stand_in_the_file_once(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.inner, self.out = nn.Embedding(7, 3), nn.Linear(3, 3), nn.Linear(3, 7, bias=False)
            self.out.weight = self.table.weight

    source, target = Tied(), Tied()
    save_file({key: value for key, value in state(source).items() if key != "out.weight"}, tmp_path / "w.safetensors")
    assert not load_weights(target, tmp_path / "w.safetensors").fresh
    assert same(state(target), state(source))


def test_names_that_fit_nothing_are_told(tmp_path: Path) -> None:
    source, target = net("lenet5", seed=1), net("lenet5")
    more = {f"decoder.{i}.weight": torch.zeros(2) for i in range(6)}
    save_file(state(source) | more, tmp_path / "w.safetensors")
    loaded = load_weights(target, tmp_path / "w.safetensors")
    assert set(loaded.unexpected) == set(more)
    assert loaded.line().endswith("and 2 more") and "without a place here: decoder.0.weight" in loaded.line()


def test_names_are_the_plainest_that_fit() -> None:
    shapes = {key: tuple(value.shape) for key, value in net("lenet5").state_dict().items()}
    names = best_names(net("lenet5"), shapes, shapes)
    assert (names.source, names.off, names.before, names.place) == ("glia", (), "", "")
