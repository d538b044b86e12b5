"""Rows of tokens, each drawn by one function that a script can print or whose arrays it can load."""

import numpy as np


def keyword(rows, seed, noise):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, rows)
    x = rng.integers(5, 30, (rows, 14))
    place = rng.integers(0, 14, rows)
    x[np.arange(rows), place] = 1 + np.where(rng.random(rows) < noise, rng.integers(0, 4, rows), y)
    return x, y


def brackets(rows, seed, noise):
    rng = np.random.default_rng(seed)
    x = rng.choice([1, 2, 3], size=(rows, 10), p=[0.35, 0.35, 0.3])
    depth = (x == 1).sum(1) - (x == 2).sum(1)
    y = np.where(depth > 0, 2, np.where(depth < 0, 1, 0))
    y = np.where(rng.random(rows) < noise, rng.integers(0, 3, rows), y)
    return x, y


def opinions(rows, seed, noise):
    rng = np.random.default_rng(seed)
    weight = rng.normal(0, 1, 60) * (np.arange(60) % 3 == 0)
    x = rng.integers(0, 60, (rows, 16))
    score = weight[x].sum(1) + rng.normal(0, 0.3 + 4 * noise, rows)
    return x, (score > 0).astype(int)


def word_order(rows, seed, noise):
    rng = np.random.default_rng(seed)
    x = rng.integers(3, 20, (rows, 12))
    first = rng.integers(0, 6, rows)
    second = rng.integers(6, 12, rows)
    y = rng.integers(0, 2, rows)
    x[np.arange(rows), np.where(y == 1, first, second)] = 1
    x[np.arange(rows), np.where(y == 1, second, first)] = 2
    y = np.where(rng.random(rows) < noise, rng.integers(0, 2, rows), y)
    return x, y


def word_counts(rows, seed, noise):
    rng = np.random.default_rng(seed)
    topics = rng.dirichlet(np.full(80, 0.3), 4)
    y = rng.integers(0, 4, rows)
    mixed = (1 - noise) * topics[y] + noise / 80
    x = np.stack([rng.multinomial(25, each) for each in mixed])
    return x.astype(np.float32), y


def next_character(rows, seed, noise):
    rng = np.random.default_rng(seed)
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "dog", "ran", "to", "red", "hen"]
    text = " ".join(rng.choice(words, rows * 4))
    letters = sorted(set(text))
    codes = np.array([letters.index(letter) for letter in text])
    odd = rng.random(len(codes)) < noise
    codes = np.where(odd, rng.integers(0, len(letters), len(codes)), codes)
    starts = rng.integers(0, len(codes) - 13, rows)
    rows_of_text = np.stack([codes[start : start + 13] for start in starts])
    return rows_of_text[:, :-1], rows_of_text[:, 1:]
