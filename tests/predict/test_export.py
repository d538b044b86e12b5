"""Exported files answer as the network does, hold no rows of anybody, and never appear when they are wrong."""

import builtins
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from glia.data.facts import Facts, ImageFacts, SeriesFacts, TableFacts, TensorFacts, TextFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.build import build
from glia.predict import export as exporting
from glia.predict.export import export

NAN = float("nan")
TABLE = TableFacts(
    names=("a", "b", "few", "many"),
    levels=(0, 0, 4, 21),
    median=(0.5, -1.0, 0.0, 0.0),
    scale=(1.3, 2.0, 1.0, 1.0),
    low=(-3.0, -3.0, 0.0, 0.0),
    high=(3.0, 3.0, 0.0, 0.0),
    gaps=(False, True, False, False),
    edges=((-2.0, 0.0, 1.0, 2.0), (-1.0, 0.0, 1.5), (), ()),
    rows=300,
)
GREY = ImageFacts(1, 28, 28, (0.13,), (0.3,), 100)
COLOUR = ImageFacts(3, 16, 16, (0.5, 0.4, 0.3), (0.2, 0.2, 0.3), 100)
CLASSIFY = Task("classify", ("y",), ("no", "maybe", "yes"))
REGRESS = Task("regress", ("s", "t"), center=(100.0, -3.0), scale=(20.0, 0.5))
LABELS = Task("multilabel", ("u", "v"))
CASES: list[tuple[str, Facts, Task, dict[str, Any]]] = [
    ("tabm", TABLE, CLASSIFY, {"hidden": [8], "members": 3}),
    ("folds", TABLE, LABELS, {"hidden": [4], "members": 5}),
    ("lenet5", GREY, CLASSIFY, {}),
    ("resnet8", COLOUR, CLASSIFY, {"width": 4}),
    ("mlp", TensorFacts((5,), 100), REGRESS, {"hidden": [4]}),
    ("gpt", TextFacts(20, 6, 0, 100), CLASSIFY, {"width": 8, "layers": 1, "heads": 2}),
    ("fcn", SeriesFacts(2, 9, (0.0,) * 2, (1.0,) * 2, 100), CLASSIFY, {"width": 8}),
    ("rocket", SeriesFacts(2, 20, (0.0,) * 2, (1.0,) * 2, 100), CLASSIFY, {"width": 40}),
]


def network(name: str, facts: Facts, task: Task, options: dict[str, Any]) -> nn.Module:
    """With random weights everywhere, so that nothing hides behind a zero at the start."""
    model = build(name, facts, task, **options)
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.empty_like(parameter).normal_(0, 0.1, generator=generator))
    return model


def rows(facts: Facts, count: int) -> Tensor:
    rng = np.random.default_rng(count)
    if isinstance(facts, ImageFacts):
        pixels = rng.integers(0, 256, (count, facts.channels, facts.height, facts.width))
        return torch.tensor(pixels, dtype=torch.uint8)
    if isinstance(facts, TextFacts):
        return torch.tensor(rng.integers(1, facts.vocabulary, (count, *facts.shape)))
    if isinstance(facts, TensorFacts | SeriesFacts):
        return torch.tensor(rng.normal(size=(count, *facts.shape)), dtype=torch.float32)
    x = np.concatenate(
        [rng.normal(size=(count, 2)), rng.integers(0, 4, (count, 1)), rng.integers(0, 21, (count, 1))], 1
    )
    x[::2, 1] = NAN
    return torch.tensor(x, dtype=torch.float32)


def run_onnx(path: Path, inputs: Tensor) -> Tensor:
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {session.get_inputs()[0].name: inputs.numpy()})[0])


def run_pt2(path: Path, inputs: Tensor) -> Tensor:
    return torch.export.load(path).module()(inputs)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
