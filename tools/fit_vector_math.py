#!/usr/bin/env python3
"""Prints the coefficients of src/jit/x86/vector_math.cc, or with "tables" src/jit/x86/vector_tables.h. Needs numpy, mpmath.

Lawson's iteration: least squares whose weights grow where the error is large, until the largest errors are equal. Then
coefficients become floats: all at once, or the lowest first while the rest are fitted again to what that leaves.
"""
import sys

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


def lowest_first(function, weight, degrees, points):
    fixed = {}
    for lowest in degrees:
        rest = lambda x: function(x) - sum(mp.mpf(float(c)) * mp.mpf(x)**d for d, c in fixed.items())
        error, solution = lawson(rest, weight, range(lowest, degrees[-1] + 1), points, 60)
        fixed[lowest] = np.float32(solution[0])
    return error, fixed


def one_by_one(name, function, weight, degree, points):
    error, fixed = lowest_first(function, weight, range(degree + 1), points)
    show(name, error, fixed.values())


def exp_tail(x):
    return (mp.exp(x) - 1 - x) / mp.mpf(x)**2


def coefficients():
    half = float(mp.log(2) / 2)
    around_0 = nodes(-1.01 * half, 1.01 * half, 400)
    one_by_one("exp: (e^r - 1 - r) / r^2", exp_tail, lambda x: x * x / mp.exp(x), 4, around_0)
    one_by_one("1 - exp: the same", exp_tail, lambda x: x * x / abs(mp.expm1(x)), 4, around_0)
    one_by_one("exp, sixteenths: (e^r - 1) / r", lambda x: mp.expm1(x) / x, lambda x: x / mp.exp(x), 2,
               [x / 16 for x in around_0])
    at_once("log: (log(1 + f) - f) / f^2", lambda x: (mp.log1p(x) - x) / mp.mpf(x)**2,
            lambda x: x * x / abs(mp.log1p(x)), 7, nodes(-1 / 3, 1 / 3, 600))
    at_once("erf: -log(erfc(t)) / t - 1", lambda t: -mp.log(mp.erfc(t)) / t - 1,
            lambda t: t * mp.erfc(t) / mp.erf(t), 8, nodes(0, 4, 1200))


def piece(function, low, high, centre, degree, weight):
    """Of function(centre + t): coefficients of t, lowest degree first. The first piece has its zero at 0."""
    at = lambda t: mp.mpf(t) + centre
    points = nodes(low - centre, high - centre, 120)
    degrees = range(0 if low > 0 else 1, degree + 1)
    _, fixed = lowest_first(lambda t: function(at(t)), lambda t: weight(at(t)), degrees, points)
    return [float(fixed.get(d, 0)) for d in range(degree + 1)]


def erf_table():
    """erf(c + t) - t. The last piece reaches 1 where it ends, which is where all larger numbers are taken to be."""
    rows = []
    for i in range(16):
        low, high, centre = max(0, i / 4 - 1 / 8), i / 4 + 1 / 8, i / 4
        reaches_1 = lambda x: 1 - mp.erfc(x) * (1 - (x - low) / (high - low) * mp.mpf(7) / 10)
        function = mp.erf if i < 15 else reaches_1
        rows.append(piece(lambda x: function(x) - (x - centre), low, high, centre, 5, lambda x: 1 / mp.erf(x)))
    return rows


def tanh_table():
    """By the bits of |x| + 5/8: exponent and two bits of the mantissa. First the centres."""
    start, most = 0.625, 9.2
    number = int(np.float32(start).view(np.uint32)) >> 21
    edge = lambda n: float(np.array([n << 21], np.uint32).view(np.float32)[0]) - start
    rows = [None] * 16
    for n in range(number, number + 16):
        low, high = edge(n), min(edge(n + 1), most)
        centre = float(np.float32((low + high) / 2)) if low > 0 else 0.0
        rows[n % 16] = [centre] + piece(mp.tanh, low, high, centre, 5, lambda x: 1 / mp.tanh(x))
    return rows


def exp_table():
    return [[float(np.float32(mp.mpf(2)**(mp.mpf(i) / 16)))] for i in range(16)]


def tables():
    print("#pragma once\n\n// Printed by tools/fit_vector_math.py tables.\n")
    print("#include \"jit/x86/vector_program.h\"\n\nnamespace gemmsmith {\n\n// clang-format off")
    for comment, name, rows in [
        ("2^(i / 16).", "kExpTable", exp_table()),
        ("erf(c + t) - t for c = 0, 1/4, ..., 15/4: coefficients of t, lowest degree first.", "kErfTable", erf_table()),
        ("c, and tanh(c + t) likewise, by bits 21..24 of |x| + 5/8.", "kTanhTable", tanh_table())
    ]:
        print(f"/// {comment}\ninline constexpr LookupTable {name}[] = {{")
        for column in zip(*rows):
            words = [c.hex().replace("0000000p", "p") + "f" for c in column]
            lines = [", ".join(words[i:i + 6]) for i in range(0, 16, 6)]
            print("    {{" + ",\n      ".join(lines) + "}},")
        print("};")
    print("// clang-format on\n\n}  // namespace gemmsmith")


if sys.argv[1:] == ["tables"]:
    tables()
else:
    coefficients()
