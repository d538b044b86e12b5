"""The lower half of the page: examples, data card, settings, model, machine, commands."""

import base64
import io
import shlex
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from glia.report.overview import network_name, parameters
from glia.report.read import Json, RunFiles, mapping_of, names_of, number, rows_of
from glia.report.series import sketch
from glia.report.texts import marked
from glia.report.words import clip, count, digits, percent, plain, seconds, size
from glia.runs import machine as machine_facts

MOST_EXAMPLES = 24
MOST_COLUMNS = 40  # columns shown at once; the rest is folded away
MOST_FOLDED = 400
PICTURE_SIDE = 256


def examples(run: RunFiles) -> list[dict[str, Any]]:
    """The rows that the network got most wrong."""
    return [_example(run, item) for item in run.worst[:MOST_EXAMPLES]]


def _example(run: RunFiles, item: Json) -> dict[str, Any]:
    share = number(item.get("share"))
    loss = number(item.get("loss"))
    told = set(names_of(run.task.get("targets")))  # the targets stand above the cells already
    wide = 300 if run.task.get("kind") == "translate" else 40
    cells = [(str(name), clip(plain(value), wide) or "–") for name, value in mapping_of(item.get("cells")).items()]
    text = clip(plain(item.get("text") or ""), 40)  # shown whole, with its words marked
    cells = [(name, cell) for name, cell in cells if name not in told and not (text and cell == text)]
    most = 300 if run.task.get("kind") == "translate" else 60
    return {
        "name": str(item.get("name", "")),
        "target": clip(_answer(item.get("target")), most),
        "predicted": clip(_answer(item.get("predicted")), most),
        "wrong": run.task.get("kind") == "classify" and item.get("target") != item.get("predicted"),
        "share": percent(share) if share is not None else "",
        "loss": digits(loss, 3) if loss is not None else "",
        "cells": cells[:6],
        "more": cells[6:60],
        "text": marked(item),
        "picture": _picture(run.folder, item.get("picture")),
        "series": sketch(item.get("series"), str(item.get("name", ""))),
    }


def _answer(value: Any) -> str:
    number_given = number(value)
    return digits(number_given) if number_given is not None else plain(value)


def _picture(folder: Path, name: Any) -> dict[str, Any] | None:
    """A picture of the run as a data: address, drawn anew as PNG of at most 256 pixels a side; None without one."""
    if not isinstance(name, str) or not name:
        return None
    home = (folder / "predictions").resolve()
    path = (home / name).resolve()
    if not path.is_relative_to(home) or not path.is_file():
        return None
    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGBA" if "A" in opened.getbands() or "transparency" in opened.info else "RGB")
    except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError):
        return None
    picture.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    held = io.BytesIO()
    picture.save(held, "PNG")
    data = base64.b64encode(held.getvalue()).decode("ascii")
    return {"address": f"data:image/png;base64,{data}", "small": max(picture.size) <= 96}


def data_card(run: RunFiles) -> dict[str, Any] | None:
    """What the data was and what was done to it; None when it was never read."""
    card = run.card
    if not card:
        return None
    columns = [_column(item, number(card.get("rows"))) for item in rows_of(card.get("columns"))]
    duplicates = number(card.get("duplicates"))
    return {
        "facts": _card_facts(card, duplicates),
        "columns": columns[:MOST_COLUMNS],
        "folded": columns[MOST_COLUMNS:MOST_FOLDED],
        "left": max(0, len(columns) - MOST_FOLDED),
        "classes": _class_rows(mapping_of(card.get("classes"))),
        "dropped": [
            {"what": str(item.get("what", "")), "why": str(item.get("why", "")), "count": plain(item.get("count"))}
            for item in rows_of(card.get("dropped"))
        ],
        "notes": names_of(card.get("notes")),
    }


