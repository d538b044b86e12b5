"""Augmentation: a pure function of (seed, epoch, row), safe for the data, and exactly what it says."""

from itertools import islice
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from glia.data.batches import Batches
from glia.data.facts import ImageFacts
from glia.data.images import augment as module
from glia.data.images.augment import STRENGTHS, Augment, by_name
from glia.data.images.choice import chosen
from glia.data.images.draws import splitmix64, uniform
from glia.data.images.warp import coloured, moved, warped
from glia.errors import GliaError
from glia.seed import mix

BY_ROW = "flip,crop,rotate,zoom,closeup,color,erase"


def pictures(n: int = 24, channels: int = 3, side: int = 20, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, channels, side, side), dtype=torch.uint8, generator=generator)


def facts(channels: int, side: int) -> ImageFacts:
    return ImageFacts(channels, side, side, (0.5,) * channels, (0.2,) * channels, 1000)


def test_splitmix64_gives_the_published_numbers() -> None:
    # The first outputs for seed 1234567, as in the test vectors of several independent implementations.
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert splitmix64(1234567, np.arange(5)).tolist() == expected


def test_draws_are_uniform_and_unrelated_between_rows_epochs_and_uses() -> None:
    rows = np.arange(50_000)
    streams = [uniform(mix(0, "augment", epoch, use), rows) for epoch in (0, 1) for use in ("flip", "down")]
    for draws in streams:
        counts = np.bincount((draws * 64).astype(int), minlength=64)
        assert ((counts - 50_000 / 64) ** 2 / (50_000 / 64)).sum() < 112  # chi-square, 63 degrees: p = 0.0001
        assert abs(np.corrcoef(draws[1:], draws[:-1])[0, 1]) < 0.02
    correlations = np.corrcoef(streams) - np.eye(len(streams))
    assert np.abs(correlations).max() < 0.02


@pytest.mark.parametrize("names", [*sorted(set(STRENGTHS) - {"mixup", "cutmix"}), BY_ROW])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_row_is_augmented_alike_in_every_batch(names: str, dtype: torch.dtype) -> None:
    augment, x = by_name(names), pictures().to(dtype)
    assert augment is not None
    targets, index = torch.arange(24), torch.arange(24)
    whole, _ = augment(x, targets, 3, 5, index)
    assert whole.dtype == dtype
    assert not torch.equal(whole, x)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(1))
    for part in order.split(7):
        some, kept = augment(x[part], targets[part], 3, 5, part)
        assert torch.equal(kept, part)
        torch.testing.assert_close(some, whole[part], rtol=0, atol=0 if dtype == torch.uint8 else 1e-4)


def test_epochs_and_seeds_differ_and_repeat() -> None:
    augment = by_name(BY_ROW)
    assert augment is not None
    x, index = pictures(), torch.arange(24)
    first = augment(x, index, 0, 0, index)[0]
    assert torch.equal(first, augment(x, index, 0, 0, index)[0])
    assert not torch.equal(first, augment(x, index, 0, 1, index)[0])
    assert not torch.equal(first, augment(x, index, 1, 0, index)[0])


def test_workers_change_nothing() -> None:
    x, index = pictures(64), torch.arange(64)
    for names in (BY_ROW, "mixup,cutmix"):
        seen = []
        for workers in (0, 3):
            batches = Batches(x, index % 10, index, by_name(names, classes=10), workers)
            seen.append(list(batches.epoch(0, 2, 16)))
        for one, other in zip(*seen):
            assert torch.equal(one.inputs, other.inputs)
            assert torch.equal(one.targets, other.targets)


def test_moving_is_slicing_of_the_padded_picture() -> None:
    x = pictures(9, side=8)
    down, right = torch.arange(-4, 5) % 3 - 1, torch.arange(9) % 5 - 2
    flip = torch.arange(9) % 2 == 0
    modes: list[tuple[bool, Literal["reflect", "edge"]]] = [(True, "reflect"), (False, "edge")]
    for reflect, mode in modes:
        out = moved(x, down, right, flip, reflect)
        for i in range(9):
            mirrored = x[i].numpy()[..., ::-1] if flip[i] else x[i].numpy()
            padded = np.pad(mirrored, ((0, 0), (3, 3), (3, 3)), mode=mode)
            y, z = 3 - int(down[i]), 3 - int(right[i])
            assert np.array_equal(out[i].numpy(), padded[:, y : y + 8, z : z + 8])


