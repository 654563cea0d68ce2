# SPDX-License-Identifier: MIT
"""Makes ops.pack: small TFLite models of every operator, inputs, and the outputs of LiteRT's reference kernels.

    python make_ops.py [ops.pack]

README.md says what is in the pack and with which versions it was made.
"""

import os
import struct
import sys

import numpy as np

import cases_basic
import cases_move
import cases_nets
from tflite_builder import run_apart


def int8_runs(rng, tensors, n):
    """n inputs: over the whole range, narrow ones, ends and constants."""
    def one(kind, t):
        shape, zero = t[0], int(np.atleast_1d(t[3])[0])
        if kind == 0:
            return rng.integers(-128, 128, shape)
        if kind == 1:
            return np.clip(zero + rng.integers(-9, 10, shape), -128, 127)
        if kind == 2:
            return rng.choice([-128, 127], shape)
        if kind == 3:
            return np.full(shape, rng.choice([-128, -127, 0, 126, 127]))
        return (np.arange(np.prod(shape)).reshape(shape) + 128) % 256 - 128
    order = [0, 2, 1, 0, 3, 4]
    return [[one(order[i % 6], t).astype(np.int8) for t in tensors] for i in range(n)]


def float_runs(rng, tensors, n):
    def one(kind, t):
        if kind == 0:
            return rng.standard_normal(t[0])
        if kind == 1:
            return rng.uniform(-8, 8, t[0])
        if kind == 2:
            return rng.choice([-1e6, -6, -3.0000002, -3, -0.0, 0, 1e-20, 3, 2.9999998, 6, 1e6], t[0])
        return np.round(rng.uniform(-20, 20, t[0])) / 2
    return [[one((0, 2, 1, 3)[i % 4], t).astype(np.float32) for t in tensors] for i in range(n)]


def runs_of(rng, net, wanted):
    """Inputs, as many as make about 4 KB with their outputs."""
    def size(ts):
        return sum(int(np.prod(net.tensors[t][0])) * net.tensors[t][1].itemsize for t in ts)

    tensors = [net.tensors[t] for t in net.inputs]
    n = min(wanted or 6, max(4096 // (size(net.inputs) + size(net.outputs)), 1))
    if all(t[1] == np.int8 for t in tensors):
        return int8_runs(rng, tensors, max(n, 2))
    return float_runs(rng, tensors, min(n, 4))


def record(case, model, runs, outs):
    name = case.name.encode()
    assert len(name) < 64, case.name
    r = struct.pack("<64sIIIIf", name, len(model), len(runs), len(runs[0]), len(outs[0]), case.tolerance)
    r += b"".join(struct.pack("<I", a.nbytes) for a in runs[0]) + b"".join(struct.pack("<I", a.nbytes) for a in outs[0])
    r += model
    for ins, got in zip(runs, outs):
        r += b"".join(np.ascontiguousarray(a).tobytes() for a in ins + got)
    return struct.pack("<I", len(r)) + r


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "ops.pack")
    verbose = os.environ.get("VERBOSE")
    records, names, refused, flat = [], set(), [], []
    for i, case in enumerate(cases_basic.cases() + cases_move.cases() + cases_nets.cases()):
        assert case.name not in names, case.name
        names.add(case.name)
        rng = np.random.default_rng(i + 1)
        model = case.net.build()
        runs = case.runs or runs_of(rng, case.net, case.n_runs)
        outs = run_apart(model, runs)
        if isinstance(outs, str):
            refused.append("%s: %s" % (case.name, outs))
            continue
        if all(np.unique(o).size < min(5, o.size / 3) for got in outs for o in got):
            flat.append(case.name)
        if any(o.dtype == np.float32 and not np.isfinite(o).all() for got in outs for o in got):
            flat.append(case.name + " (not finite)")
        records.append(record(case, model, runs, outs))
        if verbose:
            print(case.name, len(model), len(records[-1]))
    data = b"WEIROPS1" + struct.pack("<I", len(records)) + b"".join(records)
    with open(path, "wb") as f:
        f.write(data)
    print("%d cases, %d bytes" % (len(records), len(data)))
    print("refused by LiteRT:\n ", "\n  ".join(refused) or "none")
    print("outputs that say little:\n ", "\n  ".join(flat) or "none")


main()
