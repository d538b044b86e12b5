"""Transfer learning in a run: weights that exist, the scale of pictures that they expect, the plan of thawing."""

import json
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import nn

from glia.catalog import entry as catalog
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.build import IMAGENET_MEAN, IMAGENET_STD
from glia.models.keys import OURS
from glia.models.normalise import Normalise
from glia.models.weights import Files, Loaded, load_weights
from glia.recipe import Recipe
from glia.runs.folder import RunFolder
from glia.training.transfer import Thawing, discriminate, evenly
from glia.workbench.plan import Choice

LR_DECAY = 0.7  # from a stage to the one before it
LEAST = 0.1  # the rate of the first stage is not smaller than this share of the head's, however many stages there are
RECORD = "weights.json"


NO_GRADIENT, FROZEN = "GL206", "GL209"  # rules on what does not train


@dataclass(frozen=True)
class Transfer:
    """What a run begins with. lines: what people should hear of it."""

    recipe: Recipe
    thawing: Thawing
    record: dict[str, Any]
    choices: list[Choice]
    lines: tuple[str, ...]


def wanted(recipe: Recipe) -> bool:
    """Does the recipe ask for weights, or for parts that learn differently?"""
    asked = (recipe.model.pretrained, recipe.train.freeze, recipe.train.unfreeze_at, recipe.train.lr_decay)
    return any(one is not None for one in asked)


def checked(recipe: Recipe, *, own: bool) -> Recipe:
    """The recipe, with the network and its size as in the run of ours that the weights are from, if they are.

    Raises GliaError, before any data are read, for weights that are not there or for what would rest untrained.
    """
    path = recipe.model.pretrained
    if path is not None:
        Files.of(path, recipe.data.limits)
        if (Path(path) / "recipe.toml").is_file() and not own:
            return _as_the_run(recipe, path)
        return recipe if own else _as_published(recipe)
    if recipe.train.freeze not in (None, 0) and not own:
        raise GliaError(
            "frozen stages would stay as they were drawn", got=f"freeze={recipe.train.freeze} without weights",
            hint="pretrained=weights.safetensors",
        )  # fmt: skip
    return recipe


def _as_published(recipe: Recipe) -> Recipe:
    """Published weights are of networks with their published first layers, whatever the size of the pictures."""
    if recipe.model.model == "auto" or recipe.model.stem is not None:
        return recipe
    takes = signature(catalog.load(catalog.find("models", recipe.model.model))).parameters
    return recipe.updated(stem="imagenet") if "stem" in takes else recipe


def _as_the_run(recipe: Recipe, path: str) -> Recipe:
    """Its network where none was named, and the same sizes unless others were asked for."""
    theirs = RunFolder.open(path).recipe.model
    if theirs.model == "custom" or recipe.model.model not in ("auto", theirs.model):
        return recipe
    return recipe.updated(model=theirs.model, **theirs.options() | recipe.model.options())


def begin(recipe: Recipe, model: nn.Module, task: Task) -> Transfer:
    """Load the weights into `model`, give its stages their rates, and settle what the recipe left open."""
    record, choices, lines = {}, [], []
    path = recipe.model.pretrained
    if path is not None:
        loaded = load_weights(model, path, head=_same_answers(Path(path), task), raised=recipe.data.limits)
        lines.append(loaded.line())
        record = loaded.to_dict()
        choices += _normalised(model, loaded)
    thawing, settled = _settled(recipe, model, record, choices)
    record["thawing"] = thawing.to_dict()
    lines.append(thawing.line())
    return Transfer(settled, thawing, record, choices, tuple(lines))


def again(recipe: Recipe, model: nn.Module, task: Task, record: dict[str, Any], *, anew: bool) -> Thawing:
    """The plan of a run that goes on. anew: without a checkpoint the weights are read again, and must be the same."""
    if anew and recipe.model.pretrained is not None:
        sha256 = Files.of(recipe.model.pretrained, recipe.data.limits).sha256
        if sha256 != record.get("sha256"):
            raise GliaError(
                f"the weights in {recipe.model.pretrained} changed since this run began", got=f"sha256 {sha256[:12]}",
                expected=str(record.get("sha256"))[:12], hint="train a new run",
            )  # fmt: skip
        return begin(recipe, model, task).thawing
    return _settled(recipe, model, record, [])[0]


