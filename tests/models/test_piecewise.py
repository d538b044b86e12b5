"""The piecewise-linear embedding against numpy.interp, and what odd columns do to it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import RobustScaler

from glia.data.facts import TableFacts
from glia.models.piecewise import Numbers, PiecewiseEmbedding, PiecewiseLinear, smooth_clip


def facts_of(columns: list[list[float]], edges: list[tuple[float, ...]]) -> TableFacts:
    """Facts of number columns, measured here with numpy."""
    arrays = [np.array(column, dtype=float) for column in columns]
    quartiles = [np.nanquantile(array, [0.25, 0.5, 0.75]) for array in arrays]
    return TableFacts(
        names=tuple(f"c{i}" for i in range(len(arrays))),
        levels=(0,) * len(arrays),
        median=tuple(float(q[1]) for q in quartiles),
        scale=tuple(float(q[2] - q[0]) or 1.0 for q in quartiles),
        low=tuple(float(np.nanmin(array)) for array in arrays),
        high=tuple(float(np.nanmax(array)) for array in arrays),
        gaps=tuple(bool(np.isnan(array).any()) for array in arrays),
        edges=tuple(edges),
        rows=len(arrays[0]),
    )


X = np.random.default_rng(0).normal(5, 3, (200, 2)).astype(np.float32)
EDGES: list[tuple[float, ...]] = [(-2.0, 3.0, 5.0, 5.5, 12.0), (0.0, 10.0)]
FACTS = facts_of([X[:, 0].tolist(), X[:, 1].tolist()], EDGES)


def test_numbers_are_scaled_as_scikit_learn_does():
    z, gaps = Numbers(FACTS)(torch.from_numpy(X))
    np.testing.assert_allclose(z.numpy(), RobustScaler().fit_transform(X), atol=1e-5)
    assert gaps.shape == (200, 0)


def test_a_gap_becomes_zero_and_is_marked():
    facts = facts_of([[1.0, 2.0, float("nan"), 4.0], [1.0, 2.0, 3.0, 4.0]], [(1.0, 4.0), (1.0, 4.0)])
    z, gaps = Numbers(facts)(torch.tensor([[float("nan"), float("nan")], [2.0, 2.5]]))
    assert z[0].tolist() == [0.0, 0.0]
    assert gaps.tolist() == [[1.0], [0.0]]


def test_each_bin_is_a_ramp():
    z = Numbers(FACTS)(torch.from_numpy(X))[0]
    pieces = PiecewiseLinear(FACTS)
    expected = [
        np.interp(X[:, column], [low, high], [0, 1])
        for column, edges in enumerate(EDGES)
        for low, high in zip(edges, edges[1:])
    ]
    assert pieces.width == 5
    np.testing.assert_allclose(pieces(z).numpy(), np.stack(expected, 1), atol=1e-5)


def test_the_embedding_is_any_piecewise_linear_function():
    embedding = PiecewiseEmbedding(FACTS, torch.Generator().manual_seed(0), size=3)
    z = Numbers(FACTS)(torch.from_numpy(X))[0]
    with torch.no_grad():
        straight = embedding(z).view(200, 2, 3)
        embedding.bend.normal_(generator=torch.Generator().manual_seed(1))
        bent = embedding(z).view(200, 2, 3) - straight
    for column, edges in enumerate(EDGES):
        heights = embedding.bend[column, : len(edges) - 1].detach().numpy().cumsum(0)
        for place in range(3):
            expected = np.interp(X[:, column], edges, [0, *heights[:, place]])
            np.testing.assert_allclose(bent[:, column, place].numpy(), expected, atol=1e-4)


def test_it_starts_as_a_line_in_the_clipped_number():
    embedding = PiecewiseEmbedding(FACTS, torch.Generator().manual_seed(0), size=2)
    z = Numbers(FACTS)(torch.from_numpy(X))[0]
    expected = smooth_clip(z).unsqueeze(-1) * embedding.weight[:, 0] + embedding.bias[:, 0]
    torch.testing.assert_close(embedding(z), expected.flatten(1))


@pytest.mark.parametrize("edges", [(), (3.0,), (3.0, 3.0), (1.0, 1.0 + 1e-15, 2.0), (-1e30, 0.0, 1e-30, 1e30)], ids=str)
def test_odd_edges_and_values_stay_finite(edges):
    facts = facts_of([[3.0, 3.0, 3.0]], [edges])
    table = torch.tensor([[0.0], [3.0], [1e38], [-1e38], [float("inf")], [float("-inf")], [float("nan")]])
    z = Numbers(facts)(table)[0]
    shares = PiecewiseLinear(facts)(z)
    assert shares.isfinite().all()
    assert PiecewiseEmbedding(facts, torch.Generator().manual_seed(0))(z).isfinite().all()


def test_far_from_zero_the_bins_keep_their_resolution():
    # Years, and seconds since 1970 less an offset: the bins are narrow against the values.
    values = np.linspace(2000.0, 2020.0, 41)
    facts = facts_of([values.tolist()], [tuple(values)])
    z = Numbers(facts)(torch.tensor(values[:, None], dtype=torch.float32))[0]
    np.testing.assert_allclose(PiecewiseLinear(facts)(z).sum(1).numpy(), np.arange(41), atol=1e-3)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_smooth_clip_is_bounded_and_never_falls(a, b):
    low, high = sorted((a, b))
    clipped = smooth_clip(torch.tensor([low, high]))
    assert clipped.abs().max() <= 3.0001
    assert clipped[0] <= clipped[1] + 1e-5