def _card_facts(card: Json, duplicates: float | None) -> list[tuple[str, str]]:
    parts = {
        key: value for key in ("train", "valid", "test") if (value := number(mapping_of(card.get("parts")).get(key)))
    }
    ratio = number(card.get("imbalance"))
    lines = [
        ("Source", str(card.get("source") or "")),
        ("Format", _format(card.get("format"))),
        ("Rows", f"{number(card.get('rows')) or 0:,.0f}"),
        ("Parts", ", ".join(f"{value:,.0f} {key}" for key, value in parts.items())),
        ("Split", str(card.get("split") or "")),
        ("Step", str(card.get("step") or "")),
        ("Looks back", count(back, "step") if (back := number(card.get("window"))) else ""),
        ("Tells", count(ahead, "step") if (ahead := number(card.get("horizon"))) else ""),
        ("Series", str(card.get("series") or "")),
        *_corpus(mapping_of(card.get("corpus"))),
        ("Augmentation", plain(card["augment"]) if card.get("augment") else ""),
        ("Duplicates", "" if duplicates is None else "none" if duplicates == 0 else count(duplicates, "row")),
        ("Imbalance", "" if ratio is None else f"largest class {digits(ratio, 2)} times the smallest"),
        ("Fingerprint", str(card.get("fingerprint") or "")),
    ]
    return [(name, text) for name, text in lines if text]


def _corpus(told: Json) -> list[tuple[str, str]]:
    """How a text became tokens."""
    tokens, sizes = mapping_of(told.get("tokens")), mapping_of(told.get("bytes"))
    counts = [f"{number(tokens.get(key)) or 0:,.0f} {key}" for key in ("train", "valid", "test") if tokens.get(key)]
    kinds, context = number(told.get("vocabulary")), number(told.get("context"))
    tokeniser = f"{told.get('tokenizer', '')}, {count(kinds, 'token')}" if kinds else ""
    text = sum(number(value) or 0 for value in sizes.values())
    return [
        ("Text", size(text) if text else ""),
        ("Tokeniser", tokeniser),
        ("Tokens", ", ".join(counts)),
        ("Reads at once", count(context, "token") if context else ""),
    ]


def _format(value: Any) -> str:
    """How the file is written; signs such as a separator in quotes, so that they are seen."""
    if not isinstance(value, dict):
        return plain(value) if value else ""
    return plain({name: _sign(item) for name, item in value.items()}) if value else ""


def _sign(value: Any) -> Any:
    if value == "\t":
        return "tab"
    return f"“{value}”" if isinstance(value, str) and len(value) == 1 else value


def _column(item: Json, rows: float | None) -> dict[str, Any]:
    missing, role = number(item.get("missing")), str(item.get("role", ""))
    share = missing / rows if missing is not None and rows else 0.0
    return {
        "name": str(item.get("name", "")),
        "kind": str(item.get("kind", "")),
        "role": role,
        "tone": {"target": "target", "dropped": "dropped"}.get(role, "input"),
        "missing": "–" if missing is None else "0" if missing == 0 else f"{missing:,.0f}",
        "share": percent(share) if share > 0 else "",
        "length": round(100 * min(share, 1.0)),
        "distinct": f"{number(item.get('distinct')):,.0f}" if number(item.get("distinct")) is not None else "–",
        "why": str(item.get("why") or ""),
        "example": [clip(value, 24) for value in names_of(item.get("example"))],
        "stats": _stats(item.get("stats")),
    }


def _stats(value: Any) -> str:
    """min 1, median 3, max 9; or the commonest levels."""
    stats = dict(mapping_of(value))
    levels = [f"{plain(level.get('value'))} ({plain(level.get('count'))})" for level in rows_of(stats.pop("top", None))]
    return clip(", ".join([plain(stats)] * bool(stats) + levels), 110)