def test_turning_by_a_right_angle_is_rot90_and_nothing_is_nothing() -> None:
    x = pictures(2, side=16)
    still, one, center = torch.zeros(2), torch.ones(2), torch.zeros(2, 2)
    assert torch.equal(warped(x, still, one, center, True), x)
    assert torch.equal(warped(x, still + torch.pi / 2, one, center, True), x.rot90(1, (2, 3)))


def test_turning_keeps_shape_on_oblong_pictures() -> None:
    x = torch.zeros(1, 1, 40, 80, dtype=torch.uint8)
    x[..., 12:28, 32:48] = 255  # a square stays a square of the same area when turned by 45 degrees
    turned = warped(x, torch.tensor([torch.pi / 4]), torch.ones(1), torch.zeros(1, 2), False)
    assert turned.float().sum() == pytest.approx(float(x.float().sum()), rel=0.02)
    rows, columns = (turned[0, 0] > 127).nonzero().unbind(1)
    assert abs(int(rows.max() - rows.min()) - int(columns.max() - columns.min())) <= 1


def test_enlarging_a_part_is_that_part_resized() -> None:
    x = pictures(1, side=32)
    out = warped(x.float(), torch.zeros(1), torch.full((1,), 2.0), torch.tensor([[-0.5, 0.5]]), True)
    part = torch.nn.functional.interpolate(x.float()[..., 16:, :16], scale_factor=2.0, mode="bilinear")
    torch.testing.assert_close(out[..., 1:-1, 1:-1], part[..., 1:-1, 1:-1], rtol=0, atol=1e-2)


def test_colours_are_those_of_pillow() -> None:
    from PIL import Image, ImageEnhance

    x = pictures(3, side=16)
    one = torch.ones(3)
    factors = torch.tensor([0.6, 1.0, 1.4])
    for operation, arguments in (
        (ImageEnhance.Brightness, (factors, one, one)),
        (ImageEnhance.Contrast, (one, factors, one)),
        (ImageEnhance.Color, (one, one, factors)),
    ):
        out = coloured(x, *arguments)
        for i in range(3):
            image = Image.fromarray(x[i].permute(1, 2, 0).numpy())
            expected = np.asarray(operation(image).enhance(float(factors[i]))).transpose(2, 0, 1).astype(int)
            assert np.abs(out[i].numpy().astype(int) - expected).max() <= 1  # Pillow cuts off where we round


def test_erasing_paints_a_square_in_the_mean_colour() -> None:
    augment = by_name("erase=0.5")
    assert augment is not None
    x = pictures(64)
    out, _ = augment(x, torch.arange(64), 0, 0, torch.arange(64))
    changed = (out != x).any(1).flatten(1).sum(1)
    assert changed.max() <= 100
    assert changed.min() > 15  # a quarter of the square lies inside at worst, and few pixels equal the mean
    inside = (out != x).any(1)[0]
    assert (out[0].float().mean((1, 2)) - x[0].float().mean((1, 2))).abs().max() < 15
    assert len(out[0, 0][inside].unique()) == 1


@pytest.mark.parametrize("names", ["mixup=1", "cutmix=1"])
def test_mixing_gives_targets_the_share_of_their_pixels(names: str) -> None:
    augment = by_name(names, classes=4)
    assert augment is not None
    targets = torch.arange(16) % 4
    x = (targets * 60).to(torch.uint8)[:, None, None, None].expand(16, 1, 10, 10).contiguous()
    for epoch in range(5):
        out, soft = augment(x, targets, 0, epoch, torch.arange(16))
        assert soft.shape == (16, 4)
        torch.testing.assert_close(soft.sum(1), torch.ones(16))
        means = (soft * torch.tensor([0.0, 60, 120, 180])).sum(1)
        torch.testing.assert_close(out.float().mean((1, 2, 3)), means, rtol=0, atol=1e-2)


def test_mixing_needs_the_number_of_classes() -> None:
    augment = by_name("mixup")
    assert augment is not None
    with pytest.raises(GliaError, match="how many classes"):
        augment(pictures(2), torch.zeros(2, dtype=torch.int64), 0, 0, torch.arange(2))


