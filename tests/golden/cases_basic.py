# SPDX-License-Identifier: MIT
"""Cases of operators that calculate: convolutions, pools, binary and unary ones, reductions, resizing, quantization."""

import numpy as np

from tflite_builder import NONE, RELU, RELU6, RELU_N1, SAME, VALID, Net

I8, F32 = np.int8, np.float32


class Case:
    """tolerance: 0 for outputs that must be the same bits; else the error that floats may have, relative to each value,
    or, when negative, to the largest of the output."""

    def __init__(self, name, net, tolerance=0.0, runs=None, n_runs=0):
        self.name, self.net, self.tolerance, self.runs, self.n_runs = name, net, tolerance, runs, n_runs


class Family:
    """Cases with a generator of their own, so that a new case changes no other."""

    def __init__(self, seed):
        self.rng, self.cases = np.random.default_rng(seed), []

    def add(self, name, net, **kw):
        self.cases.append(Case(name, net, **kw))


def out_size(n, k, stride, dilation, padding):
    k = (k - 1) * dilation + 1
    return -(-n // stride) if padding == SAME else (n - k) // stride + 1


def add_conv(net, rng, x, oc, k=(3, 3), stride=(1, 1), dilation=(1, 1), padding=SAME, act=NONE, per_channel=True,
             bias=True, groups=1, depthwise=0, factor=1.0, out_zero=None, last=True, bias_size=1.0, weights=None):
    """A convolution of tensor x; its output's index. depthwise: the depth multiplier. factor: scales the result."""
    shape, dtype, scale, zero = net.tensors[x][:4]
    n, h, w, c = shape
    if depthwise:
        oc = c * depthwise
    w_shape = (1, k[0], k[1], oc) if depthwise else (oc, k[0], k[1], c // groups)
    terms = k[0] * k[1] * (1 if depthwise else c // groups)
    out = [n, out_size(h, k[0], stride[0], dilation[0], padding), out_size(w, k[1], stride[1], dilation[1], padding), oc]
    new = net.output if last else net.tensor
    if dtype == I8:
        values = rng.integers(-127, 128, w_shape) if weights is None else np.full(w_shape, weights)
        w_scale = 0.01 * 2.0 ** rng.uniform(-2, 2, oc) if per_channel else np.array([0.013])
        axis = 3 if depthwise else 0
        filt = net.const(values, I8, scale=w_scale, zero=[0] * len(w_scale), axis=axis)
        bias_scale = (np.float32(scale) * w_scale.astype(F32)).astype(F32)
        b = net.const(rng.integers(-4000, 4001, oc) * terms ** 0.5 * bias_size, np.int32, scale=bias_scale,
                      zero=[0] * len(w_scale)) if bias else -1
        spread = scale * 0.013 * 74 * 73 * terms ** 0.5
        y = new(out, I8, scale=spread / 55 / factor, zero=int(rng.integers(-128, 128)) if out_zero is None else out_zero)
    else:
        filt = net.const(rng.standard_normal(w_shape), F32)
        b = net.const(rng.standard_normal(oc), F32) if bias else -1
        y = new(out, F32)
    options = dict(padding=padding, stride_w=stride[1], stride_h=stride[0], activation=act, dilation_w=dilation[1],
                   dilation_h=dilation[0])
    if depthwise:
        options["depth_multiplier"] = depthwise
    net.op("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", [x, filt] + ([b] if bias else []), [y], **options)
    return y


def activation_in(net, shape, dtype, scale=0.05, zero=0):
    return net.input(shape, dtype, scale=scale, zero=zero) if dtype == I8 else net.input(shape, F32)


def conv_cases(fam, op, variants, twins=True):
    for i, v in enumerate(variants):
        v = dict(v)
        shape, zero = v.pop("x"), v.pop("zero", int(fam.rng.integers(-128, 128)))
        only_int8 = v.pop("only_int8", False)
        oc = v.pop("oc", 0)
        for dtype in (I8, F32) if twins and not only_int8 else (I8,):
            net = Net()
            x = activation_in(net, shape, dtype, 0.05, zero)
            add_conv(net, fam.rng, x, oc, **v)
            fam.add("%s %d %s" % (op, i, np.dtype(dtype).name), net)


def conv():
    fam = Family(101)
    conv_cases(fam, "conv", [
        dict(x=(1, 8, 8, 3), oc=16), dict(x=(1, 8, 8, 3), oc=8, padding=VALID, act=RELU6),
        dict(x=(1, 9, 7, 3), oc=8, stride=(2, 2), act=RELU), dict(x=(1, 9, 7, 3), oc=7, stride=(2, 2), padding=VALID),
        dict(x=(1, 6, 5, 1), oc=1), dict(x=(1, 6, 5, 7), oc=3, k=(1, 1)), dict(x=(1, 4, 4, 16), oc=17, k=(1, 1)),
        dict(x=(1, 4, 3, 17), oc=33, k=(1, 1), act=RELU), dict(x=(1, 3, 3, 33), oc=16, k=(1, 1)),
        dict(x=(1, 2, 3, 64), oc=40, k=(1, 1)), dict(x=(2, 5, 5, 16), oc=8), dict(x=(3, 4, 5, 7), oc=5, stride=(2, 1)),
        dict(x=(1, 7, 7, 4), oc=4, k=(5, 5)), dict(x=(1, 7, 9, 4), oc=4, k=(7, 7), stride=(3, 2)),
        dict(x=(1, 7, 9, 4), oc=4, k=(3, 1)), dict(x=(1, 7, 9, 4), oc=5, k=(1, 5)), dict(x=(1, 7, 9, 4), oc=6, k=(2, 2)),
        dict(x=(1, 9, 9, 3), oc=6, k=(4, 2), stride=(1, 2)), dict(x=(1, 9, 9, 5), oc=4, dilation=(2, 2)),
        dict(x=(1, 9, 11, 5), oc=4, dilation=(3, 2), padding=VALID), dict(x=(1, 9, 11, 3), oc=4, dilation=(2, 1), stride=(1, 2)),
        dict(x=(1, 2, 2, 8), oc=8, k=(5, 5)), dict(x=(1, 1, 1, 16), oc=20, k=(3, 3)), dict(x=(1, 1, 17, 3), oc=4, k=(3, 3)),
        dict(x=(1, 17, 1, 3), oc=4, k=(3, 3)), dict(x=(1, 5, 5, 3), oc=4, k=(5, 5), padding=VALID),
        dict(x=(1, 6, 6, 3), oc=8, per_channel=False, only_int8=True), dict(x=(1, 6, 6, 8), oc=8, bias=False),
        dict(x=(1, 5, 5, 8), oc=8, per_channel=False, act=RELU_N1, factor=0.01),
        dict(x=(1, 6, 6, 8), oc=8, groups=2), dict(x=(1, 6, 6, 12), oc=6, groups=3, k=(1, 1)),
        dict(x=(1, 6, 5, 6), oc=12, groups=6), dict(x=(2, 6, 5, 32), oc=32, groups=2, stride=(2, 2)),
        dict(x=(1, 4, 4, 16), oc=16, factor=60.0, only_int8=True), dict(x=(1, 4, 4, 16), oc=16, factor=1e5, only_int8=True),
        dict(x=(1, 4, 4, 16), oc=16, factor=1e-3, only_int8=True), dict(x=(1, 4, 4, 16), oc=16, factor=1e-7, only_int8=True),
        dict(x=(1, 4, 4, 16), oc=16, zero=-128, out_zero=127, only_int8=True),
        dict(x=(1, 4, 4, 16), oc=16, zero=127, out_zero=-128, act=RELU6, only_int8=True),
        dict(x=(1, 4, 4, 16), oc=16, zero=-128, out_zero=-128, act=RELU, only_int8=True),
        dict(x=(1, 4, 4, 33), oc=5, zero=127, weights=-128, only_int8=True),
        dict(x=(1, 4, 4, 33), oc=5, zero=-128, weights=127, only_int8=True),
        dict(x=(1, 4, 4, 16), oc=16, bias_size=3000.0, only_int8=True),
        dict(x=(1, 4, 5, 20), oc=18, k=(3, 3), act=RELU), dict(x=(1, 3, 4, 48), oc=15, k=(2, 2)),
        dict(x=(1, 3, 7, 160), oc=9, k=(1, 1), only_int8=True), dict(x=(1, 4, 4, 2), oc=2, k=(2, 2), stride=(2, 2)),
        dict(x=(1, 5, 5, 2), oc=3, k=(1, 1), stride=(2, 2)), dict(x=(1, 5, 5, 16), oc=16, k=(1, 1), stride=(3, 3)),
    ])
    return fam.cases


def depthwise():
    fam = Family(102)
    conv_cases(fam, "depthwise", [dict(v, depthwise=v.get("depthwise", 1)) for v in [
        dict(x=(1, 8, 8, 16)), dict(x=(1, 8, 8, 8), padding=VALID, act=RELU6), dict(x=(1, 9, 7, 17), stride=(2, 2)),
        dict(x=(1, 9, 7, 33), stride=(2, 2), padding=VALID, act=RELU), dict(x=(1, 6, 5, 1)), dict(x=(1, 6, 5, 3)),
        dict(x=(1, 6, 5, 7), k=(5, 5)), dict(x=(1, 8, 7, 16), k=(7, 7), stride=(2, 2)), dict(x=(1, 5, 6, 48), k=(3, 3)),
        dict(x=(2, 5, 5, 16)), dict(x=(3, 5, 4, 5), stride=(2, 2)), dict(x=(1, 5, 5, 3), depthwise=2),
        dict(x=(1, 5, 5, 1), depthwise=8), dict(x=(1, 6, 7, 16), depthwise=2, stride=(2, 2)), dict(x=(1, 6, 7, 7), depthwise=3),
        dict(x=(1, 9, 9, 16), dilation=(2, 2)), dict(x=(1, 9, 9, 5), dilation=(2, 3), padding=VALID),
        dict(x=(1, 5, 6, 16), k=(1, 1)), dict(x=(1, 5, 6, 8), k=(3, 1)), dict(x=(1, 5, 6, 8), k=(1, 3)),
        dict(x=(1, 5, 6, 8), k=(2, 2), stride=(2, 2)), dict(x=(1, 2, 2, 16), k=(5, 5)), dict(x=(1, 1, 1, 24), k=(3, 3)),
        dict(x=(1, 1, 13, 4), k=(3, 3)), dict(x=(1, 13, 1, 4), k=(3, 3), stride=(2, 2)),
        dict(x=(1, 4, 4, 16), k=(4, 4), padding=VALID), dict(x=(1, 6, 6, 16), per_channel=False, only_int8=True),
        dict(x=(1, 6, 6, 20), bias=False), dict(x=(1, 5, 5, 16), factor=60.0, only_int8=True),
        dict(x=(1, 5, 5, 16), factor=1e6, only_int8=True), dict(x=(1, 5, 5, 16), factor=1e-3, only_int8=True),
        dict(x=(1, 5, 5, 16), zero=-128, out_zero=127, only_int8=True),
        dict(x=(1, 5, 5, 16), zero=127, out_zero=-128, act=RELU6, only_int8=True),
        dict(x=(1, 5, 5, 16), zero=127, weights=-128, k=(7, 7), only_int8=True),
        dict(x=(1, 5, 5, 16), zero=-128, weights=127, k=(5, 5), act=RELU, only_int8=True),
        dict(x=(1, 5, 5, 16), act=RELU_N1, factor=0.01), dict(x=(1, 5, 5, 16), bias_size=5000.0, only_int8=True),
        dict(x=(1, 8, 9, 16), stride=(1, 2)), dict(x=(1, 8, 9, 16), stride=(3, 1), k=(2, 3)),
    ]])
    return fam.cases


def fully_connected():
    fam = Family(103)
    rng = fam.rng
    variants = [((1, 16), 10, {}), ((1, 7), 3, {}), ((4, 17), 33, dict(act=RELU)), ((3, 1), 1, {}), ((2, 33), 2, dict(bias=False)),
                ((1, 3, 3, 4), 9, dict(flat=36)), ((2, 3, 8), 5, dict(keep=True)), ((2, 2, 8), 5, dict(act=RELU6)),
                ((1, 40), 64, dict(per_channel=True)), ((5, 16), 16, dict(per_channel=True, act=RELU)),
                ((1, 300), 4, {}), ((1, 16), 10, dict(factor=90.0)), ((1, 16), 10, dict(factor=1e-4)),
                ((1, 16), 10, dict(zero=-128, out_zero=127)), ((1, 16), 10, dict(zero=127, out_zero=-128, act=RELU_N1)),
                ((1, 1, 1, 16), 10, {}),
                ((16, 16), 4, {}), ((1, 64), 100, {}), ((2, 2, 2, 2, 4), 3, dict(keep=True))]
    for i, (shape, units, v) in enumerate(variants):
        for dtype in (I8, F32):
            if dtype == F32 and set(v) & {"factor", "zero", "per_channel"}:
                continue
            net = Net()
            depth = v.get("flat", shape[-1])
            rows = int(np.prod(shape)) // depth
            out = list(shape[:-1]) + [units] if v.get("keep") else [rows, units]
            x = activation_in(net, shape, dtype, 0.05, v.get("zero", int(rng.integers(-128, 128))))
            if dtype == I8:
                per_channel = v.get("per_channel")
                s = 0.01 * 2.0 ** rng.uniform(-2, 2, units) if per_channel else np.array([0.013])
                w = net.const(rng.integers(-127, 128, (units, depth)), I8, scale=s,
                              zero=[0] * len(s))
                bs = (np.float32(0.05) * s.astype(F32)).astype(F32)
                b = net.const(rng.integers(-9000, 9001, units), np.int32, scale=bs, zero=[0] * len(s))
                y = net.output(out, I8, scale=0.05 * 0.013 * 74 * 73 * depth ** 0.5 / 55 / v.get("factor", 1.0),
                               zero=v.get("out_zero", int(rng.integers(-128, 128))))
            else:
                w = net.const(rng.standard_normal((units, depth)), F32)
                b = net.const(rng.standard_normal(units), F32)
                y = net.output(out, F32)
            net.op("FULLY_CONNECTED", [x, w, b if v.get("bias", True) else -1], [y], activation=v.get("act", NONE),
                   keep_num_dims=v.get("keep", False))
            fam.add("fully_connected %d %s" % (i, np.dtype(dtype).name), net)
    return fam.cases


def rounding():
    """Sums at and beside the middle between two results: weights are 0 and the biases are the sums."""
    fam = Family(110)
    for i, factor in enumerate([1 / 8, 0.0375, 0.5, 1.7, 2.0 ** -15, 3e-5, 1e-6]):
        middles = (np.arange(-131, 131, 3) + 0.5) / float(F32(factor))
        sums = np.unique(np.rint(middles)[:, None] + [-1, 0, 1]).astype(np.int32)
        n = len(sums)
        for op in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "FULLY_CONNECTED per channel"):
            net = Net()
            per_channel = "CONV" in op or "per" in op
            q = dict(scale=[1.0] * n, zero=[0] * n) if per_channel else dict(scale=[1.0], zero=[0])
            fc, depthwise = op.startswith("FULLY"), op.startswith("DEPTH")
            x = net.input((1, 1) if fc else (1, 1, 1, 1), I8, scale=1.0, zero=0)
            shape = (n, 1) if fc else (1, 1, 1, n) if depthwise else (n, 1, 1, 1)
            w = net.const(np.zeros(shape), I8, axis=3 if depthwise else 0, **q)
            b = net.const(sums, np.int32, **q)
            y = net.output((1, n) if fc else (1, 1, 1, n), I8, scale=1 / factor, zero=3)
            given = dict(padding=VALID, stride_w=1, stride_h=1, dilation_w=1, dilation_h=1)
            if depthwise:
                given["depth_multiplier"] = n
            net.op(op.split()[0], [x, w, b], [y], **({} if fc else given))
            fam.add("rounding %d %s" % (i, op.lower()), net, runs=[[np.zeros(net.tensors[x][0], I8)]])
    return fam.cases


def binary():
    fam = Family(104)
    rng = fam.rng
    shapes = [((1, 4, 4, 16), (1, 4, 4, 16)), ((1, 3, 5, 7), (1, 3, 5, 7)), ((1, 4, 4, 17), (17,)), ((17,), (1, 4, 4, 17)),
              ((1, 4, 4, 16), (1, 1, 1, 16)), ((2, 3, 4, 5), (1, 3, 1, 5)), ((1, 3, 1, 5), (2, 1, 4, 5)), ((1, 4, 4, 16), (1,)),
              ((1, 1, 1, 1), (1, 3, 3, 33)), ((1, 4, 6, 3), (1, 4, 6, 1)), ((1, 4, 6, 3), (4, 1, 1)), ((6, 3), (6, 1)),
              ((5,), (5,)), ((2, 3, 2, 3, 4), (3, 1, 3, 4)), ((1, 6, 1), (4, 1, 5)), ((1, 4, 5, 1), (1, 1, 1, 8))]
    quants = [(0.05, 3, 0.03, -7, 0.06, 11), (0.05, -128, 0.05, -128, 0.1, -128), (0.02, 127, 1.5, 0, 1.4, -20),
              (7.0, 10, 0.001, 10, 6.0, 127), (0.05, 0, 0.05, 0, 0.004, 0), (0.05, -50, 0.07, 60, 3.0, 0),
              (0.1, 127, 0.1, -128, 0.2, 5)]
    for op in ("ADD", "SUB", "MUL"):
        def one(i, a, b, q, dtype, act=NONE, const=None):
            net = Net()
            both = []
            for j, shape in enumerate((a, b)):
                if const == j:
                    data = rng.integers(-128, 128, shape) if dtype == I8 else rng.standard_normal(shape)
                    both.append(net.const(data, dtype, **(dict(scale=q[2 * j], zero=q[2 * j + 1]) if dtype == I8 else {})))
                else:
                    both.append(activation_in(net, shape, dtype, q[2 * j], q[2 * j + 1]))
            scale = q[4] if op != "MUL" else q[0] * q[2] * (q[4] / max(q[0], q[2])) * 60
            out = np.broadcast_shapes(a, b)
            y = net.output(out, I8, scale=scale, zero=q[5]) if dtype == I8 else net.output(out, F32)
            net.op(op, both, [y], activation=act)
            fam.add("%s %d %s" % (op.lower(), i, np.dtype(dtype).name), net)
        i = 0
        for a, b in shapes:
            for dtype in (I8, F32):
                one(i, a, b, quants[0], dtype)
            i += 1
        for k, q in enumerate(quants):
            one(i, (1, 4, 4, 16), (1, 4, 4, 16), q, I8, act=(NONE, RELU, RELU6, NONE, RELU_N1, NONE, RELU)[k])
            i += 1
        for act in (RELU, RELU6, RELU_N1):
            one(i, (1, 3, 3, 5), (1, 3, 3, 5), quants[0], F32, act)
            i += 1
        for a, b, const in (((1, 4, 4, 8), (8,), 1), ((1, 4, 4, 8), (1, 4, 4, 8), 0), ((1,), (1, 4, 4, 3), 0),
                            ((1, 4, 4, 3), (), 1), ((1, 1, 4, 3), (2, 4, 1, 1), 0)):
            for dtype in (I8, F32):
                one(i, a, b, quants[1], dtype, RELU6, const)
            i += 1
        net = Net()
        x = net.input((1, 4, 4, 9), I8, scale=0.05, zero=3)
        net.op(op, [x, x], [net.output((1, 4, 4, 9), I8, scale=0.11, zero=-3)], activation=NONE)
        fam.add("%s of itself int8" % op.lower(), net)
    return fam.cases


def pools():
    fam = Family(105)
    variants = [((1, 8, 8, 16), 2, 2, 2, 2, VALID, NONE), ((1, 7, 9, 3), 3, 3, 2, 2, SAME, NONE), ((1, 7, 9, 17), 3, 3, 1, 1, SAME, RELU),
                ((2, 5, 5, 7), 2, 3, 2, 1, VALID, NONE), ((1, 6, 6, 33), 6, 6, 1, 1, VALID, NONE), ((1, 5, 4, 1), 3, 2, 1, 2, SAME, RELU6),
                ((1, 3, 3, 8), 5, 5, 1, 1, SAME, NONE), ((1, 5, 5, 16), 1, 1, 2, 2, VALID, NONE), ((3, 4, 6, 5), 4, 4, 3, 3, SAME, RELU_N1),
                ((1, 9, 2, 48), 3, 2, 3, 2, SAME, NONE), ((1, 1, 1, 20), 1, 1, 1, 1, VALID, RELU), ((1, 13, 11, 2), 11, 9, 1, 1, VALID, NONE),
                ((1, 4, 5, 16), 2, 2, 3, 3, SAME, NONE)]
    for op in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
        for i, (shape, kh, kw, sh, sw, padding, act) in enumerate(variants):
            out = [shape[0], out_size(shape[1], kh, sh, 1, padding), out_size(shape[2], kw, sw, 1, padding), shape[3]]
            for dtype in (I8, F32):
                net = Net()
                q = dict(scale=0.03, zero=int(fam.rng.integers(-128, 128))) if dtype == I8 else {}
                x = net.input(shape, dtype, **q)
                net.op(op, [x], [net.output(out, dtype, **q)], padding=padding, stride_w=sw, stride_h=sh, filter_w=kw,
                       filter_h=kh, activation=act)
                fam.add("%s %d %s" % (op.lower(), i, np.dtype(dtype).name), net)
    return fam.cases


def reductions():
    fam = Family(106)
    variants = [((1, 4, 4, 16), (1, 2), False), ((1, 4, 4, 16), (1, 2), True), ((2, 5, 3, 7), (2, 1), True), ((1, 4, 4, 3), (3,), False),
                ((1, 4, 4, 3), (-1,), True), ((2, 3, 4, 5), (0,), False), ((2, 3, 4, 5), (0, 3), True), ((2, 3, 4, 5), (1,), False),
                ((2, 3, 4, 5), (2,), True), ((2, 3, 4, 5), (0, 1, 2, 3), False), ((2, 3, 4, 5), (-2, -3), False), ((6, 9), (1,), False),
                ((6, 9), (0,), True), ((33,), (0,), False), ((2, 3, 4), (1,), True), ((1, 7, 7, 33), (1, 2), False),
                ((2, 2, 3, 2, 3), (1, 3), False), ((1, 1, 1, 8), (1, 2), True), ((2, 3, 4, 5), (1, 1), True), ((1, 16, 16, 2), (1, 2), True)]
    for i, (shape, axes, keep) in enumerate(variants):
        for same, dtype in ((True, I8), (False, I8), (False, F32)):
            net = Net()
            zero = int(fam.rng.integers(-128, 128))
            q = dict(scale=0.03, zero=zero) if dtype == I8 else {}
            qo = q if same or dtype == F32 else dict(scale=float(fam.rng.uniform(0.004, 0.05)), zero=int(fam.rng.integers(-128, 128)))
            x = net.input(shape, dtype, **q)
            gone = {a % len(shape) for a in axes}
            out = [1 if d in gone else s for d, s in enumerate(shape) if keep or d not in gone]
            net.op("MEAN", [x, net.const(list(axes))], [net.output(out, dtype, **qo)], keep_dims=keep)
            fam.add("mean %d %s%s" % (i, np.dtype(dtype).name, " same scale" if same else ""), net)
    softmaxes = [((1, 10), 1.0, 0.1, 0), ((1, 1000), 1.0, 0.2, -44), ((2, 2), 1.0, 0.3, 50), ((1, 3, 4, 5), 1.0, 0.05, 127), ((7,), 1.0, 1.0, -128),
                 ((4, 17), 0.5, 0.1, 3), ((4, 33), 3.0, 0.1, 3), ((5, 1), 1.0, 0.1, 3), ((2, 64), 1.0, 0.001, 0), ((2, 64), 1.0, 8.0, 0),
                 ((2, 3, 16), 1.0, 0.02, 1), ((1, 256), 1.0, 0.004, -128), ((3, 20), 0.01, 0.1, 0)]
    for i, (shape, beta, scale, zero) in enumerate(softmaxes):
        for dtype in (I8, F32):
            net = Net()
            x = activation_in(net, shape, dtype, scale, zero)
            y = net.output(shape, I8, scale=1 / 256, zero=-128) if dtype == I8 else net.output(shape, F32)
            net.op("SOFTMAX", [x], [y], beta=beta)
            fam.add("softmax %d %s" % (i, np.dtype(dtype).name), net, tolerance=0.0 if dtype == I8 else 4e-6)
    return fam.cases


def unary():
    fam = Family(107)
    every = [[np.arange(-128, 128).reshape(1, 16, 16, 1).astype(I8)]]
    quants = [(0.05, 0, 0.05, 0), (0.05, -128, 0.0235, -128), (0.1, 127, 0.03, -20), (0.004, 10, 0.004, 10), (1.0, -3, 2.0, 7),
              (0.02, 60, 0.4, -128), (0.3, -128, 0.02, 127), (0.0235, 0, 0.0235, -128), (12.5, 5, 0.05, -100)]
    for op in ("LOGISTIC", "HARD_SWISH", "RELU", "RELU6"):
        for i, (s, z, so, zo) in enumerate(quants):
            net = Net()
            x = net.input((1, 16, 16, 1), I8, scale=s, zero=z)
            if op == "LOGISTIC":
                so, zo = 1 / 256, -128
            net.op(op, [x], [net.output((1, 16, 16, 1), I8, scale=so, zero=zo)])
            fam.add("%s %d int8" % (op.lower(), i), net, runs=every)
        for i, shape in enumerate([(1, 5, 3, 7), (2, 3, 4, 16), (33,)]):
            for dtype in (I8, F32):
                net = Net()
                x = activation_in(net, shape, dtype, 0.07, 20)
                y = net.output(shape, F32) if dtype == F32 else net.output(
                    shape, I8, scale=1 / 256 if op == "LOGISTIC" else 0.06, zero=-128)
                net.op(op, [x], [y])
                fam.add("%s shape %d %s" % (op.lower(), i, np.dtype(dtype).name), net,
                        tolerance=4e-6 if dtype == F32 and op == "LOGISTIC" else 0.0)
    return fam.cases


def quantization():
    fam = Family(108)
    rng = fam.rng
    for i, (s, z, so, zo) in enumerate([(0.05, 0, 0.05, 0), (0.05, 0, 0.05, -10), (0.05, -128, 0.1, 127), (0.1, 3, 0.01, -3),
                                        (0.003, 127, 0.9, -128), (1 / 255, -128, 1 / 127, 0), (3.0, 5, 0.01, 9), (0.02, 1, 0.04, 1)]):
        net = Net()
        x = net.input((1, 16, 16, 1), I8, scale=s, zero=z)
        net.op("QUANTIZE", [x], [net.output((1, 16, 16, 1), I8, scale=so, zero=zo)])
        fam.add("quantize %d int8" % i, net, runs=[[np.arange(-128, 128).reshape(1, 16, 16, 1).astype(I8)]])
        net = Net()
        x = net.input((1, 16, 16, 1), I8, scale=s, zero=z)
        net.op("DEQUANTIZE", [x], [net.output((1, 16, 16, 1), F32)])
        fam.add("dequantize %d int8" % i, net, runs=[[np.arange(-128, 128).reshape(1, 16, 16, 1).astype(I8)]])
        net = Net()
        shape = (1, 5, 7, 9)
        x = net.input(shape, F32)
        net.op("QUANTIZE", [x], [net.output(shape, I8, scale=so, zero=zo)])
        ties = (rng.integers(-300, 300, shape) / 2 * np.float32(so)).astype(F32)
        wide = rng.uniform(-200 * so, 200 * so, shape).astype(F32)
        near = np.nextafter(ties, np.where(rng.integers(0, 2, shape), 1e9, -1e9).astype(F32))
        far = rng.choice([-0.0, 0.0, 1e-30, -1e-30, 1e6 * so, -1e6 * so, 130 * so, -130 * so], shape).astype(F32)
        fam.add("quantize %d float32" % i, net, runs=[[ties], [wide], [near], [far]])
    return fam.cases


def resize():
    fam = Family(109)
    variants = [((1, 4, 4, 3), (8, 8)), ((1, 4, 5, 16), (7, 3)), ((1, 3, 3, 17), (7, 8)), ((2, 5, 3, 2), (2, 7)), ((1, 6, 6, 1), (3, 3)),
                ((1, 1, 1, 8), (4, 3)), ((1, 7, 5, 4), (1, 1)), ((1, 5, 7, 3), (5, 7)), ((1, 2, 3, 33), (5, 6)), ((1, 8, 9, 5), (5, 4))]
    for op in ("RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR"):
        for i, (shape, size) in enumerate(variants):
            for align, half in ((False, False), (True, False), (False, True)):
                for dtype in (I8, F32):
                    net = Net()
                    q = dict(scale=0.03, zero=int(fam.rng.integers(-128, 128))) if dtype == I8 else {}
                    x = net.input(shape, dtype, **q)
                    y = net.output((shape[0], *size, shape[3]), dtype, **q)
                    net.op(op, [x, net.const(list(size))], [y], align_corners=align, half_pixel_centers=half)
                    fam.add("%s %d%s%s %s" % (op.lower(), i, " align" * align, " half" * half, np.dtype(dtype).name), net,
                            n_runs=2)
        net = Net()
        x = net.input((1, 4, 4, 3), I8, scale=0.03, zero=0)
        net.op(op, [x, net.const([7, 7])], [net.output((1, 7, 7, 3), I8, scale=0.03, zero=0)], align_corners=True,
               half_pixel_centers=True)
        fam.add("%s align half int8" % op.lower(), net)
    return fam.cases


def cases():
    return (conv() + depthwise() + fully_connected() + rounding() + binary() + pools() + reductions() + unary() + quantization()
            + resize())
