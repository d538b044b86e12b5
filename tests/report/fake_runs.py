"""Run folders as training leaves them, made of invented numbers: for the report's tests and for looking at it."""

from pathlib import Path
from typing import Any

import numpy as np
from fake_parts import answers, begin, card, chart, class_counts, columns, finish, guesses, network, write_json
from PIL import Image

from glia.data.task import Task

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><script>alert(2)</script>",
    "</style><svg onload=alert(3)>",
    "{{ 7331 * 7 }}{% raw %}",
    "javascript:alert(4)",
    "' onmouseover='alert(5)",
    "<!--<script>",
    "\u2028alert(6)\u2029\u202e",
    "&lt;b&gt;]]>",
]

FINDINGS = {
    "findings": [
        {
            "code": "GL401", "name": "overfitting", "severity": "warning", "cause": "missing_regularisation",
            "where": "epochs 29 to 46", "place": "", "safe": True,
            "evidence": "valid loss best 0.131; valid loss last 0.154",
            "figures": {"valid_loss_best": 0.131, "valid_loss_last": 0.154},
            "why": "the network remembers the training rows instead of what they have in common",
            "cure": "try more dropout or weight decay",
            "remedies": [
                {
                    "change": {"dropout": 0.3}, "says": "dropout 0.3", "safe": False,
                    "trial": {"metric": "held-out accuracy", "before": 0.71, "after": 0.93, "steps": 400, "seeds": 2},
                }
            ],
        },
        {
            "code": "GL303", "name": "dead-relu", "severity": "warning", "cause": "lr_too_high",
            "where": "hidden.2 (Linear)", "evidence": "dead 0.93", "figures": {"dead": 0.93},
            "why": "most units are 0 in every row", "cure": "a lower rate", "safe": False,
            "remedies": [{"change": {"lr": 0.001}, "says": "lr 0.001", "safe": False}],
        },
        {
            "code": "GL110", "name": "shared-rows", "severity": "note", "cause": "data_leak",
            "where": "the held-out rows", "evidence": "held out rows shared 0.08",
            "figures": {"held_out_rows_shared": 0.08, "by_chance": 0.0, "rows": 34},
            "why": "held-out rows are training rows too", "cure": "drop doubles before the split", "safe": True,
            "remedies": [],
        },
    ],
    "vitals": {
        "counts": {"Adelie": 106, "Chinstrap": 48, "Gentoo": 87},
        "layers": [
            {"place": f"hidden.{i} (Linear)", "step": 413, "grad_norm": 10.0**-i, "zeros": z, "rms": 1.0}
            for i, z in enumerate((0.5, 0.71, 0.98))
        ],
    },
}  # fmt: skip