def test_names_and_strengths() -> None:
    assert by_name("none") is None
    assert by_name("flip, Cutout") == Augment(flip=0.5, erase=0.25)
    assert by_name("rotate=30") == Augment(rotate=30.0)
    with pytest.raises(GliaError, match="'flip'"):
        by_name("flop")
    with pytest.raises(GliaError, match="from 0 to 180"):
        by_name("rotate=400")


@pytest.mark.parametrize(
    ("channels", "side", "classes", "expected"),
    [
        (1, 28, tuple("0123456789"), {"shift", "rotate", "zoom"}),
        (1, 28, tuple("abc"), {"shift", "rotate", "zoom"}),
        (3, 32, tuple("0123456789"), {"crop"}),
        (3, 32, ("cat", "dog"), {"flip", "crop"}),
        (3, 224, ("cat", "dog"), {"flip", "closeup", "brightness", "contrast", "saturation"}),
        (3, 224, ("turn left", "straight"), {"closeup", "brightness", "contrast", "saturation"}),
        (3, 64, (), {"brightness", "contrast"}),
        (1, 8, tuple("0123456789"), set()),
    ],
)
def test_what_is_chosen_is_safe_and_explained(
    channels: int, side: int, classes: tuple[str, ...], expected: set[str]
) -> None:
    augment, why = chosen(facts(channels, side), classes, 1000)
    assert set(augment.to_dict() if augment else {}) == expected
    assert why
    assert all(line.endswith(".") for line in why)


def test_large_sets_of_small_photos_are_also_painted_over() -> None:
    augment, _ = chosen(facts(3, 32), ("cat", "dog"), 50_000)
    assert augment == Augment(flip=0.5, crop=0.125, erase=0.25)


def test_shifts_reach_every_whole_pixel_as_often() -> None:
    augment = Augment(shift=0.1)
    x = torch.arange(20, dtype=torch.uint8).expand(1, 1, 20, 20)
    n = 3000
    out, _ = augment(x.expand(n, 1, 20, 20), torch.zeros(n), 0, 0, torch.arange(n))
    moves = 10 - out[:, 0, 10, 10].long()
    counts = torch.bincount(moves + 2)
    assert len(counts) == 5
    assert (counts.float() / n - 0.2).abs().max() < 0.03


def test_batches_without_augment_show_the_rows_as_they_are() -> None:
    x, index = pictures(8), torch.arange(8)
    batches = Batches(x, index, index, by_name(BY_ROW))
    plain = next(islice(batches.ordered(8), 1))
    assert torch.equal(plain.inputs, x)


@pytest.mark.parametrize("reflect", [True, False])
def test_warping_is_torchs_sampling_of_an_affine_grid(reflect: bool) -> None:
    x = pictures(6, side=24)[..., :18].float()
    angle, scale = torch.linspace(-1, 1, 6), torch.linspace(0.7, 1.6, 6)
    center, flip = torch.linspace(-0.4, 0.4, 12).view(6, 2), torch.arange(6) % 2 == 0
    cos, sin = angle.cos() / scale, angle.sin() / scale
    rows = [torch.stack([cos, -sin * (24 / 18), center[:, 0]], 1), torch.stack([sin * (18 / 24), cos, center[:, 1]], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), list(x.shape), align_corners=False)
    mirrored = torch.where(flip[:, None, None, None], x.flip(3), x)
    mode = "reflection" if reflect else "border"
    expected = F.grid_sample(mirrored, grid, padding_mode=mode, align_corners=False)
    torch.testing.assert_close(warped(x, angle, scale, center, reflect, flip), expected, rtol=0, atol=0.02)


@pytest.mark.parametrize("names", [BY_ROW, "flip,closeup,color", "mixup,cutmix"])
def test_a_batch_of_large_pictures_is_worked_on_in_parts(names: str, monkeypatch: pytest.MonkeyPatch) -> None:
    operations = by_name(names, classes=4)
    assert operations is not None
    x, index = pictures(), torch.arange(24)
    whole = operations(x, index % 4, 0, 1, index)
    monkeypatch.setattr(module, "AT_ONCE", 5 * x[0].numel())
    for one, other in zip(whole, operations(x, index % 4, 0, 1, index), strict=True):
        assert torch.equal(one, other)
    none, _ = operations(x[:0], index[:0] % 4, 0, 1, index[:0])
    assert none.shape == (0, 3, 20, 20)
