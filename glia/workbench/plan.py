"""Plan: every setting that was left open gets its value, with the reason in words."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from glia.catalog import entry as catalog
from glia.data.facts import Facts
from glia.data.prepared import Prepared
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.choose_forecast import choose_forecast, forecast_settings
from glia.models.choose_image import choose_image, image_settings
from glia.models.choose_language import choose_language, language_settings
from glia.models.choose_pairs import choose_pairs, pair_settings
from glia.models.choose_series import choose_series, series_settings
from glia.models.choose_sound import choose_sound, sound_settings
from glia.models.choose_table import choose_table, train_settings
from glia.models.choose_text import choose_text, text_settings
from glia.models.choose_video import choose_video, video_settings
from glia.models.suggestion import Suggestion
from glia.recipe import Recipe
from glia.training.world import launched
from glia.workbench.prepare import prepare

# What is used where neither the user nor the network's entry in the catalogue says otherwise.
USUAL = {
    "epochs": 30,
    "batch_size": 64,
    "optimizer": "adamw",
    "schedule": "cosine",
    "warmup": 0.05,
    "weight_decay": 0.01,
    "clip": 1.0,
    "ema": 0.0,
    "label_smoothing": 0.0,
    "patience": 10,
    "monitor": "valid_loss",
}
RARE = 10.0  # a class so many times rarer than the most frequent one is weighted up


@dataclass(frozen=True)
class Choice:
    """One setting that was worked out, and why."""

    setting: str
    value: Any
    why: str

    def to_dict(self) -> dict[str, Any]:
        return {"setting": self.setting, "value": self.value, "why": self.why}


@dataclass(frozen=True)
class Plan:
    """Data and a recipe without open settings. The learning rate stays "auto" when it was: it takes a range test, on
    the network itself; `usual_lr` is what the network is known to like.
    """

    data: Prepared
    recipe: Recipe
    usual_lr: float | None
    choices: list[Choice]


def plan(recipe: Recipe, data: Prepared | None = None) -> Plan:
    """Prepare the recipe's data (unless given) and settle what it left open."""
    prepared = data or prepare(recipe=recipe)
    settled, usual_lr, choices = _settled(recipe, prepared)
    if settled.model.model == "folds" and prepared.valid is not None and data is None and _may_fold(recipe):
        # Packed folds validate on the training rows themselves: none need be held out.
        settled = settled.updated(valid_share=0.0)
        prepared = prepare(recipe=settled)
    if data is None and prepared.valid is None and "valid_share" not in recipe.data.model_fields_set:
        settled = settled.updated(valid_share=0.0)  # so that whoever reads the recipe again divides the rows alike
    return Plan(prepared, settled, usual_lr, choices)


def _may_fold(recipe: Recipe) -> bool:
    """Were no validation rows asked for in so many words, and is no order or group of rows to be kept?"""
    asked = (recipe.data.valid, recipe.data.time, recipe.data.group)
    return not any(asked) and "valid_share" not in recipe.data.model_fields_set


