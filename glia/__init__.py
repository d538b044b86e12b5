"""glia: a workbench for neural networks on PyTorch. It prepares data, builds, trains, explains and ships networks.

    run = glia.train("titanic.csv", target="survived")
    run.predict("new.csv")

Names are looked up when they are first used, so that ``import glia`` is quick.
"""

from importlib import import_module
from typing import Any

_WHERE = {
    "Recipe": "glia.recipe:Recipe",
    "GliaError": "glia.errors:GliaError",
    "prepare": "glia.workbench.prepare:prepare",
    "build": "glia.models.build:build_for",
    "train": "glia.workbench.train:train",
    "resume": "glia.workbench.train:resume",
    "reproduce": "glia.workbench.reproduce:reproduce",
    "Reproduction": "glia.workbench.reproduce:Reproduction",
    "open": "glia.workbench.run:open_run",
    "Run": "glia.workbench.run:Run",
    "fit": "glia.training.loop:fit",
    "fit_many": "glia.training.many:fit_many",
    "Many": "glia.training.members:Many",
    "Member": "glia.training.members:Member",
    "Moment": "glia.training.loop:Moment",
    "supervised": "glia.training.steps:supervised",
    "next_token": "glia.training.language:next_token",
    "adversarial": "glia.training.adversarial:adversarial",
    "import_weights": "glia.foreign.importer:import_weights",
    "load_weights": "glia.models.weights:load_weights",
    "trace": "glia.tracing.trace:trace",
    "Trace": "glia.tracing.rows:Trace",
    "profile": "glia.profiling.profile:profile",
    "Profile": "glia.profiling.profile:Profile",
    "listen": "glia.vitals.listen:listen",
    "Chart": "glia.vitals.chart:Chart",
    "examine": "glia.doctor.judge:examine",
    "Finding": "glia.doctor.finding:Finding",
    "Classifier": "glia.estimators:Classifier",
    "Regressor": "glia.estimators:Regressor",
}

__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'glia' has no attribute {name!r}")
    module, _, attribute = _WHERE[name].partition(":")
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
