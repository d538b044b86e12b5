"""What every network with published names must keep, for the tests of each family."""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from glia.catalog import entry as catalog
from glia.models.build import build_for
from glia.models.keys import Rename


def counted(name: str) -> tuple[int, int]:
    """Parameters of the published form, built without memory, and what the catalogue says of it."""
    with torch.device("meta"):
        net = build_for(name)
    return sum(p.numel() for p in net.parameters()), catalog.find("models", name).facts["published"]["parameters"]


def assert_stages(net: nn.Module) -> None:
    """The stages name every parameter once, in the order from input to output."""
    stages: list[list[str]] = net.stages()  # type: ignore[operator]
    assert all(stages)
    found = {}
    for name, _ in net.named_parameters():
        owners = [n for n, stage in enumerate(stages) for p in stage if name == p or name.startswith(p + ".")]
        assert len(owners) == 1, (name, owners)
        found[name] = owners[0]
    assert set(found.values()) == set(range(len(stages)))


def renamed(state: Mapping[str, Tensor], rules: Iterable[Rename]) -> dict[str, Tensor]:
    """A state dict of another library in our names."""
    out = {}
    for key, value in state.items():
        for pattern, replacement, transpose in rules:
            key, hits = re.subn(pattern, replacement, key)
            value = value.T if hits and transpose else value
        assert key not in out, key
        out[key] = value
    return out


def shaken(net: nn.Module) -> nn.Module:
    """In evaluation, with every weight and running figure away from where it began, so that nothing hides."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 1.5, generator=generator)
            elif value.is_floating_point() and value.ndim == 1:
                value.add_(torch.empty(value.shape).normal_(0, 0.1, generator=generator))
    return net.eval()
