"""Tables of numbers, each drawn by one function that a script can print or whose arrays it can load."""

import numpy as np
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_iris,
    load_wine,
    make_circles,
    make_classification,
    make_friedman1,
    make_moons,
    make_regression,
)


def cancer(rows, seed, noise):
    x, y = load_breast_cancer(return_X_y=True)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))[:rows]
    x, y = x[order], y[order]
    y = np.where(rng.random(len(y)) < noise, rng.integers(0, 2, len(y)), y)
    return x.astype(np.float32), y


def wine(rows, seed, noise):
    x, y = load_wine(return_X_y=True)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))[:rows]
    x, y = x[order], y[order]
    y = np.where(rng.random(len(y)) < noise, rng.integers(0, 3, len(y)), y)
    return x.astype(np.float32), y


def iris(rows, seed, noise):
    x, y = load_iris(return_X_y=True)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))[:rows]
    x, y = x[order], y[order]
    x = x + rng.normal(0, noise, x.shape)
    return x.astype(np.float32), y


def diabetes(rows, seed, noise):
    x, y = load_diabetes(return_X_y=True, scaled=False)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))[:rows]
    y = y + rng.normal(0, 50 * noise, len(y))
    return x[order].astype(np.float32), y[order].astype(np.float32)


def clusters(rows, seed, noise):
    x, y = make_classification(
        rows, 20, n_informative=6, n_redundant=4, n_classes=4, class_sep=1.8, flip_y=noise, random_state=seed
    )
    return (x * np.linspace(1, 30, 20) + 5).astype(np.float32), y


def two_groups(rows, seed, noise):
    x, y = make_classification(rows, 12, n_informative=5, n_redundant=2, class_sep=1.4, flip_y=noise, random_state=seed)
    return x.astype(np.float32), y


def moons(rows, seed, noise):
    x, y = make_moons(rows, noise=0.1 + noise, random_state=seed)
    return x.astype(np.float32), y


def rings(rows, seed, noise):
    x, y = make_circles(rows, noise=0.08 + noise / 3, factor=0.45, random_state=seed)
    return x.astype(np.float32), y


def corners(rows, seed, noise):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, (rows, 2))
    y = ((x[:, 0] > 0) != (x[:, 1] > 0)).astype(int)
    y = np.where(rng.random(rows) < noise, rng.integers(0, 2, rows), y)
    return x.astype(np.float32), y


def spirals(rows, seed, noise):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, rows)
    far = rng.uniform(0.2, 2, rows)
    angle = 2 * far + y * 2 * np.pi / 3 + rng.normal(0, 0.15 + noise, rows)
    x = np.stack([far * np.cos(angle), far * np.sin(angle)], axis=1)
    return x.astype(np.float32), y


def plane(rows, seed, noise):
    x, y = make_regression(rows, 10, n_informative=6, noise=10 + 300 * noise, random_state=seed)
    return x.astype(np.float32), y.astype(np.float32)


def friedman(rows, seed, noise):
    x, y = make_friedman1(rows, n_features=8, noise=0.5 + 8 * noise, random_state=seed)
    return x.astype(np.float32), y.astype(np.float32)


def houses(rows, seed, noise):
    rng = np.random.default_rng(seed)
    income = rng.lognormal(1.2, 0.5, rows)
    age = rng.integers(1, 52, rows)
    rooms = rng.normal(5.4, 1.2, rows)
    people = rng.lognormal(7, 0.7, rows)
    north = rng.uniform(32, 42, rows)
    west = rng.uniform(-124, -114, rows)
    coast = np.abs(west + 0.9 * north - 85)
    price = 60 * income + 15 * np.sqrt(age) + 12 * rooms * (income > 3) - 12 * coast
    price = price + rng.normal(0, 40 + 400 * noise, rows)
    x = np.stack([income, age, rooms, people, north, west], axis=1)
    return x.astype(np.float32), price.astype(np.float32)


def ripple(rows, seed, noise):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-3, 3, (rows, 1))
    y = np.sin(2 * x[:, 0]) + 0.3 * x[:, 0] + rng.normal(0, 0.1 + 2 * noise, rows)
    return x.astype(np.float32), y.astype(np.float32)


def machines(rows, seed, noise):
    rng = np.random.default_rng(seed)
    y = (rng.random(rows) < 0.04).astype(int)
    x = rng.normal(0, 1, (rows, 8))
    x[:, :4] += (1.2 - noise) * y[:, None]
    return x.astype(np.float32), y


def signals(rows, seed, noise):
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (rows, 60))
    score = x[:, 0] + x[:, 1] + x[:, 2] + rng.normal(0, 0.8 + noise, rows)
    return x.astype(np.float32), (score > 0).astype(int)
