#!/usr/bin/env python3
"""Prints the coefficients of src/jit/x86/vector_math.cc. Needs numpy and mpmath.

Lawson's iteration: least squares whose weights grow where the error is large, until the largest errors are equal. Then
coefficients become floats: all at once, or the lowest first while the rest are fitted again to what that leaves.
"""
import mpmath as mp
import numpy as np

mp.mp.dps = 40


def nodes(low, high, count):
    points = (low + high) / 2 + (high - low) / 2 * np.cos(np.pi * (np.arange(count) + 0.5) / count)
    return [float(x) for x in points if abs(x) > 1e-5]


def lawson(function, weight, degrees, points, rounds):
    weights = np.array([float(weight(x)) for x in points])
    basis = np.array([[x**d for d in degrees] for x in points]) * weights[:, None]
    wanted = np.array([float(function(x)) for x in points]) * weights
    scale = np.abs(basis).max(axis=0)
    basis, share, best = basis / scale, np.full(len(points), 1 / len(points)), None
    for _ in range(rounds):
        root = np.sqrt(share)
        solution = np.linalg.lstsq(basis * root[:, None], wanted * root, rcond=None)[0]
        error = np.abs(basis @ solution - wanted)
        if best is None or error.max() < best[0]:
            best = error.max(), solution / scale
        share = share * (error / error.max() + 1e-9)
        share /= share.sum()
    return best


def show(name, error, coefficients):
    print(f"{name}: error 2^{np.log2(error):.1f}, lowest degree first")
    print("  " + ", ".join(float(np.float32(c)).hex() for c in coefficients))


def at_once(name, function, weight, degree, points):
    show(name, *lawson(function, weight, range(degree + 1), points, 200))


def one_by_one(name, function, weight, degree, points):
    fixed = {}
    for lowest in range(degree + 1):
        rest = lambda x: function(x) - sum(mp.mpf(float(c)) * mp.mpf(x)**d for d, c in fixed.items())
        error, solution = lawson(rest, weight, range(lowest, degree + 1), points, 60)
        fixed[lowest] = np.float32(solution[0])
    show(name, error, fixed.values())


def exp_tail(x):
    return (mp.exp(x) - 1 - x) / mp.mpf(x)**2


half = float(mp.log(2) / 2)
one_by_one("exp: (e^r - 1 - r) / r^2", exp_tail, lambda x: x * x / mp.exp(x), 4, nodes(-1.01 * half, 1.01 * half, 400))
one_by_one("1 - exp: the same", exp_tail, lambda x: x * x / abs(mp.expm1(x)), 4, nodes(-1.01 * half, 1.01 * half, 400))
at_once("log: (log(1 + f) - f) / f^2", lambda x: (mp.log1p(x) - x) / mp.mpf(x)**2,
        lambda x: x * x / abs(mp.log1p(x)), 7, nodes(-1 / 3, 1 / 3, 600))
at_once("erf: -log(erfc(t)) / t - 1", lambda t: -mp.log(mp.erfc(t)) / t - 1,
        lambda t: t * mp.erfc(t) / mp.erf(t), 8, nodes(0, 4, 1200))
