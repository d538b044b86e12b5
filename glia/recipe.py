"""Recipe: what was asked. Typed settings with visible defaults, in and out of TOML; an unknown one is refused."""

import ast
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from glia import limits
from glia.errors import GliaError, unknown


def _names(value: Any) -> Any:
    """``"a,b"`` means two names, as on a command line; a number is a column's position."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _numbers(value: Any) -> Any:
    """``"128,64"``, ``"[128, 64]"`` or ``128``: a list of whole numbers."""
    if isinstance(value, str):
        value = [part.strip() for part in value.strip("[]() ").split(",") if part.strip()]
    return [value] if isinstance(value, int) else value


def _levels(value: Any) -> Any:
    """``"0.1,0.5,0.9"``."""
    if isinstance(value, str):
        value = [part.strip() for part in value.strip("[]() ").split(",") if part.strip()]
    return [value] if isinstance(value, int | float) else value


def _epochs(value: Any) -> Any:
    """``"2,4,6"``, or ``never``."""
    return () if value == "never" else _numbers(value)


def _kinds(value: Any) -> Any:
    """``"age=number,zip=category"``, as on a command line."""
    if isinstance(value, str):
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        return {name.strip(): kind.strip() for name, _, kind in pairs}
    return value


def _auto_or_number(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, str) and value != "auto" else value
    except ValueError:
        raise ValueError("a number, or auto") from None


Names = Annotated[tuple[str, ...], BeforeValidator(_names)]
Size = Annotated[int, Field(gt=0, le=10**9)]
Sizes = Annotated[tuple[Size, ...], BeforeValidator(_numbers)]
Epochs = Annotated[tuple[int, ...], BeforeValidator(_epochs)]
Kinds = Annotated[dict[str, str], BeforeValidator(_kinds)]
Limits = Annotated[dict[str, int], BeforeValidator(limits.parse)]
Levels = Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], BeforeValidator(_levels)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]
NotNegative = Annotated[float, Field(ge=0.0)]


SHOWN = 80  # characters of a wrong value that a message quotes


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False)


class Data(_Settings):
    """Where the rows come from and how they are divided."""

    source: Any = Field(None, description="file, folder, name of a bundled set, data frame, or arrays")
    kind: str = Field(
        "auto", description="kind: table, image, video, sound, text, pairs, series, corpus; auto looks at the source"
    )
    target: Names = Field((), description="column to predict; several, with commas, for many answers a row")
    task: Literal["auto", "classify", "multilabel", "regress", "transcribe", "translate"] = Field(
        "auto", description="kind of answer"
    )
    valid: str | None = Field(None, description="file or folder of validation rows, instead of a share")
    test: str | None = Field(None, description="file or folder of test rows, instead of a share")
    valid_share: Share = Field(0.1, description="share of the training rows kept for validation")
    test_share: Share = Field(0.2, description="share of all rows kept for the final test")
    group: str | None = Field(None, description="column whose equal values stay in one part")
    time: str | None = Field(None, description="column of time: train comes before valid, valid before test")
    text: str | None = Field(None, description="column that holds the texts, where there are other columns too")
    tokenizer: str = Field(
        "auto", description="characters, words, bpe, wordpiece, or a tokenizer.json file; auto looks at the texts"
    )
    vocabulary: int | None = Field(None, gt=0, description="most tokens that a tokeniser learns")
    text_length: int | None = Field(None, gt=0, description="tokens of a text that are read at most")
    horizon: int | None = Field(None, gt=0, description="steps to forecast; with it a table is one of series in time")
    window: int | None = Field(None, gt=0, description="steps of the past that a forecast looks back on")
    series: str | None = Field(None, description="column that names the series, where a table holds several")
    covariates: Names = Field((), description="other columns of numbers that a forecast is shown")
    context: int | None = Field(None, gt=0, description="tokens that a language model reads at once")
    quantiles: Levels = Field((), description="quantiles to forecast, e.g. 0.1,0.5,0.9; otherwise one number")
    kinds: Kinds = Field({}, description="kinds of columns, e.g. age=number,zip=category")
    drop: Names = Field((), description="columns to leave out")
    header: bool | None = Field(None, description="whether the first line names the columns; worked out if not said")
    separator: str | None = Field(None, description="what separates the cells; worked out if not said")
    decimal: str | None = Field(None, description="decimal mark, '.' or ','; worked out if not said")
    encoding: str | None = Field(None, description="text encoding; worked out if not said")
    limit_rows: int | None = Field(None, gt=0, description="read only so many rows")
    image_size: int | None = Field(None, gt=0, description="side of the pictures in pixels; chosen if not said")
    sample_rate: int | None = Field(None, ge=1000, le=192_000, description="samples a second; chosen if not said")
    augment: str = Field("auto", description="auto, none, or a list such as flip,shift,erase")
    limits: Limits = Field({}, description="more than is usually read, e.g. pixels=200e6; see `glia list limits`")
    bad_limit: Share = Field(0.05, description="share of unreadable pictures, clips or sounds that is tolerated")
    workers: int | None = Field(
        None, ge=0, description="threads that load ahead; any number gives the same run; chosen if not said"
    )


class Model(_Settings):
    """Which network, and what differs from its own defaults (None: leave it)."""

    model: str = Field("auto", description="name in `glia list models`; auto chooses by data")
    hidden: Sizes | None = Field(None, description="units of each hidden layer, e.g. 128,64")
    width: Size | None = Field(None, description="units or channels of a layer")
    depth: Size | None = Field(None, description="number of hidden layers")
    members: Size | None = Field(None, description="networks trained side by side in an ensemble")
    dropout: float | None = Field(None, ge=0, lt=1, description="share of units dropped in training")
    activation: str | None = Field(None, description="name in `glia list activations`")
    norm: str | None = Field(None, description="name in `glia list norms`")
    bidirectional: bool | None = Field(None, description="a recurrent network reads both ways")
    pooling: str | None = Field(None, description="how a recurrent network sums up its steps, or LeNet-5 its maps")
    stem: Literal["auto", "imagenet", "small"] | None = Field(
        None, description="first layers of a picture network: as published, or for small pictures"
    )
    stochastic_depth: float | None = Field(
        None, ge=0, lt=1, description="how often the last residual branch is left out in training, the others less"
    )
    init: str | None = Field(None, description="name in `glia list inits`; chosen by activation if not said")
    pretrained: str | None = Field(
        None, description="weights to begin with: a .safetensors file, a folder of them, or a run of glia"
    )

    def options(self) -> dict[str, Any]:
        """What was set, for the network's constructor."""
        named = self.model_dump(exclude={"model", "pretrained", "init"})
        return {key: value for key, value in named.items() if value is not None}


