# SPDX-License-Identifier: MIT
"""Small networks: chains that planners stream, residuals, branches, float ends, and random ones."""

import numpy as np

from cases_basic import F32, I8, Family, activation_in, add_conv, out_size
from tflite_builder import NONE, RELU, RELU6, SAME, VALID, Net, run_reference


class Chain:
    """Appends operators to a network; x is the last tensor."""

    def __init__(self, rng, shape, dtype):
        self.net, self.rng, self.dtype = Net(), rng, dtype
        self.x = activation_in(self.net, shape, dtype, 0.05, int(rng.integers(-128, 128)))

    def shape(self, t=None):
        return self.net.tensors[self.x if t is None else t][0]

    def quantization(self, t=None):
        s = self.net.tensors[self.x if t is None else t]
        return dict(scale=s[2], zero=s[3]) if self.dtype == I8 else {}

    def made(self, shape, **quantization):
        return self.net.tensor(shape, self.dtype, **(quantization if self.dtype == I8 else {}))

    def conv(self, oc, **kw):
        self.x = add_conv(self.net, self.rng, self.x, oc, last=False, bias_size=0.3, **kw)
        self.calibrate()
        return self

    def calibrate(self):
        """Fits the last tensor's scale to what random inputs make of it: else networks die out after a few layers."""
        if self.dtype != I8:
            return
        shape, least = self.net.tensors[self.net.inputs[0]][0], self.net.tensors[self.x][2] / 50
        run = [np.random.default_rng(7).integers(-128, 128, shape).astype(I8)]
        for _ in range(3):
            self.net.outputs = [self.x]
            t = list(self.net.tensors[self.x])
            got = run_reference(self.net.build(), [run])[0][0]
            lo, hi = (np.percentile(got.astype(np.int32), [1, 99]) - t[3]) * t[2]
            if got.max() == 127 and got.min() > -100 or got.min() == -128 and got.max() < 100 or hi - lo < t[2] * 8:
                lo, hi = min(lo * 2, -t[2] * 8), max(hi * 2, t[2] * 8)
            t[2] = max((hi - lo) / 255, least)
            t[3] = int(np.clip(round(-128 - lo / t[2]), -128, 127))
            self.net.tensors[self.x] = tuple(t)

    def depthwise(self, multiplier=1, **kw):
        return self.conv(0, depthwise=multiplier, **kw)

    def pool(self, op, k, stride, padding):
        n, h, w, c = self.shape()
        y = self.made([n, out_size(h, k, stride, 1, padding), out_size(w, k, stride, 1, padding), c], **self.quantization())
        self.net.op(op, [self.x], [y], padding=padding, stride_w=stride, stride_h=stride, filter_w=k, filter_h=k, activation=NONE)
        self.x = y
        return self

    def pad(self, top, bottom, left, right):
        n, h, w, c = self.shape()
        y = self.made([n, h + top + bottom, w + left + right, c], **self.quantization())
        self.net.op("PAD", [self.x, self.net.const([[0, 0], [top, bottom], [left, right], [0, 0]])], [y])
        self.x = y
        return self

    def binary(self, op, other, act=NONE):
        shape = np.broadcast_shapes(self.shape(), self.shape(other))
        q = {}
        if self.dtype == I8:
            a, b = self.quantization()["scale"], self.quantization(other)["scale"]
            q = dict(scale=a * b * 60 if op == "MUL" else max(a, b) * 1.3, zero=int(self.rng.integers(-128, 128)))
        y = self.made(shape, **q)
        self.net.op(op, [self.x, other], [y], activation=act)
        self.x = y
        self.calibrate()
        return self

    def unary(self, op, **given):
        q = self.quantization()
        if op == "LOGISTIC":
            q = dict(scale=1 / 256, zero=-128)
        elif op == "SOFTMAX":
            q, given = dict(scale=1 / 256, zero=-128), dict(beta=1.0)
        elif op == "HARD_SWISH" and self.dtype == I8:
            q = dict(scale=q["scale"] * 0.6, zero=-100)
        y = self.made(self.shape(), **q)
        self.net.op(op, [self.x], [y], **given)
        self.x = y
        return self

    def mean(self, keep):
        n, _, _, c = self.shape()
        y = self.made([n, 1, 1, c] if keep else [n, c], **self.quantization())
        self.net.op("MEAN", [self.x, self.net.const([1, 2])], [y], keep_dims=keep)
        self.x = y
        return self

    def reshape(self, shape):
        y = self.made(shape, **self.quantization())
        self.net.op("RESHAPE", [self.x, self.net.const(shape)], [y])
        self.x = y
        return self

    def resize(self, op, h, w, **kw):
        n, _, _, c = self.shape()
        y = self.made([n, h, w, c], **self.quantization())
        self.net.op(op, [self.x, self.net.const([h, w])], [y], **kw)
        self.x = y
        return self

    def concat(self, others):
        shape = list(self.shape())
        shape[3] += sum(self.shape(t)[3] for t in others)
        y = self.made(shape, **self.quantization())
        self.net.op("CONCATENATION", [self.x, *others], [y], axis=3, activation=NONE)
        self.x = y
        return self

    def done(self, *more):
        self.net.outputs = [self.x, *more]
        return self.net