def _class_rows(classes: Json) -> list[dict[str, Any]]:
    """Rows of each class in each part; bars as long as the share of the largest."""
    counts = {str(name): mapping_of(parts) for name, parts in classes.items()}
    totals = {name: sum(number(value) or 0.0 for value in parts.values()) for name, parts in counts.items()}
    largest = max(totals.values(), default=0.0) or 1.0
    return [
        {
            "name": name,
            "parts": [f"{number(parts.get(part)) or 0:,.0f}" for part in ("train", "valid", "test")],
            "length": round(100 * totals[name] / largest),
        }
        for name, parts in counts.items()
    ]


def settings(run: RunFiles) -> list[dict[str, Any]]:
    """recipe.toml by its groups."""
    groups = {name: value for name, value in run.recipe.items() if isinstance(value, dict)}
    loose = {name: value for name, value in run.recipe.items() if not isinstance(value, dict)}
    if loose:
        groups = {"run": loose, **groups}
    return [{"name": group, "rows": _lines(values)} for group, values in groups.items() if values]


def _lines(values: Json) -> list[tuple[str, str]]:
    return [(str(name), clip(plain(value), 300)) for name, value in values.items()]


def choices(run: RunFiles) -> list[dict[str, str]]:
    """What was decided for the user, with the reason."""
    return [
        {
            "name": str(item.get("setting", "")),
            "value": clip(plain(item.get("value")), 200),
            "why": str(item.get("why") or ""),
        }
        for item in run.choices
    ]


def model(run: RunFiles) -> list[tuple[str, str]]:
    """The network by name, size and options."""
    if not run.network:
        return []
    weights = parameters(run.network)
    lines = [("Network", network_name(run.network))]
    lines += [("Weights", f"{weights:,.0f}")] if weights is not None else []
    lines += _lines(mapping_of(run.network.get("options")))
    return [(name, text) for name, text in lines if text and text != "–"]


def machine(run: RunFiles) -> list[tuple[str, str]]:
    """What it ran on."""
    facts = dict(run.machine)
    for shown_apart in ("seconds", "numerics", "environment", "resumed"):
        facts.pop(shown_apart, None)
    memory = number(facts.pop("peak_memory_bytes", None))
    versions = mapping_of(facts.pop("versions", None))
    lines = _lines({name.replace("_", " "): value for name, value in facts.items() if value not in (None, "")})
    lines += [("took", seconds(run.took))] if run.took is not None else []
    lines += [("peak memory", size(memory))] if memory is not None else []
    lines += [("resumed", promise)] if (promise := machine_facts.promise(run.machine)) else []
    lines += _lines({name: version for name, version in versions.items() if version})
    settings = mapping_of(run.machine.get("numerics")) | mapping_of(run.machine.get("environment"))
    return lines + _lines({name.replace("_", " ") if name.islower() else name: v for name, v in settings.items() if v})


def commands(run: RunFiles) -> list[tuple[str, str]]:
    """What to type, from the folder that holds the runs' folder; only what this run can do as it stands."""
    place = f"{run.folder.resolve().parent.name}/{run.folder.resolve().name}".lstrip("/")
    kind, written = run.card.get("kind"), str(mapping_of(run.card.get("format")).get("format", ""))
    usual = {"image": "new-pictures/", "video": "new-clips/", "corpus": "new.txt"}.get(str(kind), "new.csv")
    new = "new.ts" if (kind, written) == ("series", "ts") else usual
    lines = [("Repeat this run", f"glia train --recipe {shlex.quote(f'{place}/recipe.toml')}")]
    if run.status.get("state") != "finished":
        lines.append(("Go on from the last checkpoint", f"glia resume {shlex.quote(place)}"))
    if run.network:
        lines.append(("Use the network", f"glia predict {shlex.quote(place)} {new}"))
    if run.network and kind == "corpus":
        lines.append(("Let it write", f"glia generate {shlex.quote(place)} --prompt 'Once upon a time'"))
    return lines


def cell(value: Any) -> str:
    """A number of the epoch table."""
    found = number(value)
    return digits(found) if found is not None else "–" if value is None else plain(value)