def penguins(folder: Path) -> Path:
    """Three classes from a table, close to what gradient boosting gives."""
    begin(folder)
    task = Task("classify", ("species",), ("Adelie", "Chinstrap", "Gentoo"))
    draw = np.random.default_rng(4)
    truth = {part: draw.choice(3, n, p=[0.44, 0.2, 0.36]) for part, n in (("valid", 34), ("test", 69))}
    metrics: dict[str, Any] = answers(folder, task, {part: (guesses(t, 3, 4.1), t) for part, t in truth.items()})
    metrics["train"] = {"accuracy": 0.9959, "log_loss": 0.0713}
    low = {"accuracy": 0.4348, "balanced_accuracy": 1 / 3, "f1": 0.202, "log_loss": 1.056}
    mid = {"accuracy": 0.9420, "balanced_accuracy": 0.931, "f1": 0.936, "log_loss": 0.131, "roc_auc": 0.991}
    top = {"accuracy": 0.9565, "balanced_accuracy": 0.948, "f1": 0.953, "log_loss": 0.098, "roc_auc": 0.995}
    metrics["baselines"] = [
        {"name": "majority class", "valid": low, "test": low, "seconds": 0.0004},
        {"name": "linear model", "valid": mid, "test": mid, "seconds": 0.031},
        {"name": "gradient boosting", "valid": top, "test": top, "seconds": 0.42},
    ]
    write_json(folder, "metrics.json", metrics)
    cols = columns(
        [
            ("species", "category", "target"), ("island", "category", "input"), ("bill_length_mm", "number", "input"),
            ("bill_depth_mm", "number", "input"),
            ("flipper_length_mm", "number", "input"), ("body_mass_g", "number", "input"),
            ("sex", "category", "input"), ("record_id", "text", "dropped"),
        ]
    )  # fmt: skip
    more = {
        "classes": class_counts(task.classes, [15, 7, 12]),
        "dropped": [{"what": "record_id", "why": "every row has its own value", "count": 1}],
        "notes": ["11 rows have no value for sex; it is a level of its own.", "No row stands in two parts."],
    }
    write_json(folder, "data.json", card("data/penguins.csv", {"train": 241, "valid": 34, "test": 69}, cols, **more))
    cells = {
        "island": "Dream",
        "bill_length_mm": 42.4,
        "bill_depth_mm": 17.3,
        "flipper_length_mm": 181,
        "body_mass_g": 3600,
        "sex": None,
        "year": 2007,
    }
    worst = [
        {"name": f"row {r}", "target": a, "predicted": b, "loss": loss, "share": share, "cells": cells, "picture": None}
        for r, a, b, loss, share in [
            (182, "Chinstrap", "Adelie", 3.41, 0.964), (17, "Adelie", "Chinstrap", 1.92, 0.851),
            (301, "Chinstrap", "Gentoo", 1.13, 0.664), (44, "Adelie", "Adelie", 0.69, 0.502),
        ]
    ]  # fmt: skip
    write_json(folder, "predictions/worst.json", worst)
    write_json(folder, "findings.json", FINDINGS)
    network(folder, "mlp", 4611, hidden=[64, 32], dropout=0.1, activation="relu", norm="layer")
    finish(folder, 46, 414, chart(folder, "accuracy"))
    return folder


def adult(folder: Path) -> Path:
    """Two uneven classes, many rows: the network is clearly better."""
    begin(folder, model="piecewise", source="adult.csv", target="income")
    task = Task("classify", ("income",), ("<=50K", ">50K"))
    draw = np.random.default_rng(5)
    truth = {part: (draw.random(n) < 0.14).astype(np.int64) for part, n in (("valid", 3200), ("test", 9700))}
    metrics: dict[str, Any] = answers(folder, task, {part: (guesses(t, 2, 2.9), t) for part, t in truth.items()})
    metrics["baselines"] = [
        {"name": "majority class", "test": {"accuracy": 0.861, "log_loss": 0.41}, "seconds": 0.002},
        {"name": "linear model", "test": {"accuracy": 0.879, "log_loss": 0.30, "roc_auc": 0.901}, "seconds": 0.5},
        {"name": "gradient boosting", "test": {"accuracy": 0.902, "log_loss": 0.25, "roc_auc": 0.93}, "seconds": 2.1},
    ]
    write_json(folder, "metrics.json", metrics)
    cols = columns([("income", "category", "target"), ("age", "number", "input"), ("occupation", "category", "input")])
    counts = {"classes": class_counts(task.classes, [2752, 448]), "imbalance": 6.14}
    write_json(folder, "data.json", card("adult.csv", {"train": 22400, "valid": 3200, "test": 9700}, cols, **counts))
    network(folder, "piecewise", 88_214, width=256, members=8)
    finish(folder, 46, 46 * 300, chart(folder, "accuracy", steps=300), took=312)
    return folder


def many_classes(folder: Path, classes: int = 20) -> Path:
    """A table of `classes` classes."""
    begin(folder, source="letters.csv", target="letter")
    task = Task("classify", ("letter",), tuple(f"letter {chr(65 + i % 26)}{i // 26 or ''}" for i in range(classes)))
    truth = np.random.default_rng(6).integers(0, classes, 2400)
    metrics: dict[str, Any] = answers(folder, task, {"test": (guesses(truth, classes, 4.2), truth)})
    write_json(folder, "metrics.json", metrics)
    cols = columns([(f"edge_{i}", "number", "input") for i in range(120)])
    write_json(
        folder,
        "data.json",
        card("letters.csv", {"train": 9000, "test": 2400}, cols, classes=class_counts(task.classes, [40] * classes)),
    )
    finish(folder, 30, 30 * 9, chart(folder, "accuracy", epochs=30))
    return folder