def inverted_residual(c, expand, out, stride=1, k=3, add=True):
    """1x1, depthwise, 1x1, and the input added where the shapes agree (MobileNetV2)."""
    before = c.x
    c.conv(expand, k=(1, 1), act=RELU6).depthwise(k=(k, k), stride=(stride, stride), act=RELU6).conv(out, k=(1, 1))
    if add and c.shape() == c.shape(before):
        c.binary("ADD", before)
    return c


def fixed(fam, dtype, name):
    def new(shape):
        return Chain(fam.rng, shape, dtype)

    def add(what, c, *more, **kw):
        fam.add("net %s %s" % (what, name), c.done(*more), n_runs=3, **kw)

    c = new((1, 21, 17, 3)).conv(8, stride=(2, 2), act=RELU).depthwise(act=RELU).conv(4, k=(1, 1))
    inverted_residual(inverted_residual(c, 12, 4), 12, 6, stride=2)
    add("inverted residuals", c)
    c = new((1, 19, 19, 3)).pad(0, 1, 0, 1).conv(6, stride=(2, 2), padding=VALID, act=RELU6)
    add("pad before a convolution", c)
    c = new((1, 12, 12, 5)).pad(2, 2, 1, 3).depthwise(k=(5, 5), stride=(2, 2), padding=VALID)
    add("pad before a depthwise one", c)
    c = new((1, 12, 12, 5)).pad(1, 1, 1, 1)
    padded = c.x
    c.conv(4, padding=VALID)
    first = c.x
    c.x = padded
    c.conv(4, padding=VALID, k=(2, 2), stride=(2, 2))
    add("pad with two readers", c, first)
    c = new((1, 10, 9, 7)).pad(1, 2, 0, 1).pool("MAX_POOL_2D", 3, 2, VALID).pool("AVERAGE_POOL_2D", 2, 1, SAME)
    add("pad before pools", c)
    c = new((1, 16, 16, 4)).depthwise().depthwise(stride=(2, 2)).depthwise(2).pool("MAX_POOL_2D", 2, 2, VALID)
    add("depthwise in a row", c)
    c = new((1, 14, 13, 6)).conv(6)
    a = c.x
    c.conv(6, k=(1, 1))
    b = c.x
    c.binary("ADD", a).binary("SUB", b).binary("MUL", a)
    add("one tensor read often", c)
    c = new((1, 9, 9, 4)).conv(4)
    a = c.x
    c.depthwise().binary("ADD", a, RELU)
    add("output that is read inside", c, a)
    c = new((1, 9, 9, 4))
    c.net.outputs = []
    x = c.x
    c.conv(4).binary("ADD", x)
    add("input in a residual", c)
    c = new((1, 12, 10, 8)).conv(8)
    a = c.x
    c.mean(True).conv(4, k=(1, 1), act=RELU).conv(8, k=(1, 1)).unary("LOGISTIC").binary("MUL", a).conv(5, k=(1, 1))
    add("squeeze and excite", c, tolerance=0.0 if dtype == I8 else -1e-5)
    c = new((2, 9, 11, 3)).conv(6, stride=(2, 2)).depthwise().conv(6, k=(1, 1)).pool("AVERAGE_POOL_2D", 3, 2, SAME)
    add("two pictures", c)
    c = new((1, 8, 8, 3)).conv(8).unary("HARD_SWISH").mean(False).reshape([1, 1, 8]).reshape([1, 8]).unary("SOFTMAX")
    add("head", c, tolerance=0.0 if dtype == I8 else 4e-6)
    c = new((1, 6, 5, 4)).conv(4).resize("RESIZE_NEAREST_NEIGHBOR", 12, 10).depthwise().resize("RESIZE_BILINEAR", 7, 9, half_pixel_centers=True)
    add("resizing inside", c)
    c = new((1, 8, 8, 4)).conv(4)
    a = c.x
    c.unary("RELU")
    b = c.x
    c.x = a
    c.concat([b]).conv(6, k=(1, 1))
    add("concatenation inside", c)
    c = new((1, 4, 6, 4)).conv(4).reshape([1, 6, 4, 4]).depthwise().reshape([1, 24, 4, 1]).conv(2)
    add("reshapes inside", c)
    c = new((1, 5, 5, 3)).conv(4)
    a = c.x
    c.reshape([1, 100])
    add("reshape of an output", c, a)
    c = new((1, 5, 5, 4)).reshape([1, 100])
    add("reshape alone", c)