def _settled(recipe: Recipe, data: Prepared) -> tuple[Recipe, float | None, list[Choice]]:
    choices: list[Choice] = []
    name, options, settings, why = _network(recipe, data)
    if recipe.model.model == "auto":
        choices.append(Choice("model", name, why))
    usual_lr = settings.pop("lr", None)
    if recipe.train.optimizer not in (None, settings.get("optimizer", USUAL["optimizer"])):
        usual_lr = None  # a rate that is usual for one optimiser says nothing of another
    filled: dict[str, Any] = {"model": name}
    for setting, value in {**USUAL, **settings}.items():
        if setting in type(recipe.train).model_fields and getattr(recipe.train, setting) is None:
            filled[setting] = value
    for setting, value in options.items():
        if setting in type(recipe.model).model_fields and getattr(recipe.model, setting) is None:
            filled[setting] = value
    if recipe.train.threads is None:
        # torchrun has set the number of threads of each process; ours divide this one's among them.
        shared = 1 if launched() else recipe.train.processes
        filled["threads"] = max(1, torch.get_num_threads() // shared)
    if recipe.train.device == "auto":
        filled["device"] = "cuda" if torch.cuda.is_available() else "cpu"
    if recipe.train.class_weights == "auto":
        weights, reason = _class_weights(data)
        filled["class_weights"] = weights
        if reason:
            choices.append(Choice("class_weights", weights, reason))
    return recipe.updated(**filled), usual_lr, choices


def _network(recipe: Recipe, data: Prepared) -> tuple[str, dict[str, Any], dict[str, Any], str]:
    """(name, constructor options, training settings, why) of the network that was named, or that fits the data."""
    rows = len(data.train)
    if recipe.model.model == "custom":
        # A network of the user's own is trained as a plain one is; of a Step of their own nothing is known.
        return "custom", {}, {} if data.task.kind == "own" else _plain(rows), ""
    choose, settings_of = NETWORKS.get(data.task.kind) or NETWORKS[data.facts.kind]
    name, options, settings, why = choose(data.facts, rows, data.task)
    if name == "folds" and recipe.model.model == "auto" and not _may_fold(recipe):
        name, settings = "tabm", train_settings("tabm", rows)
        why = "validation rows were asked for, or rows keep their group or order: so no folds are drawn at random"
    if recipe.model.model in ("auto", name):
        return name, dict(options), dict(settings), why
    entry = catalog.find("models", recipe.model.model)
    if data.facts.kind not in entry.facts["inputs"]:
        fitting = [n for n in catalog.names("models") if data.facts.kind in catalog.find("models", n).facts["inputs"]]
        kind = data.facts.kind if data.facts.kind.endswith("s") else f"{data.facts.kind}s"
        raise GliaError(f"model {entry.name} does not take {kind}", expected=f"one of {', '.join(fitting)}")
    if "answers" in entry.facts and data.facts.kind != "pairs":
        said = f"model {entry.name} gives {entry.facts['answers']}"
        raise GliaError(said, expected="an answer for each row", hint=f"glia.build({entry.name!r}, ...) and glia.fit")
    if "train" in entry.facts and (entry.name, data.facts.kind) != ("linear", "table"):
        return entry.name, {}, dict(entry.facts["train"]), ""
    return entry.name, {}, dict(settings_of(entry.name, data.facts, rows, data.task)), ""


def _tensor(facts: Facts, rows: int, task: Task) -> Suggestion:
    return Suggestion("mlp", {}, _plain(rows), "the inputs are plain numbers")


NETWORKS: dict[str, tuple[Callable[[Any, int, Task], Suggestion], Callable[[str, Any, int, Task], dict[str, Any]]]] = {
    "table": (choose_table, lambda name, facts, rows, task: train_settings(name, rows)),
    "image": (choose_image, image_settings),
    "video": (choose_video, video_settings),
    "forecast": (choose_forecast, forecast_settings),
    "pairs": (choose_pairs, pair_settings),
    "text": (choose_text, text_settings),
    "sound": (choose_sound, sound_settings),
    "series": (choose_series, series_settings),
    "language": (choose_language, language_settings),
    "tensor": (_tensor, lambda name, facts, rows, task: _plain(rows)),
}
"""For each kind of input, or of answer where that decides: (facts, rows, task) -> the network that fits; (name, facts,
rows, task) -> how one that was named is trained, where its entry does not say.
"""


def _plain(rows: int) -> dict[str, Any]:
    """Those of a plain network; of few rows so small batches that an epoch has sixteen steps."""
    settings = dict(catalog.find("models", "mlp").facts["train"])
    return {**settings, "batch_size": min(settings["batch_size"], max(8, rows // 16))}


def class_counts(data: Prepared) -> list[int]:
    """Training rows of each class, in the order of `task.classes`."""
    counts: Counter[int] = Counter()
    for some in data.train.targets.split(1 << 20):  # as Python's numbers, all of them may fill the memory
        counts.update(some.tolist())
    return [counts[index] for index in range(len(data.task.classes))]


def _class_weights(data: Prepared) -> tuple[str, str]:
    if data.task.kind != "classify":
        return "none", ""
    counts = class_counts(data)
    ratio = max(counts) / max(min(counts), 1)
    if ratio < RARE:
        return "none", ""
    rarest = data.task.classes[counts.index(min(counts))]
    why = f"class {rarest!r} is {ratio:.0f} times rarer than the most frequent one; read F1 and PR-AUC, not accuracy"
    return "balanced", why


def weighted(task: Task, data: Prepared, class_weights: str) -> Task:
    """The task with class weights n / (k n_c), so that every class counts the same in the loss."""
    if class_weights != "balanced" or task.kind != "classify":
        return task
    counts = class_counts(data)
    weights = tuple(sum(counts) / (len(counts) * max(count, 1)) for count in counts)
    return Task(task.kind, task.targets, task.classes, task.center, task.scale, weights)