def houses(folder: Path, targets: int = 1) -> Path:
    """Numbers from a table; the network is clearly worse than gradient boosting."""
    begin(folder, source="housing.csv", target="median_house_value")
    names = ("median_house_value", "rooms", "age")[:targets]
    task = Task("regress", names, center=(2e5,) * targets, scale=(1e5,) * targets)
    draw = np.random.default_rng(7)
    parts = {}
    for part, n in (("valid", 1500), ("test", 4100)):
        truth = np.exp(draw.normal(12.1, 0.5, (n, targets))).clip(0, 500_001)
        parts[part] = (truth * draw.normal(1, 0.18, (n, targets)) + draw.normal(0, 2e4, (n, targets)), truth)
    metrics: dict[str, Any] = answers(folder, task, parts)
    metrics["baselines"] = [
        {"name": "mean", "test": {"rmse": 96000.0, "mae": 76000.0, "r2": -0.0002}, "seconds": 0.001},
        {"name": "linear model", "test": {"rmse": 68200.0, "mae": 49800.0, "r2": 0.52}, "seconds": 0.02},
        {"name": "gradient boosting", "test": {"rmse": 41200.0, "mae": 27500.0, "r2": 0.82}, "seconds": 1.4},
    ]
    write_json(folder, "metrics.json", metrics)
    cols = columns([("longitude", "number", "input"), ("median_house_value", "number", "target")])
    write_json(
        folder, "data.json", card("housing.csv", {"train": 14400, "valid": 1500, "test": 4100}, cols, duplicates=3)
    )
    worst = [
        {
            "name": f"row {9 * i}",
            "target": 500001.0,
            "predicted": 182344.5,
            "loss": 10.1,
            "share": None,
            "cells": {"longitude": -122.1},
        }
        for i in range(4)
    ]
    write_json(folder, "predictions/worst.json", worst)
    finish(folder, 46, 414, chart(folder, "rmse"))
    return folder


def labels(folder: Path) -> Path:
    """Several labels, each yes or no."""
    begin(folder, source="films.parquet", target="drama")
    task = Task("multilabel", ("drama", "comedy", "crime", "space", "music"))
    draw = np.random.default_rng(8)
    truth = (draw.random((900, 5)) < [0.5, 0.4, 0.2, 0.1, 0.05]).astype(np.float64)
    said = 1 / (1 + np.exp(-(5 * truth - 2.5 + draw.normal(0, 1.6, truth.shape))))
    metrics: dict[str, Any] = answers(folder, task, {"test": (said, truth)})
    metrics["baselines"] = [
        {"name": "majority class", "test": {"accuracy": 0.77, "exact_match": 0.2}, "seconds": 0.001}
    ]
    write_json(folder, "metrics.json", metrics)
    finish(folder, 46, 414, chart(folder, "accuracy"))
    return folder


def pictures(folder: Path) -> Path:
    """Classes of small pictures, with the worst of them kept."""
    begin(folder, model="resnet20", source="shapes/", target="class")
    task = Task("classify", ("class",), ("circle", "square", "triangle", "star", "ring"))
    truth = np.random.default_rng(9).integers(0, 5, 1000)
    metrics: dict[str, Any] = answers(folder, task, {"test": (guesses(truth, 5, 4.5), truth)})
    metrics["baselines"] = [{"name": "linear model", "test": {"accuracy": 0.61}, "seconds": 0.8}]
    write_json(folder, "metrics.json", metrics)
    counts = {"kind": "image", "classes": class_counts(task.classes, [100] * 5), "columns": []}
    write_json(folder, "data.json", card("shapes/", {"train": 4000, "test": 1000}, [], **counts))
    (folder / "predictions/worst").mkdir()
    worst, grid = [], np.mgrid[0:32, 0:32]
    for i in range(9):
        shade = np.hypot(grid[0] - 16, grid[1] - 12 - i) * 14
        pixels = np.stack([shade % 256, 255 - shade % 256, (shade * i) % 256], axis=-1).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"predictions/worst/{i}.png")
        worst.append(
            {
                "name": f"shapes/ring/{i:05}.png",
                "target": "ring",
                "predicted": "circle",
                "loss": 4.2 - i / 4,
                "share": 0.985 - i / 30,
                "cells": None,
                "picture": f"worst/{i}.png",
            }
        )
    write_json(folder, "predictions/worst.json", worst)
    network(folder, "resnet20", 272_474)
    finish(folder, 46, 414, chart(folder, "accuracy"))
    return folder