def float_ends(fam):
    """QUANTIZE at the input and DEQUANTIZE at the end, as converters write them."""
    for readers in (1, 2):
        net = Net()
        x = net.input((1, 11, 9, 3), F32)
        q = net.tensor((1, 11, 9, 3), I8, scale=1 / 128, zero=-1)
        net.op("QUANTIZE", [x], [q])
        y = add_conv(net, fam.rng, q, 6, stride=(2, 2), last=False, act=RELU)
        z = net.output(net.tensors[y][0], F32)
        net.op("DEQUANTIZE", [y], [z])
        if readers == 2:
            w = add_conv(net, fam.rng, x, 2, k=(1, 1), last=True)
            assert w in net.outputs
        shape = (1, 11, 9, 3)
        runs = [[(fam.rng.integers(-600, 600, shape) / d).astype(F32)] for d in (512.0, 256.0, 128.0)]
        fam.add("net float ends %d" % readers, net, runs=runs)


def random_net(fam, i):
    rng = fam.rng
    dtype = F32 if i % 5 == 4 else I8
    n = 2 if i % 7 == 3 else 1
    c = Chain(rng, (n, int(rng.integers(6, 21)), int(rng.integers(5, 17)), int(rng.choice([1, 3, 4, 7]))), dtype)
    kept = []
    for _ in range(int(rng.integers(4, 13))):
        _, h, w, ch = c.shape()
        k = int(rng.choice([1, 2, 3, 3, 5]))
        stride = int(rng.choice([1, 1, 1, 2])) if min(h, w) > 3 else 1
        padding = VALID if min(h, w) > 2 * k and rng.integers(2) else SAME
        act = int(rng.choice([NONE, RELU, RELU6]))
        what = int(rng.integers(0, 9))
        before = c.x
        if what < 2:
            c.conv(int(rng.choice([1, 3, 4, 8, 12])), k=(k, k), stride=(stride, stride), padding=padding, act=act)
        elif what < 4:
            c.depthwise(k=(k, k), stride=(stride, stride), padding=padding, act=act)
        elif what == 4:
            c.pool("MAX_POOL_2D" if rng.integers(2) else "AVERAGE_POOL_2D", min(k, 3), stride, padding)
        elif what == 5 and h * w < 300:
            t, b, l, r = (int(v) for v in rng.integers(0, 3, 4))
            c.pad(t, b, l, r).conv(4, k=(3, 3), padding=VALID) if min(h, w) > 3 else c
        elif what == 6:
            inverted_residual(c, ch + 5, ch, k=3)
        elif what == 7:
            same = [t for t in kept if c.shape(t) == c.shape() and t != c.x]
            c.binary(str(rng.choice(["ADD", "MUL", "SUB"])), same[-1] if same else c.x, act)
        else:
            c.unary(str(rng.choice(["RELU", "HARD_SWISH", "RELU6"])))
        if c.x != before:
            kept.append(c.x)
    extra = [kept[len(kept) // 2]] if i % 3 == 0 and len(kept) > 2 and kept[len(kept) // 2] != c.x else []
    fam.add("net random %d %s" % (i, np.dtype(dtype).name), c.done(*extra), n_runs=3)


def cases():
    fam = Family(301)
    fixed(fam, I8, "int8")
    fixed(fam, F32, "float32")
    float_ends(fam)
    for i in range(44):
        sub = Family(400 + i)
        random_net(sub, i)
        fam.cases += sub.cases
    return fam.cases
