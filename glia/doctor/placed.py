"""Placed: the line of the script at which a finding is best mended."""

from collections.abc import Mapping
from dataclasses import replace

from glia.catalog import entry as catalog
from glia.doctor.finding import Finding
from glia.vitals.chart import Chart

_BY_GROUP = {"optimiser": "optimizer", "loop": "backward", "loss": "backward", "data": "loader", "cost": "loader"}


def placed(finding: Finding, chart: Chart) -> Finding:
    """The same finding with its place: the layer that it names, else what its cause is about; "" where not known."""
    places: Mapping[str, str] = chart.places
    path = finding.where.removeprefix("input of ").split(" (")[0].split(",")[0].strip()
    if path and places.get(path):
        return replace(finding, place=places[path])
    group = catalog.find("causes", finding.cause).facts["group"]
    if group in ("activation", "weights", "regularisation"):
        last = chart.models[0].operations[-1].module if chart.models and chart.models[0].operations else ""
        return replace(finding, place=places.get(last) or places.get("", ""))
    return replace(finding, place=places.get(_BY_GROUP.get(group, ""), ""))
