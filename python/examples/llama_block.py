"""One transformer block of Llama's kind from a config.json, every product by gemmsmith, checked against NumPy in float64.

python llama_block.py [config.json] [tokens]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

import gemmsmith as gs

SMALL: dict[str, Any] = {"hidden_size": 256, "intermediate_size": 688, "num_attention_heads": 8, "num_key_value_heads": 2,
         "rms_norm_eps": 1e-5, "rope_theta": 10000.0}


def weights(config: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """As models store them, (out, in); gate and up rows interleaved, which is what the epilogue "swiglu" pairs."""
    hidden, wide = config["hidden_size"], config["intermediate_size"]
    head = hidden // config["num_attention_heads"]
    kv = config["num_key_value_heads"] * head

    def made(rows: int, columns: int) -> Any:
        return rng.normal(0, columns**-0.5, (rows, columns)).astype("f4")

    return {"qkv": made(hidden + 2 * kv, hidden), "o": made(hidden, hidden), "gate_up": made(2 * wide, hidden),
            "down": made(hidden, wide), "norm1": np.ones(hidden, "f4"), "norm2": np.ones(hidden, "f4")}


def norm(x: Any, scale: Any, eps: float) -> Any:
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps).astype(x.dtype) * scale


def rope(x: Any, theta: float) -> Any:
    """Rotates pairs of x (heads, tokens, head)."""
    tokens, half = x.shape[1], x.shape[2] // 2
    angle = np.arange(tokens)[:, None] * theta ** (-np.arange(half) / half)
    cos, sin = np.cos(angle).astype(x.dtype), np.sin(angle).astype(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def softmax(x: Any) -> Any:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def heads_of(x: Any, config: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Queries, keys and values, each (heads, tokens, head), from x (tokens, all of them side by side)."""
    count, kv = config["num_attention_heads"], config["num_key_value_heads"]
    head = config["hidden_size"] // count
    split = x.reshape(len(x), count + 2 * kv, head).transpose(1, 0, 2)
    theta = config.get("rope_theta", 10000.0)
    q, k = rope(split[:count], theta), rope(split[count : count + kv], theta)
    return q, np.repeat(k, count // kv, axis=0), np.repeat(split[count + kv :], count // kv, axis=0)


def block(x: Any, w: dict[str, Any], config: dict[str, Any]) -> Any:
    """x (tokens, hidden) through the block, by gemmsmith."""
    eps, head = config.get("rms_norm_eps", 1e-5), config["hidden_size"] // config["num_attention_heads"]
    qkv = gs.gemm(norm(x, w["norm1"], eps), w["qkv"].T)
    q, k, v = heads_of(qkv, config)
    mask = np.triu(np.full((len(x), len(x)), -np.inf, "f4"), 1)
    scores = softmax(gs.gemm(q, k.transpose(0, 2, 1), alpha=head**-0.5) + mask)  # (heads, tokens, tokens)
    mixed = np.ascontiguousarray(gs.gemm(scores, np.ascontiguousarray(v)).transpose(1, 0, 2)).reshape(x.shape)
    x = gs.gemm(mixed, w["o"].T, epilogue="residual", residual=x)
    inner = gs.gemm(norm(x, w["norm2"], eps), w["gate_up"].T, epilogue="swiglu")  # (tokens, intermediate)
    return gs.gemm(inner, w["down"].T, epilogue="residual", residual=x)


def reference(x: Any, w: dict[str, Any], config: dict[str, Any]) -> Any:
    """The same by NumPy in float64."""
    x, w = x.astype("f8"), {name: one.astype("f8") for name, one in w.items()}
    eps, head = config.get("rms_norm_eps", 1e-5), config["hidden_size"] // config["num_attention_heads"]
    q, k, v = heads_of(norm(x, w["norm1"], eps) @ w["qkv"].T, config)
    mask = np.triu(np.full((len(x), len(x)), -np.inf), 1)
    mixed = (softmax(q @ k.transpose(0, 2, 1) * head**-0.5 + mask) @ v).transpose(1, 0, 2).reshape(x.shape)
    x = x + mixed @ w["o"].T
    both = norm(x, w["norm2"], eps) @ w["gate_up"].T
    gate, up = both[:, 0::2], both[:, 1::2]
    return x + (gate / (1 + np.exp(-gate)) * up) @ w["down"].T


def main() -> None:
    config: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text()) if len(sys.argv) > 1 else SMALL
    tokens = int(sys.argv[2]) if len(sys.argv) > 2 else 48
    rng = np.random.default_rng(0)
    w = weights(config, rng)
    x = rng.normal(size=(tokens, config["hidden_size"])).astype("f4")
    error = np.abs(block(x, w, config) - reference(x, w, config)).max()
    print(f"hidden {config['hidden_size']}, {tokens} tokens: largest error {error:.2g}")
    assert error < 1e-3, error


if __name__ == "__main__":
    main()
