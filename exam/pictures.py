"""Pictures and recorded series, each drawn by one function that a script can print or whose arrays it can load."""

import numpy as np
from sklearn.datasets import load_digits


def digits(rows, seed, noise):
    x, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))[:rows]
    x = x[order].reshape(-1, 1, 8, 8)
    x = (x + rng.normal(0, 16 * noise, x.shape)) * 255 / 16
    return x.clip(0, 255).astype(np.float32), y[order]


def outlines(rows, seed, noise):
    rng = np.random.default_rng(seed)
    x = np.zeros((rows, 1, 12, 12), np.float32)
    y = rng.integers(0, 3, rows)
    for row in range(rows):
        top, left = rng.integers(0, 5, 2)
        size = rng.integers(5, 8)
        a, b = np.mgrid[0:size, 0:size] - (size - 1) / 2
        form = [
            np.maximum(abs(a), abs(b)) > size / 2 - 1.1,
            abs(np.hypot(a, b) - size / 2 + 0.5) < 0.7,
            (abs(a) < 0.7) | (abs(b) < 0.7),
        ][y[row]]
        x[row, 0, top : top + size, left : left + size] = form
    x = 200 * x + rng.normal(30, 255 * noise + 5, x.shape)
    return x.clip(0, 255).astype(np.float32), y


def stripes(rows, seed, noise):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, rows)
    angle = y * np.pi / 4 + rng.normal(0, 0.1, rows)
    width = rng.uniform(1.1, 1.6, rows)
    shift = rng.uniform(0, 2 * np.pi, rows)
    down, across = np.mgrid[0:12, 0:12]
    way = np.cos(angle)[:, None, None] * across + np.sin(angle)[:, None, None] * down
    x = 127 + 90 * np.sin(width[:, None, None] * way + shift[:, None, None])
    x = x + rng.normal(0, 255 * noise + 5, x.shape)
    return x[:, None].clip(0, 255).astype(np.float32), y


def bars(rows, seed, noise):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, rows)
    x = rng.normal(40, 255 * noise + 5, (rows, 3, 10, 10))
    place = rng.integers(0, 10, rows)
    start = rng.integers(0, 4, rows)
    tint = rng.uniform(80, 200, (rows, 3))
    for row in range(rows):
        if y[row]:
            x[row, :, place[row], start[row] : start[row] + 7] += tint[row, :, None]
        else:
            x[row, :, start[row] : start[row] + 7, place[row]] += tint[row, :, None]
    return x.clip(0, 255).astype(np.float32), y


def blob_height(rows, seed, noise):
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[0:12, 0:12]
    centre = rng.uniform(3, 9, (rows, 2))
    wide = rng.uniform(1, 3, rows)
    far = (down - centre[:, :1, None]) ** 2 + (across - centre[:, 1:, None]) ** 2
    x = 220 * np.exp(-far / 2 / wide[:, None, None] ** 2) + rng.normal(0, 255 * noise / 2 + 3, (rows, 12, 12))
    y = wide + 0.3 * centre[:, 0] + rng.normal(0, noise, rows)
    return x[:, None].clip(0, 255).astype(np.float32), y.astype(np.float32)


def vibration(rows, seed, noise):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, rows)
    time = np.arange(24)
    speed = np.array([0.35, 0.7, 1.2])[y] + rng.normal(0, 0.04, rows)
    shift = rng.uniform(0, 2 * np.pi, rows)
    wave = np.sin(speed[:, None] * time + shift[:, None])
    x = np.stack([20 + 3 * wave, 0.5 * np.roll(wave, 3, axis=1)], axis=2)
    x = x + rng.normal(0, noise + 0.05, x.shape) * np.array([3.0, 0.5])
    return x.astype(np.float32), y


def pulse_trains(rows, seed, noise):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, rows)
    x = rng.normal(0, 0.3 + noise, (rows, 20, 1))
    for row in range(rows):
        first = rng.integers(0, 8)
        second = first + rng.integers(4, 8)
        x[row, first, 0] += 3
        x[row, second, 0] += 3 if y[row] else -3
    return x.astype(np.float32), y


def next_reading(rows, seed, noise):
    rng = np.random.default_rng(seed)
    series = np.zeros(rows + 40)
    for t in range(2, len(series)):
        series[t] = 1.6 * series[t - 1] - 0.9 * series[t - 2] + rng.normal(0, 0.4)
    series = 50 + 4 * series + rng.normal(0, 6 * noise, len(series))
    x = np.stack([series[t : t + 16] for t in range(rows)])[:, :, None]
    y = series[16 : 16 + rows]
    order = rng.permutation(rows)
    return x[order].astype(np.float32), y[order].astype(np.float32)


def area_under(rows, seed, noise):
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (rows, 12, 2))
    y = (x[:, :, 0] * (x[:, :, 1] > 0)).sum(1) + rng.normal(0, 2 * noise, rows)
    return x.astype(np.float32), y.astype(np.float32)