def failed(folder: Path) -> Path:
    """A run whose loss stopped being a number within its third epoch."""
    begin(folder)
    task = Task("classify", ("species",), ("Adelie", "Chinstrap", "Gentoo"))
    write_json(folder, "model/task.json", task.to_dict())
    chart(folder, "accuracy", steps=60, broken_at=141)
    with (folder / "chart.jsonl").open("a") as file:
        file.write('{"kind": "step", "step": 142, "ep')
    why = "the loss is not finite at step 141: it arose in blocks.2.norm; try a lower lr (got 0.5)"
    write_json(folder, "status.json", {"state": "failed", "why": why, "epoch": 3, "step": 141, "best_epoch": 2})
    finding = {
        "code": "GL302",
        "name": "non-finite",
        "severity": "error",
        "where": "step 141, first in blocks.2.norm (BatchNorm2d)",
        "evidence": "step 141; lr 0.5",
        "figures": {"step": 141, "lr": 0.5},
        "why": "the loss is not a number any more",
        "cure": "begin with 0.002",
    }
    write_json(folder, "findings.json", {"findings": [finding], "vitals": {}})
    return folder


def hostile(folder: Path, names: list[str] = HOSTILE) -> Path:
    """Names and cells that would be markup, script or template anywhere they are not escaped."""
    begin(folder, model=names[0], source=names[1], target=names[2])
    task = Task("classify", (names[0],), tuple(names))
    truth = np.random.default_rng(10).integers(0, len(names), 400)
    metrics: dict[str, Any] = answers(folder, task, {"test": (guesses(truth, len(names), 4.0), truth)})
    metrics["baselines"] = [{"name": name, "test": {"accuracy": 0.5}, "seconds": 0.1} for name in names]
    write_json(folder, "metrics.json", metrics)
    cols = [
        {
            "name": name,
            "kind": name,
            "role": name,
            "missing": 1,
            "distinct": 2,
            "why": name,
            "example": [name] * 3,
            "stats": {name: name},
        }
        for name in names
    ]
    more = {
        "classes": class_counts(task.classes, [3] * len(names)),
        "notes": names, "split": names[3], "fingerprint": names[4], "format": {names[5]: names[6]},
        "dropped": [{"what": name, "why": name, "count": name} for name in names],
    }  # fmt: skip
    write_json(folder, "data.json", card(names[1], {"train": 280, "test": 400}, cols, **more))
    worst = [
        {
            "name": name,
            "target": name,
            "predicted": name,
            "loss": 1.0,
            "share": 0.5,
            "cells": {name: name},
            "picture": name,
        }
        for name in names
    ]
    write_json(folder, "predictions/worst.json", worst)
    write_json(
        folder,
        "findings.json",
        {
            "findings": [
                dict.fromkeys(("code", "name", "severity", "cause", "where", "evidence", "why", "cure"), name)
                | {"code": code, "figures": {name: 0.5}}
                | {"remedies": [{"says": name, "trial": {"metric": name, "before": 0.1, "after": 0.2}}]}
                for name, code in zip(names, [*names[:-4], "GL107", "GL303", "GL110", "GL302"])
            ],
            "vitals": {
                "counts": dict.fromkeys(names, 3),
                "layers": [{"place": name, "zeros": 0.5, "grad_norm": 1.0} for name in names],
            },
        },
    )
    write_json(folder, "choices.json", [{"setting": name, "value": name, "why": name} for name in names])
    write_json(
        folder,
        "machine.json",
        {name: name for name in names}
        | {"versions": {name: name for name in names}, "started": names[0], "command": names[1]},
    )
    write_json(folder, "model/network.json", {"name": names[0], "options": {name: name for name in names}})
    write_json(folder, "status.json", {"state": names[0], "why": names[1], "epoch": 1, "step": 2, "best_epoch": 1})
    chart(folder, "accuracy", epochs=4)
    return folder


KINDS = {
    "penguins-3": penguins,
    "adult": adult,
    "letters": many_classes,
    "houses": houses,
    "films": labels,
    "shapes": pictures,
    "broken": failed,
    "hostile": hostile,
}
