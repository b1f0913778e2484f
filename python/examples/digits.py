"""A network of two layers learns to read digits; every matrix product is gemmsmith's, fused with what follows it.

The same network with NumPy's products must be as accurate. Needs numpy and scikit-learn: python digits.py
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from sklearn.datasets import load_digits  # type: ignore[import-untyped, unused-ignore]

import gemmsmith as gs

HIDDEN, EPOCHS, BATCH, RATE = 64, 30, 64, 0.5


class Products(Protocol):
    """The five products of a step."""

    def layer(self, x: Any, w: Any, bias: Any, relu: bool) -> Any: ...
    def product(self, a: Any, b: Any) -> Any: ...
    def update(self, w: Any, a: Any, b: Any, rate: float) -> None: ...


class Numpy:
    def layer(self, x: Any, w: Any, bias: Any, relu: bool) -> Any:
        y = x @ w + bias
        return np.maximum(y, 0) if relu else y

    def product(self, a: Any, b: Any) -> Any:
        return a @ b

    def update(self, w: Any, a: Any, b: Any, rate: float) -> None:
        w -= rate * (a @ b)


class Gemmsmith:
    def layer(self, x: Any, w: Any, bias: Any, relu: bool) -> Any:
        return gs.gemm(x, w, bias=bias, epilogue="bias+relu" if relu else "bias")

    def product(self, a: Any, b: Any) -> Any:
        return gs.gemm(a, b)

    def update(self, w: Any, a: Any, b: Any, rate: float) -> None:
        gs.gemm(a, b, out=w, alpha=-rate, beta=1.0)  # w = w - rate * a @ b, in place


def train(products: Products, images: Any, labels: Any, seed: int) -> Any:
    """Weights and biases after EPOCHS over images (count, 64) with labels (count)."""
    rng = np.random.default_rng(seed)
    w1 = rng.normal(0, 0.1, (images.shape[1], HIDDEN)).astype("f4")  # (64, 64)
    w2 = rng.normal(0, 0.1, (HIDDEN, 10)).astype("f4")  # (64, 10)
    b1, b2 = np.zeros(HIDDEN, "f4"), np.zeros(10, "f4")
    for _ in range(EPOCHS):
        for batch in np.array_split(rng.permutation(len(images)), len(images) // BATCH):
            x, y = images[batch], labels[batch]  # (m, 64), (m)
            h = products.layer(x, w1, b1, relu=True)  # (m, 64)
            scores = products.layer(h, w2, b2, relu=False)  # (m, 10)
            scores = np.exp(scores - scores.max(axis=1, keepdims=True))
            gradient = scores / scores.sum(axis=1, keepdims=True)
            gradient[np.arange(len(y)), y] -= 1
            gradient /= np.float32(len(y))
            back = products.product(gradient, w2.T) * (h > 0)  # (m, 64)
            products.update(w2, h.T, gradient, RATE)
            products.update(w1, x.T, back, RATE)
            b2 -= RATE * gradient.sum(axis=0)
            b1 -= RATE * back.sum(axis=0)
    return w1, b1, w2, b2


def accuracy(products: Products, weights: Any, images: Any, labels: Any) -> float:
    w1, b1, w2, b2 = weights
    scores = products.layer(products.layer(images, w1, b1, relu=True), w2, b2, relu=False)
    return float(np.mean(scores.argmax(axis=1) == labels))


def main() -> None:
    digits = load_digits()
    images, labels = (digits.data / 16).astype("f4"), digits.target
    order = np.random.default_rng(0).permutation(len(images))
    learn, test = order[:1400], order[1400:]
    found = {}
    for products in (Numpy(), Gemmsmith()):
        weights = train(products, images[learn], labels[learn], seed=1)
        found[type(products).__name__] = accuracy(products, weights, images[test], labels[test])
        print(f"{type(products).__name__:10} {found[type(products).__name__]:.1%} of {len(test)} digits read right")
    assert found["Gemmsmith"] > 0.93 and abs(found["Gemmsmith"] - found["Numpy"]) <= 0.02, found


if __name__ == "__main__":
    main()