class Train(_Settings):
    """How it is trained (None: the network's own default)."""

    epochs: int | None = Field(None, gt=0, description="passes over the training rows, at most")
    batch_size: Annotated[int, Field(gt=0)] | Literal["all"] | None = Field(
        None, description="rows a step; all: the whole training set"
    )
    optimizer: str | None = Field(None, description="name in `glia list optimizers`")
    lr: Annotated[NotNegative | Literal["auto"], BeforeValidator(_auto_or_number)] = Field(
        "auto", description="learning rate; auto tests a range first"
    )
    schedule: str | None = Field(None, description="name in `glia list schedules`")
    warmup: Share | None = Field(None, description="share of all steps in which the rate rises")
    momentum: float | None = Field(None, ge=0, lt=1, description="momentum of SGD and its kin")
    weight_decay: float | None = Field(None, ge=0, description="decay of weights; norms and biases are left out")
    clip: float | None = Field(None, ge=0, description="limit of the gradient; 0 for none")
    clip_by: Literal["norm", "value", "adaptive"] = Field(
        "norm", description="what clip limits: the norm of all, each number, or each unit by the size of its weights"
    )
    l1: float = Field(0.0, ge=0, description="L1 penalty on weights")
    loss: str | None = Field(None, description="name in `glia list losses`; the one of the task if not said")
    label_smoothing: Share | None = Field(None, description="share of certainty taken from each label")
    ema: float | None = Field(None, ge=0, lt=1, description="decay of the averaged weights; 0 for none")
    swa: Share = Field(0.0, description="share of the steps, at the end, whose mean weights are kept instead")
    accumulate: int = Field(1, gt=0, description="batches whose gradients make one step")
    freeze: Annotated[int, Field(ge=0)] | Literal["all"] | None = Field(
        None, description="stages at the input that do not train at first; all: all but the head"
    )
    unfreeze_at: Epochs | None = Field(
        None, description="epochs at which the next frozen stage begins to train, e.g. 2,4,6; never: none does"
    )
    lr_decay: float | None = Field(
        None, gt=0, le=1, description="factor on the learning rate from each stage to the one before it"
    )
    patience: int | None = Field(None, ge=0, description="epochs without gain before it stops; 0 for never")
    monitor: str | None = Field(None, description="which figure decides the best weights, e.g. valid_loss")
    class_weights: Literal["auto", "none", "balanced"] = Field("auto", description="weights against rare classes")
    seed: int = Field(0, ge=0, description="the one seed of the run")
    device: str = Field("auto", description="cpu, cuda, mps, or auto")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="number format of the large products; auto tries which is faster, where it may be bfloat16"
    )
    products: Literal["auto", "torch", "onednn"] = Field(
        "auto", description="library that multiplies float32 matrices on a CPU; auto tries which is faster"
    )
    memory_format: Literal["auto", "contiguous", "channels_last"] = Field(
        "auto", description="order in which pictures lie for convolutions; auto tries which is faster"
    )
    threads: int | None = Field(None, gt=0, description="threads of torch on the CPU")
    processes: int = Field(1, gt=0, le=64, description="processes of this machine that share each batch")
    valid_every: int = Field(1, gt=0, description="validate every so many epochs")
    checkpoint_s: float = Field(30.0, ge=0, description="seconds between checkpoints")
    stall_timeout: float = Field(
        300.0, ge=0, description="seconds without a batch after which a run ends with an error; 0: never"
    )
    baselines: bool = Field(True, description="train simple models beside the network")
    tensorboard: bool = Field(False, description="write TensorBoard files too")
    doctor: bool = Field(True, description="check the data before training, and the run while it goes on")
    trial_time: Annotated[NotNegative | Literal["auto"], BeforeValidator(_auto_or_number)] = Field(
        "auto", description="seconds to try cures for after a run that fails; auto: a fifth of the run's, at least 5"
    )
    skip: Names = Field((), description="rules of the doctor to leave out, by code or name, e.g. GL109,dead-relu")


