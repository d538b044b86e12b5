"""Export: a network with its preparation and its decoding as one file that runs without glia, ONNX or torch.export.

Raw inputs go in (rows, ...) as `Facts` says, any number of rows; probabilities or values in the targets' own units come
out (rows, C). The file is run and compared with the network before it is written.
"""

import copy
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from glia import disk
from glia.data.task import Task
from glia.errors import GliaError
from glia.predict.outputs import evaluating

TOLERANCE = 1e-4  # of the largest output
ROWS = 5  # rows of the made-up inputs that the file is tried on
_CHATTER = "torch.onnx._internal.exporter._registration"  # tells everyone that torchvision is not there

Program = Callable[[Tensor], Tensor]


class Answering(nn.Module):
    """A network and its task as one module: raw inputs (N, ...) to decoded outputs (N, C) float32."""

    def __init__(self, model: nn.Module, task: Task):
        super().__init__()
        self.model, self.task = model, task

    def forward(self, inputs: Tensor) -> Tensor:
        return self.task.decode(self.model(inputs))


def export(model: nn.Module, task: Task, example: Tensor, path: Path, *, overwrite: bool = False) -> Path:
    """Write `model` as the suffix of `path` says: ``.onnx`` (opset of the installed torch) or ``.pt2`` (torch.export).

    example: raw inputs of one row or more; only their shape and number format are kept. Raises GliaError when the
    file exists, an extra is missing, the network cannot be traced, or the exported program answers otherwise.
    Source of the formats: onnx.ai/onnx/intro; torch.export.save (weights as plain bytes, the program as JSON).
    """
    path = Path(path)
    if path.suffix not in _WRITERS:
        raise GliaError(f"cannot export to {path.name}", got=repr(path.suffix), expected=" or ".join(_WRITERS))
    if path.exists() and not overwrite:
        raise GliaError(f"{path} exists already", hint="another name, or overwrite=true")
    if path.suffix == ".onnx":
        _need_onnx()
    write, load = _WRITERS[path.suffix]
    answering = Answering(copy.deepcopy(model).cpu(), task)
    rows = example.detach().cpu()
    rows = rows if len(rows) > 1 else torch.cat([rows, rows])  # a single row would be taken for a fixed size
    with evaluating(answering), torch.no_grad(), _quiet():
        try:
            content = write(answering, rows)
        except Exception as error:
            reason = str(error).strip().partition("\n")[0]
            raise GliaError(
                f"this network cannot be traced for {path.suffix}",
                got=f"{type(error).__name__}: {reason}",
                expected="tensor operations only: no branch on a value, no .item() in forward",
            ) from error
        program = load(content)
        for inputs in (rows, _made_up(rows)):
            wanted = answering(inputs)
            try:
                got = program(inputs)
            except Exception as error:
                reason = str(error).strip().partition("\n")[0]
                what = f"the exported program does not run on {len(inputs)} rows, so {path.name} was not written"
                raise GliaError(what, got=f"{type(error).__name__}: {reason}"[:200]) from error
            _compare(wanted, got, path)
    disk.write_file(path, content)
    return path


def _need_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise GliaError(f"ONNX needs the package {error.name}", hint='pip install "glia[export]"') from None


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporters warn about their own insides; what matters here is compared afterwards."""
    logger = logging.getLogger(_CHATTER)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _to_onnx(module: nn.Module, rows: Tensor) -> bytes:
    program = torch.onnx.export(
        module,
        (rows,),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("rows", min=1)},),
        input_names=["inputs"],
        output_names=["outputs"],
        verbose=False,
    )
    if program is None:
        raise GliaError("torch.onnx.export gave no program")
    return program.model_proto.SerializeToString()


def _from_onnx(content: bytes) -> Program:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda inputs: torch.from_numpy(session.run(None, {"inputs": inputs.numpy()})[0])


def _to_pt2(module: nn.Module, rows: Tensor) -> bytes:
    program = torch.export.export(module, (rows,), dynamic_shapes=({0: torch.export.Dim("rows", min=1)},))
    program.example_inputs = None  # somebody's rows: not for the file
    file = io.BytesIO()
    torch.export.save(program, file)
    return file.getvalue()


def _from_pt2(content: bytes) -> Program:
    program: Program = torch.export.load(io.BytesIO(content)).module()
    return program


_WRITERS: dict[str, tuple[Callable[[nn.Module, Tensor], bytes], Callable[[bytes], Program]]] = {
    ".onnx": (_to_onnx, _from_onnx),
    ".pt2": (_to_pt2, _from_pt2),
}


def _made_up(rows: Tensor) -> Tensor:
    """Other inputs of the same kind and another number of rows: the example may be all zeros."""
    generator = torch.Generator().manual_seed(0)
    repeated = torch.cat([rows] * ROWS)[:ROWS]
    if rows.dtype == torch.uint8:
        return torch.randint(0, 256, repeated.shape, dtype=torch.uint8, generator=generator)
    if rows.is_floating_point():
        return repeated + torch.randn(repeated.shape, generator=generator).to(rows.dtype)
    return repeated


def _compare(wanted: Tensor, got: Tensor, path: Path) -> None:
    """Raises GliaError when the exported program does not answer as the network does."""
    same_gaps = wanted.shape == got.shape and bool((wanted.isnan() == got.isnan()).all())
    largest = wanted.nan_to_num(0).abs().max().item()
    difference = (wanted - got).nan_to_num(0).abs().max().item() if same_gaps else float("inf")
    if difference > TOLERANCE * max(largest, 1e-12):
        raise GliaError(
            f"the exported program does not answer as the network does, so {path.name} was not written",
            got=f"a difference of {difference:.3g} where the largest output is {largest:.3g}",
            expected=f"at most {TOLERANCE} of it",
        )
