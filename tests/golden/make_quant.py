# SPDX-License-Identifier: MIT
"""Writes quant.pack: what AWQ, SmoothQuant and rounding make of one layer's worth of weights and activations.

Formulas as the projects llm-awq, AutoAWQ and SmoothQuant have them, in float64; codes in float32, as they compute them.
README.md has the format and the inputs."""
import os
import struct
import sys

import numpy as np
import torch

torch.set_num_threads(2)
HERE = os.path.dirname(os.path.abspath(__file__))
RATIOS, CLIPS = 20, 10
NEAR = 1e-5  # candidates whose losses differ by less are a tie that float32 may decide either way


# ---- inputs, the same bits as tests/test_quantize.c makes -------------------------------------------

def draw(seed, n):
    """Sums of four 16-bit numbers, about normal, in [-2, 2]: exact in float32."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) * np.uint64(1 << 32) + np.arange(1, n + 1, dtype=np.uint64)
        z = z * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    mask = np.uint64(0xFFFF)
    total = sum(((z >> np.uint64(16 * i)) & mask).astype(np.int64) for i in range(4)) - 131070
    return total.astype(np.float32) * np.float32(2.0**-16)


def weights(seed, rows, k):
    v = draw(seed, rows * k).reshape(rows, k)
    return torch.from_numpy(v * v * v * np.float32(0.0625) + v * np.float32(0.03125))


def tokens(seed, n, k):
    """Channels of different sizes, every 37th an outlier with a mean of its own."""
    v = draw(seed, n * k).reshape(n, k)
    c = np.arange(k)
    size = np.float32(2.0) ** (c * 7 % 5 - 2).astype(np.float32)
    size = np.where(c % 37 == 5, np.float32(24), size).astype(np.float32)
    mean = np.where(c % 37 == 5, np.float32(0.5), np.float32(0)).astype(np.float32)
    return torch.from_numpy((v + mean) * size)


# ---- the original formulas --------------------------------------------------------------------------

def groups(k, group):
    return [(b, min(b + group, k)) for b in range(0, k, group or k)] if group else [(0, k)]


def codes(w, bits, group, symmetric=False, half=False):
    """Codes, scales and zeros of a matrix, in the type of w."""
    q, scale, zero = torch.empty_like(w), [], []
    top = 2**bits - 1
    for b, e in groups(w.shape[1], group):
        part = w[:, b:e]
        if symmetric:
            s = part.abs().amax(1, keepdim=True).clamp(min=1e-5) / (2 ** (bits - 1) - 1)
            z = torch.full_like(s, 2 ** (bits - 1))
        else:
            s = (part.amax(1, keepdim=True) - part.amin(1, keepdim=True)).clamp(min=1e-5) / top
        s = s.half().to(w.dtype) if half else s
        if not symmetric:
            z = (-torch.round(part.amin(1, keepdim=True) / s)).clamp(0, top)
        q[:, b:e] = (torch.round(part / s) + z).clamp(1 if symmetric else 0, top)
        scale.append(s)
        zero.append(z)
    return q, torch.cat(scale, 1), torch.cat(zero, 1)


def rounded(w, bits, group):
    q, s, z = codes(w, bits, group)
    out = torch.empty_like(w)
    for i, (b, e) in enumerate(groups(w.shape[1], group)):
        out[:, b:e] = (q[:, b:e] - z[:, i : i + 1]) * s[:, i : i + 1]
    return out


def w_mean(ws, group):
    w = torch.cat(ws, 0)
    share = torch.empty_like(w)
    for b, e in groups(w.shape[1], group):
        share[:, b:e] = w[:, b:e].abs() / (w[:, b:e].abs().amax(1, keepdim=True) + 1e-6)
    return share.mean(0)


def awq_scales(x_mean, mean, ratio):
    s = x_mean.pow(ratio)
    if mean is not None:
        s = s / (mean.pow(1 - ratio) + 1e-4)
    s = s.clamp(min=1e-4)
    return s / (s.max() * s.min()).sqrt()


def search(x, ws, run, bits, group, duo):
    """run(matrices) is what the inspected module gives. Losses of all ratios, the best, its scales."""
    x_mean, mean = x.abs().mean(0), w_mean(ws, group) if duo else None
    want, losses, scales = run(ws), [], []
    for i in range(RATIOS):
        s = awq_scales(x_mean, mean, i / RATIOS)
        got = run([rounded(w * s, bits, group) / s for w in ws])
        losses.append(float((want - got).pow(2).mean()))
        scales.append(s)
    best = min(range(RATIOS), key=lambda i: losses[i])
    second = sorted(losses)[1]
    if second < losses[best] * (1 + NEAR):
        sys.exit("two ratios are too close: choose other inputs")
    return losses, best, scales[best]


def clip(x, w, bits, group):
    """The clip value of each row and group; NaN where two are too close. How many are.

    w is float32 and rounded in float32: clamped to +-m, zero = round(7.5) is a tie that float32 decides. Errors are float64."""
    out, near = [], 0
    x = x[:: max(1, x.shape[0] // 512)]
    for b, e in groups(w.shape[1], group):
        part, xs = w[:, b:e], x[:, b:e]
        top, errors, values = part.abs().amax(1, keepdim=True), [], []
        for i in range(CLIPS):
            m = top * (1 - i / 20)
            got = rounded(torch.minimum(torch.maximum(part, -m), m), bits, 0)
            errors.append((xs @ (got.double() - part.double()).T).pow(2).mean(0))
            values.append(m[:, 0])
        errors, values = torch.stack(errors), torch.stack(values)
        two = errors.sort(0).values[:2]
        tie = two[1] < two[0] * (1 + NEAR)
        best = values.gather(0, errors.argmin(0, keepdim=True))[0]
        best[tie] = float("nan")
        near += int(tie.sum())
        out.append(best)
    return torch.stack(out, 1), near


# ---- the pack ---------------------------------------------------------------------------------------

RECORDS = []


def put(name, values, kind):
    data = np.ascontiguousarray(np.asarray(values, dtype=kind)).tobytes()
    RECORDS.append(struct.pack("<64sI", name.encode(), len(data)) + data)


def fnv(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return h


def put_rounding():
    w = weights(1, 48, 576)
    for bits in (2, 3, 4, 8):
        for group in (32, 128, 0):
            for how in ("", "-half", "-sym"):
                q, s, z = codes(w, bits, group, how == "-sym", how == "-half")
                q64 = codes(w.double(), bits, group, how == "-sym", how == "-half")[0]
                differ = int((q.double() != q64).sum())
                if differ:
                    print(f"rtn {bits} bits, group {group}{how}: {differ} of {q.numel()} codes differ in float64")
                put(f"rtn-{bits}-{group}{how}", [fnv(q.to(torch.uint8).numpy().tobytes()),
                    fnv(s.numpy().tobytes()), fnv(z.to(torch.uint8).numpy().tobytes())], "<u8")


def put_linear(name, seed, rows, k, n, bits, group, duo=False, clips=True):
    w, x = weights(seed, rows, k).double(), tokens(seed + 100, n, k).double()
    losses, best, s = search(x, [w], lambda ws: x @ ws[0].T, bits, group, duo)
    put(f"{name}-losses", losses, "<f8")
    put(f"{name}-best", [best], "<u4")
    put(f"{name}-scales", s, "<f4")
    print(f"{name}: ratio {best}, loss {losses[best]:.6g}, rounding alone {losses[0]:.6g}", end="")
    if clips:
        values, near = clip((x.float() / s.float()).double(), w.float() * s.float(), bits, group)
        put(f"{name}-clip", values, "<f4")
        print(f"; {near} of {values.numel()} clip values are near ties", end="")
    print()


def put_mlp(name, seed, dim, ff, n, bits, group, duo):
    gate, up = weights(seed, ff, dim).double(), weights(seed + 1, ff, dim).double()
    down, x = weights(seed + 2, dim, ff).double(), tokens(seed + 100, n, dim).double()
    run = lambda ws: (torch.nn.functional.silu(x @ ws[0].T) * (x @ ws[1].T)) @ down.T
    losses, best, s = search(x, [gate, up], run, bits, group, duo)
    put(f"{name}-losses", losses, "<f8")
    put(f"{name}-best", [best], "<u4")
    put(f"{name}-scales", s, "<f4")
    print(f"{name}: ratio {best}, loss {losses[best]:.6g}, rounding alone {losses[0]:.6g}")


def put_smooth():
    x, w = tokens(110, 64, 576).double(), torch.cat([weights(10, 64, 576), weights(11, 48, 576)]).double()
    act, most = x.abs().amax(0), w.abs().amax(0).clamp(min=1e-5)
    for alpha in (0.5, 0.6, 0.7, 0.8, 0.9):
        put(f"smooth-{alpha}", (act.pow(alpha) / most.pow(1 - alpha)).clamp(min=1e-5), "<f4")


def main():
    put_rounding()
    put_linear("v", 20, 192, 576, 1100, 4, 128)
    put_linear("v3", 20, 192, 576, 1100, 3, 32)
    put_linear("v-duo", 20, 192, 576, 1100, 4, 128, duo=True, clips=False)
    put_linear("v-row", 20, 192, 576, 200, 4, 0)
    put_linear("gate", 30, 1536, 576, 600, 4, 128)
    put_linear("down", 40, 576, 1536, 600, 4, 128)
    put_mlp("mlp", 50, 192, 512, 96, 4, 64, False)
    put_mlp("mlp-duo", 50, 192, 512, 96, 3, 64, True)
    put_mlp("mlp-long", 50, 192, 512, 1024, 4, 64, False)
    put_mlp("mlp-long-duo", 50, 192, 512, 1024, 3, 64, True)
    put_smooth()
    data = b"WEIRQNT1" + struct.pack("<I", len(RECORDS)) + b"".join(RECORDS)
    with open(os.path.join(HERE, "quant.pack"), "wb") as f:
        f.write(data)
    print(f"{len(RECORDS)} records, {len(data)} bytes")


main()