@pytest.mark.parametrize(("suffix", "run"), [(".onnx", run_onnx), (".pt2", run_pt2)])
def test_every_network_answers_the_same_from_its_file(case, suffix, run, tmp_path):
    name, facts, task, options = case
    if suffix == ".onnx":
        pytest.importorskip("onnxscript")
    model = network(name, facts, task, options).train()
    path = export(model, task, rows(facts, 2), tmp_path / f"net{suffix}")
    assert model.training
    model.eval()
    for count in (1, 7):
        inputs = rows(facts, count)
        with torch.no_grad():
            wanted = task.decode(model(inputs))
        torch.testing.assert_close(run(path, inputs), wanted, rtol=1e-4, atol=1e-6)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_one_row_is_enough_of_an_example(tmp_path):
    model = network(*CASES[4])
    path = export(model, REGRESS, rows(CASES[4][1], 1), tmp_path / "net.pt2")
    assert run_pt2(path, rows(CASES[4][1], 3)).shape == (3, 2)


def test_the_file_holds_no_example_row_and_no_pickled_weight(tmp_path):
    secret = torch.full((2, 5), 1234.5678)
    path = export(network(*CASES[4]), REGRESS, secret, tmp_path / "net.pt2")
    with zipfile.ZipFile(path) as archive:
        everything = {name: archive.read(name) for name in archive.namelist()}
    assert not [name for name, data in everything.items() if secret.numpy().tobytes()[:16] in data]
    configs = [json.loads(data) for name, data in everything.items() if name.endswith("weights_config.json")]
    entries = [entry for config in configs for entry in config["config"].values()]
    assert len(entries) == 4
    assert not any(entry["use_pickle"] for entry in entries)


def test_an_existing_file_is_left_alone_unless_told(tmp_path):
    path, model, example = tmp_path / "net.pt2", network(*CASES[4]), rows(CASES[4][1], 2)
    path.write_bytes(b"mine")
    with pytest.raises(GliaError, match="exists already"):
        export(model, REGRESS, example, path)
    assert path.read_bytes() == b"mine"
    export(model, REGRESS, example, path, overwrite=True)
    assert zipfile.is_zipfile(path)


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(GliaError, match=r"'\.bin'; expected \.onnx or \.pt2"):
        export(nn.Linear(5, 2), REGRESS, torch.zeros(2, 5), tmp_path / "net.bin")


def test_a_missing_package_is_named_in_one_line(tmp_path, monkeypatch):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "onnxscript":
            raise ModuleNotFoundError("No module named 'onnxscript'", name="onnxscript")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(GliaError, match=r'needs the package onnxscript. Try: pip install "glia\[export\]"'):
        export(nn.Linear(5, 2), REGRESS, torch.zeros(2, 5), tmp_path / "net.onnx")


class Branching(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.sum().item() > 0 else x[:, :2]


def test_a_network_that_cannot_be_traced_is_an_error_of_one_line(tmp_path):
    with pytest.raises(GliaError, match="cannot be traced for .pt2") as caught:
        export(Branching(5, 2), REGRESS, torch.zeros(2, 5), tmp_path / "net.pt2")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


class Counting(nn.Linear):
    """Answers otherwise at each call, which a traced program cannot."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        type(self).calls += 1
        return super().forward(x) + self.calls


def test_a_file_that_answers_otherwise_is_never_written(tmp_path):
    with pytest.raises(GliaError, match="does not answer as the network does"):
        export(Counting(5, 2), REGRESS, torch.zeros(2, 5), tmp_path / "net.pt2")
    assert not list(tmp_path.iterdir())


def test_a_wrong_program_is_caught_even_when_the_example_is_all_zeros(tmp_path, monkeypatch):
    model = nn.Linear(5, 2, bias=False)
    file = io.BytesIO()
    answering = exporting.Answering(nn.Linear(5, 2, bias=False), REGRESS)
    torch.export.save(
        torch.export.export(answering, (torch.zeros(2, 5),), dynamic_shapes=({0: torch.export.Dim("n")},)), file
    )
    monkeypatch.setitem(exporting._WRITERS, ".pt2", (lambda *_: file.getvalue(), exporting._from_pt2))
    with pytest.raises(GliaError, match="does not answer"):
        export(model, REGRESS, torch.zeros(2, 5), tmp_path / "net.pt2")
