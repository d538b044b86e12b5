"""Networks for clips: what every network must bear, no clip sees another, and channels shift as the paper says."""

import pytest
import torch

from glia.data.facts import VideoFacts
from glia.errors import GliaError
from glia.models.build import build
from glia.models.video import Shift
from tests.models import zoo

FACTS = VideoFacts(5, 3, 20, 24, (0.5,) * 3, (0.25,) * 3, 100)


@pytest.mark.parametrize("name", ["tsm", "lrcn"])
def test_both_bear_what_all_must(name: str) -> None:
    clips = torch.randint(0, 256, (3, *FACTS.shape), dtype=torch.uint8, generator=zoo.generator(1))
    net = build(name, FACTS, zoo.classes(4), width=8)
    zoo.assert_runs_in_bfloat16(net, clips)
    zoo.assert_exports(net, clips)
    net.eval()
    together, alone = net(clips), torch.cat([net(clip[None]) for clip in clips])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together, net(clips.flip(1)), atol=1e-3)  # backwards is another clip


def test_a_shift_moves_eighths_of_the_channels() -> None:
    """Two clips of three frames, sixteen channels, by hand: two from the frame after, two from the one before."""
    x = torch.arange(2 * 3 * 16, dtype=torch.float32).reshape(6, 16, 1, 1)
    found = Shift(3)(x)
    for clip in range(2):
        for frame in range(3):
            row = 3 * clip + frame
            after = x[row + 1, :2] if frame < 2 else torch.zeros(2, 1, 1)
            before = x[row - 1, 2:4] if frame else torch.zeros(2, 1, 1)
            torch.testing.assert_close(found[row], torch.cat((after, before, x[row, 4:])))
    x[2, 0] = float("inf")
    assert Shift(3)(x)[3:].isfinite().all()


def test_the_parameters_are_those_of_the_network_over_one_frame() -> None:
    picture = zoo.image_facts(3, 20, 24)
    shifted, still = build("tsm", FACTS, zoo.classes(4)), build("resnet9", picture, zoo.classes(4))
    assert zoo.parameters(shifted) == zoo.parameters(still)


def test_pictures_are_refused() -> None:
    with pytest.raises(GliaError, match="folders of frames"):
        build("tsm", zoo.image_facts(3, 20, 24), zoo.classes(4))
