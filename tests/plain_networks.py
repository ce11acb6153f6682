"""DiT and SiT with captions, written out in float64 NumPy from their descriptions, as slow as it likes.

It gives the values that the golden files lack: those of the null caption and of the null class.
"""

import numpy as np
from scipy.special import expit

Weights = dict[str, np.ndarray]


def embed_class(weights: Weights, vector: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Class and caption [b, width] of class vectors [b, width] and masked caption states [b, tokens, d]."""
    kernel = weights["y_embedder.conv.weight"]  # [width, d, tokens]: one step over all tokens
    pooled = np.einsum("btd,wdt->bw", states, kernel) + weights["y_embedder.conv.bias"]
    hidden = silu(linear(weights, "y_embedder.mlp.1", normalise(pooled)))
    return linear(weights, "y_embedder.mlp.3", hidden) + pooled + vector


def predict(
    weights: Weights, heads: int, x: np.ndarray, t: np.ndarray, vector: np.ndarray, states: np.ndarray
) -> np.ndarray:
    """Prediction [b, outputs, h, w] for noisy latents x [b, c, h, w] at times t [b]."""
    batch, _, height, width = x.shape
    patch = weights["x_embedder.proj.weight"].shape[-1]
    grid = (height // patch, width // patch)
    pieces = x.reshape(batch, -1, grid[0], patch, grid[1], patch).transpose(0, 2, 4, 1, 3, 5)
    tokens = linear(weights, "x_embedder.proj", pieces.reshape(batch, grid[0] * grid[1], -1))
    tokens = tokens + weights["pos_embed"]
    time = silu(linear(weights, "t_embedder.mlp.0", sinusoids(t)))
    time = linear(weights, "t_embedder.mlp.2", time)
    condition = silu(time + embed_class(weights, vector, states))
    for block in sorted({name.split(".")[1] for name in weights if name.startswith("blocks.")}, key=int):
        tokens = transform(weights, f"blocks.{block}", heads, tokens, condition)
    shift, scale = modulation(weights, "final_layer", condition, 2)
    pixels = linear(weights, "final_layer.linear", normalise(tokens) * (1 + scale) + shift)
    pixels = pixels.reshape(batch, *grid, patch, patch, -1).transpose(0, 5, 1, 3, 2, 4)
    return pixels.reshape(batch, -1, height, width)


def transform(
    weights: Weights, name: str, heads: int, tokens: np.ndarray, condition: np.ndarray
) -> np.ndarray:
    """One block: attention, then perceptron, each modulated and gated by the condition."""
    shift, scale, gate, shift2, scale2, gate2 = modulation(weights, name, condition, 6)
    attended = linear(weights, f"{name}.attn.qkv", normalise(tokens) * (1 + scale) + shift)
    query, key, value = np.moveaxis(attended.reshape(*tokens.shape[:2], 3, heads, -1), (2, 3), (0, 2))
    score = np.exp(query @ key.swapaxes(2, 3) / np.sqrt(query.shape[-1]))
    mixed = (score / score.sum(-1, keepdims=True)) @ value
    tokens = tokens + gate * linear(
        weights, f"{name}.attn.proj", np.swapaxes(mixed, 1, 2).reshape(tokens.shape)
    )
    hidden = linear(weights, f"{name}.mlp.fc1", normalise(tokens) * (1 + scale2) + shift2)
    hidden = 0.5 * hidden * (1 + np.tanh(np.sqrt(2 / np.pi) * (hidden + 0.044715 * hidden**3)))
    return tokens + gate2 * linear(weights, f"{name}.mlp.fc2", hidden)


def modulation(weights: Weights, name: str, condition: np.ndarray, parts: int) -> list[np.ndarray]:
    """Shifts, scales and gates [b, 1, width] of an activated condition [b, width]."""
    return np.split(linear(weights, f"{name}.adaLN_modulation.1", condition)[:, None], parts, axis=2)


def sinusoids(t: np.ndarray) -> np.ndarray:
    """Cosines and sines [b, 256] of times [b]; RELEASE: their angles are float32."""
    rates = np.exp(np.arange(128, dtype=np.float32) * np.float32(-np.log(10000) / 128))
    angles = (t.astype(np.float32)[:, None] * rates).astype(np.float64)
    return np.concatenate([np.cos(angles), np.sin(angles)], 1)


def normalise(x: np.ndarray) -> np.ndarray:
    """Layer normalisation without weights; DiT's epsilon."""
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)


def linear(weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    """Linear map of the last axis; of a convolution without overlap, the map of its patches."""
    kernel = weights[f"{name}.weight"]
    return x @ kernel.reshape(len(kernel), -1).T + weights[f"{name}.bias"]


def silu(x: np.ndarray) -> np.ndarray:
    return x * expit(x)
