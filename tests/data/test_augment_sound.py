"""Sounds: noise at the ratio asked, stretched at the same pitch, masks of the right size; a row stands alone."""

from math import pi

import pytest
import torch
from torch import Tensor

from glia.data.batches import Batches
from glia.data.sound.augment import SoundAugment, SpecAugment, noisy, shifted, stretched

RATE = 8000
NAN = float("nan")


def tone(hertz: float, samples: int = RATE) -> Tensor:
    return torch.sin(2 * pi * hertz * torch.arange(samples) / RATE)


def waves() -> Tensor:
    """Four rows of different lengths."""
    rows = torch.full((4, 4000), NAN)
    for place, length in enumerate((4000, 2500, 600, 300)):
        rows[place, :length] = tone(440 * (place + 1), length)
    return rows


def pitch(wave: Tensor) -> float:
    """The strongest frequency, in hertz."""
    spectrum = torch.fft.rfft(wave * torch.hann_window(len(wave))).abs()
    return spectrum.argmax().item() * RATE / len(wave)


@pytest.mark.parametrize("ratio", [-5.0, 0.0, 20.0])
def test_noise_has_the_power_asked(ratio: float) -> None:
    clean, noise = waves(), torch.randn(4, 4000, generator=torch.Generator().manual_seed(0))
    added = noisy(clean, noise, torch.full((4,), ratio)) - clean
    measured = 10 * torch.log10(clean.square().nanmean(1) / added.square().nanmean(1))
    assert measured[0].item() == pytest.approx(ratio, abs=0.01)  # a row without an end
    assert torch.equal(noisy(clean, noise, torch.zeros(4)).isnan(), clean.isnan())
    assert (noisy(torch.zeros(1, 50), noise[:1, :50], torch.zeros(1)) == 0).all()


def test_noise_of_training_rows_has_ratios_between_those_asked() -> None:
    clean = tone(440).repeat(40, 1)
    noised, _ = SoundAugment(noise=(5.0, 15.0))(clean, torch.zeros(40), 0, 0, torch.arange(40))
    added = noised - clean
    measured = 10 * torch.log10(clean.square().mean(1) / added.square().mean(1))
    assert measured.min() >= 5 - 0.01 and measured.max() <= 15.01 and measured.std() > 1.5
    white = torch.fft.rfft(added).abs().square().mean(0)
    halves = white[:2000].mean() / white[2000:].mean()
    assert halves.item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("rate", [0.75, 1.0, 1.3])
@pytest.mark.parametrize("hertz", [440.0, 1000.0])
def test_a_stretched_tone_has_its_pitch_its_length_and_its_strength(rate: float, hertz: float) -> None:
    wave = tone(hertz)
    made = stretched(wave, rate)
    assert len(made) == round(RATE / rate)
    assert pitch(made) == pytest.approx(hertz, abs=2.5)
    middle = made[1000:-1000]
    assert middle.square().mean().sqrt().item() == pytest.approx(0.5**0.5, rel=0.02)


def test_two_clicks_stretched_are_further_apart() -> None:
    wave = torch.zeros(RATE)
    wave[2000:2040] = wave[5000:5040] = torch.hann_window(40)
    made = stretched(wave, 0.5).abs()
    at = [int(made[:7000].argmax()), 7000 + int(made[7000:].argmax())]
    assert at[0] == pytest.approx(4000, abs=300) and at[1] == pytest.approx(10000, abs=300)


def test_shifted_rows_move_within_their_length() -> None:
    rows = torch.tensor([[1.0, 2, 3, 4], [5, 6, NAN, NAN], [7, 8, 9, NAN]])
    made = shifted(rows, torch.tensor([1, -1, 5]))
    expected = torch.tensor([[0.0, 1, 2, 3], [6, 0, NAN, NAN], [0, 0, 0, NAN]])
    torch.testing.assert_close(made, expected, equal_nan=True)


EVERYTHING = SoundAugment(stretch=0.2, shift=0.1, noise=(0.0, 20.0))


def test_a_row_is_a_function_of_seed_epoch_and_row_alone() -> None:
    rows, index, targets = waves(), torch.tensor([3, 9, 4, 1]), torch.arange(4)
    first, labels = EVERYTHING(rows, targets, 1, 2, index)
    assert torch.equal(labels, targets)
    assert torch.equal(first.isnan(), rows.isnan())
    torch.testing.assert_close(EVERYTHING(rows, targets, 1, 2, index)[0], first, equal_nan=True, rtol=0, atol=0)
    for place, length in enumerate((4000, 2500, 600, 300)):  # alone, and not filled up
        alone, _ = EVERYTHING(rows[place : place + 1, :length], targets[:1], 1, 2, index[place : place + 1])
        torch.testing.assert_close(alone[0], first[place, :length], rtol=1e-4, atol=1e-5)
    for other in ((2, 2), (1, 3)):
        assert not torch.allclose(EVERYTHING(rows, targets, *other, index)[0], first, equal_nan=True)


def spectrograms() -> Tensor:
    x = torch.rand(30, 50, 20, generator=torch.Generator().manual_seed(0)) + 1
    x[::2, 35:] = NAN
    return x


def test_masks_are_stripes_of_the_widths_asked() -> None:
    x = spectrograms()
    made, _ = SpecAugment(bands=6, frames=12, band_masks=1, frame_masks=1)(x, torch.zeros(30), 0, 0, torch.arange(30))
    widths: list[int] = []
    spans: list[int] = []
    for place in range(30):
        length = 35 if place % 2 == 0 else 50
        changed = (made[place] != x[place])[:length]
        assert torch.equal(made[place].isnan(), x[place].isnan())
        bands, frames = changed.all(0), changed.all(1)
        assert torch.equal(changed, bands[None] | frames[:, None])
        for stripe, found in ((bands, widths), (frames, spans)):
            ends = torch.diff(stripe.int(), prepend=torch.zeros(1), append=torch.zeros(1)).abs().sum()
            assert ends <= 2  # one stripe
            found.append(int(stripe.sum()))
        painted = made[place, :length][changed]
        torch.testing.assert_close(painted, x[place, :length].mean().expand_as(painted))
    assert set(widths) == set(range(7)) and max(spans) <= 12 and len(set(spans)) > 6


def test_masks_of_time_leave_a_share_and_rows_stand_alone() -> None:
    x, index = spectrograms(), torch.arange(30)
    augment = SpecAugment(bands=0, frames=100, band_masks=0, frame_masks=2, most=0.2)
    made, _ = augment(x, torch.zeros(30), 0, 1, index)
    hidden = ((made != x) & ~x.isnan()).all(2).sum(1)
    assert hidden.max() <= 20 and (hidden[::2] <= 14).all() and hidden.max() > 8
    alone, _ = augment(x[4:5, :35], torch.zeros(1), 0, 1, index[4:5])
    torch.testing.assert_close(alone[0], made[4, :35])
    assert torch.equal(SpecAugment(band_masks=0, frame_masks=0)(x[1::2], index, 0, 0, index[1::2])[0], x[1::2])


def test_evaluation_never_sees_it() -> None:
    rows = torch.randn(6, 1000)
    batches = Batches(rows, torch.arange(6), torch.arange(6), EVERYTHING)
    assert torch.equal(torch.cat([batch.inputs for batch in batches.ordered(4)]), rows)
    for batch in batches.epoch(0, 0, 3):
        assert not torch.isclose(batch.inputs, rows[batch.index]).all(1).any()