SECTIONS: dict[str, type[_Settings]] = {"data": Data, "model": Model, "train": Train}
SECTION_OF: dict[str, str] = {field: name for name, kind in SECTIONS.items() for field in kind.model_fields}


class Recipe(_Settings):
    """Everything that was asked: ``Recipe.of(source="titanic.csv", target="survived", epochs=20)``."""

    data: Data = Data()
    model: Model = Model()
    train: Train = Train()

    @classmethod
    def of(cls, **settings: Any) -> "Recipe":
        """A recipe from flat names, as on the command line and in ``glia.train(...)``."""
        return cls().updated(**settings)

    def updated(self, **settings: Any) -> "Recipe":
        """This recipe with some settings changed; all are checked again."""
        sections = {name: getattr(self, name).model_dump(exclude_unset=True) for name in SECTIONS}
        for name, value in settings.items():
            if name not in SECTION_OF:
                raise unknown("setting", name, sorted(SECTION_OF))
            sections[SECTION_OF[name]][name] = value
        return _checked(sections)

    def flat(self) -> dict[str, Any]:
        """All settings by their flat names."""
        return {field: getattr(getattr(self, section), field) for field, section in SECTION_OF.items()}

    def to_toml(self) -> str:
        """The recipe as TOML: every setting that has a value (TOML has no null; absent means None)."""
        sections = {}
        for name in SECTIONS:
            values = getattr(self, name).model_dump()
            if name == "data" and not isinstance(values["source"], str):
                values["source"] = f"<{type(values['source']).__name__} in memory>"
            sections[name] = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items() if v is not None}
        return tomli_w.dumps(sections)

    @classmethod
    def read(cls, path: Path, raised: limits.Raised = limits.USUAL) -> "Recipe":
        """The recipe in a file. raised: what of glia.limits the user raised."""
        try:
            if path.is_file():  # of a pipe nobody knows the size
                limits.check("recipe_bytes", path.stat().st_size, path, raised)
            text = path.read_text("utf-8")
        except OSError as error:
            raise GliaError(f"cannot read {path}", got=error.strerror or error) from None
        except UnicodeDecodeError as error:
            raise GliaError(f"{path} is no recipe", got=error, expected="TOML, which is UTF-8") from None
        return cls.from_toml(text, str(path), raised)

    @classmethod
    def from_toml(cls, text: str, name: str = "recipe", raised: limits.Raised = limits.USUAL) -> "Recipe":
        """Read back what `to_toml` wrote, or what a person did; `name` is for the error message."""
        sections = _parsed(text, name, raised)
        for section, values in sections.items():
            if section not in SECTIONS:
                raise unknown(f"section in {name}", section, SECTIONS)
            if not isinstance(values, dict):
                raise GliaError(f"[{section}] in {name} holds no settings", got=_short(values), expected="a table")
            for key in values:
                if key not in SECTIONS[section].model_fields:
                    raise unknown(f"setting in [{section}] of {name}", key, SECTIONS[section].model_fields)
        return _checked(sections)


def _parsed(text: str, name: str, raised: limits.Raised) -> dict[str, Any]:
    """TOML of no more than the usual depth."""
    depth = limits.most("depth", raised)
    many = GliaError(f"{name}: settings within settings within settings", expected=f"at most {depth} levels")
    # tomllib takes a.a.a.a... in time that grows as its square; this looks at each sign once.
    if re.search(rf"(?<![\w\"'-])(?:[\w\"'-]++\s*+\.\s*+){{{depth}}}", text):
        raise many
    try:
        sections = tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, or a number of more digits than Python turns into one
        raise GliaError(f"{name} is not valid TOML", got=error) from None
    except RecursionError:
        sections = None
    if sections is None or not limits.depth_within(sections, depth):
        raise many
    return sections


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _checked(sections: Mapping[str, Mapping[str, Any]]) -> Recipe:
    """Build and check a Recipe; pydantic's complaint becomes one line."""
    try:
        made: dict[str, Any] = {name: SECTIONS[name](**values) for name, values in sections.items()}
        return Recipe(**made)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        about = SECTIONS[SECTION_OF[name]].model_fields[name].description
        problem = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ").partition(", unable")[0]
        raise GliaError(f"setting {name} ({about})", got=_short(first["input"]), expected=problem) from None


def parse_value(text: str) -> Any:
    """A setting's value as it stands on a command line: numbers, true/false, none, lists; otherwise the text."""
    lowered = text.strip().lower()
    if lowered in {"true", "yes", "on"}:
        return True
    if lowered in {"false", "no", "off"}:
        return False
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    return value if isinstance(value, int | float) and not isinstance(value, bool) else text