def _settled(recipe: Recipe, model: nn.Module, record: dict[str, Any], choices: list[Choice]) -> tuple[Thawing, Recipe]:
    """The plan, with the rates of the stages set in `model`, and the recipe with no such setting open."""
    train, loaded = recipe.train, recipe.model.pretrained is not None
    frozen = train.freeze if train.freeze is not None else ("all" if loaded else 0)
    if frozen != "all" and train.unfreeze_at and not frozen:
        raise GliaError("unfreeze_at without frozen stages", got=f"freeze={frozen}", expected="freeze=all, or a number")
    thawing = Thawing.of(model, frozen, train.unfreeze_at or (), record.get("fresh", ()))
    if train.unfreeze_at is None:
        thawing = Thawing(thawing.stages, thawing.frozen, evenly(thawing.frozen, train.epochs or 1), thawing.fresh)
    if train.freeze is None and loaded:
        choices.append(Choice("freeze", thawing.frozen, "what came with weights rests until the head has learned"))
    decay = train.lr_decay
    if decay is None:
        decay = usual_decay(len(thawing.stages)) if loaded else 1.0
        if loaded:
            why = "each stage learns slower than the one after it: the nearer to the input, the more general"
            choices.append(Choice("lr_decay", decay, why))
    if decay != 1:
        discriminate(model, decay, thawing.stages)
    return thawing, recipe.updated(freeze=thawing.frozen, unfreeze_at=thawing.at, lr_decay=decay)


def planned(thawing: Thawing) -> set[str]:
    """Rules of the doctor whose symptom is the plan itself: what thaws late has had no gradient before."""
    codes = {NO_GRADIENT} if thawing.frozen else set()
    return codes | ({FROZEN} if codes and len(thawing.at) >= thawing.frozen else set())


def usual_decay(stages: int) -> float:
    """Factor from stage to stage where none was asked for."""
    return round(max(LR_DECAY, LEAST ** (1 / max(stages - 1, 1))), 3)


def _same_answers(path: Path, task: Task) -> bool:
    """Does the head of these weights mean what ours does? Published files do not say; only its size can tell."""
    try:
        theirs = json.loads((path / "model" / "task.json").read_bytes())
        return Task.from_dict(theirs).to_dict() | {"weights": ()} == task.to_dict() | {"weights": ()}
    except OSError:
        return True
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


def _normalised(model: nn.Module, loaded: Loaded) -> list[Choice]:
    """Published weights expect pictures on the scale that they were trained with; a run of ours brings its own."""
    first = next((module for module in model.modules() if isinstance(module, Normalise)), None)
    if first is None:
        return []
    if loaded.source == OURS:
        return [Choice("normalise", _figures(first), "as in the run that the weights are from")]
    (mean, std), why = _published_scale(Path(loaded.path))
    channels = first.mean.numel()
    if channels != len(mean):
        mean, std = (sum(mean) / len(mean),) * channels, (sum(std) / len(std),) * channels
    with torch.no_grad():
        first.mean.copy_(torch.tensor(mean).view_as(first.mean))
        first.std.copy_(torch.tensor(std).view_as(first.std))
    return [Choice("normalise", _figures(first), why)]


def _figures(layer: Normalise) -> str:
    return ", ".join(f"{m:.3f}+-{s:.3f}" for m, s in zip(layer.mean.flatten().tolist(), layer.std.flatten().tolist()))


def _published_scale(path: Path) -> tuple[tuple[tuple[float, ...], tuple[float, ...]], str]:
    """Mean and standard deviation that stand beside the weights, or those of ImageNet."""
    folder = path if path.is_dir() else path.parent
    for name, inner, keys in (
        ("preprocessor_config.json", None, ("image_mean", "image_std")),
        ("config.json", "pretrained_cfg", ("mean", "std")),
    ):
        try:
            said = json.loads((folder / name).read_bytes())
            said = said[inner] if inner else said
            mean, std = (tuple(float(value) for value in said[key]) for key in keys)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
        if len(mean) == len(std) > 0 and all(0 <= m <= 1 and 0 < s <= 1 for m, s in zip(mean, std)):
            return (mean, std), f"as {name} beside the weights says"
    return (IMAGENET_MEAN, IMAGENET_STD), "of ImageNet, as published weights are trained with"
