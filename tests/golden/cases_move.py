# SPDX-License-Identifier: MIT
"""Cases of operators that move values: padding, joining, cutting, turning, other shapes."""

import numpy as np

from cases_basic import F32, I8, Family
from tflite_builder import Net


class Moves(Family):
    """Both types of one operator; its result has the input's quantization."""

    def both(self, name, shapes, outs, make, inputs_first=True):
        for dtype in (I8, F32):
            net = Net()
            q = dict(scale=0.03, zero=int(self.rng.integers(-128, 128))) if dtype == I8 else {}
            xs = [net.input(s, dtype, **q) for s in shapes]
            ys = [net.output(s, dtype, **q) for s in outs]
            make(net, xs, ys)
            self.add("%s %s" % (name, np.dtype(dtype).name), net, n_runs=3)


def pads(fam):
    variants = [((1, 4, 5, 3), [[0, 0], [1, 1], [2, 0], [0, 0]]), ((1, 4, 5, 16), [[0, 0], [0, 1], [0, 1], [0, 0]]),
                ((2, 3, 3, 5), [[1, 0], [0, 2], [1, 1], [3, 4]]), ((4, 7), [[1, 2], [3, 0]]), ((9,), [[2, 3]]),
                ((1, 2, 2, 17), [[0, 0], [0, 0], [0, 0], [0, 15]]), ((1, 2, 2, 3), [[0, 0]] * 4), ((3, 4, 5), [[0, 1], [2, 2], [1, 0]]),
                ((1, 2, 2, 2, 3), [[0, 0], [1, 0], [0, 1], [1, 1], [0, 2]])]
    for i, (shape, pad) in enumerate(variants):
        out = [n + a + b for n, (a, b) in zip(shape, pad)]
        for name, dtype in (("", np.int32), (" int64", np.int64)) if i < 2 else (("", np.int32),):
            fam.both("pad %d%s" % (i, name), [shape], [out],
                     lambda net, x, y: net.op("PAD", [x[0], net.const(pad, dtype)], y))


def joins(fam):
    variants = [([(1, 4, 4, 3), (1, 4, 4, 5)], 3), ([(1, 4, 4, 16), (1, 4, 4, 16), (1, 4, 4, 7)], -1), ([(1, 2, 3, 4), (1, 3, 3, 4)], 1),
                ([(1, 2, 3, 4), (1, 2, 1, 4), (1, 2, 2, 4)], 2), ([(1, 2, 2, 3), (2, 2, 2, 3)], 0), ([(3, 4), (3, 1)], 1), ([(5,), (6,), (1,)], 0),
                ([(1, 4, 4, 33)], 3), ([(2, 2, 3, 2, 2), (2, 2, 1, 2, 2)], 2), ([(1, 2, 2, 1)] * 4, -4 + 3), ([(2, 3, 4), (2, 5, 4)], -2)]
    for i, (shapes, axis) in enumerate(variants):
        out = list(shapes[0])
        out[axis] = sum(s[axis] for s in shapes)
        fam.both("concatenation %d" % i, shapes, [out], lambda net, x, y: net.op("CONCATENATION", x, y, axis=axis, activation=0))
    fam.both("concatenation of itself", [(1, 3, 3, 5)], [(1, 3, 3, 10)],
             lambda net, x, y: net.op("CONCATENATION", [x[0], x[0]], y, axis=3, activation=0))

    def with_constant(net, x, y):
        shape, dtype, scale, zero = net.tensors[x[0]][:4]
        data = fam.rng.integers(-128, 128, (1, 3, 3, 2))
        net.op("CONCATENATION", [net.const(data, dtype, scale=scale, zero=zero), x[0]], y, axis=3, activation=0)
    fam.both("concatenation with a constant", [(1, 3, 3, 5)], [(1, 3, 3, 7)], with_constant)
    for i, (shape, axis, n) in enumerate([((1, 4, 4, 6), 3, 2), ((1, 4, 4, 9), -1, 3), ((1, 6, 2, 3), 1, 3), ((2, 3, 4, 5), 0, 2),
                                          ((1, 3, 8, 2), 2, 4), ((8, 3), 0, 4), ((12,), 0, 3), ((1, 2, 2, 34), 3, 2), ((1, 3, 3, 4), 3, 1),
                                          ((2, 4, 3), -2, 2)]):
        out = list(shape)
        out[axis] //= n
        fam.both("split %d" % i, [shape], [out] * n,
                 lambda net, x, y: net.op("SPLIT", [net.const(axis), x[0]], y, num_splits=n))


def slices(fam):
    """Shapes of results are numpy's."""
    variants = [((1, 6, 6, 3), [0, 1, 2, 0], [1, 5, 6, 3], [1, 1, 1, 1], {}), ((1, 7, 8, 5), [0, 0, 1, 0], [1, 7, 8, 5], [1, 2, 3, 1], {}),
                ((1, 7, 8, 5), [0, 1, 1, 1], [0, 0, 0, 0], [1, 2, 2, 2], dict(end_mask=15)), ((1, 7, 8, 5), [0, 5, 3, 4], [1, 5, 2, 1], [1, 2, 1, 1], dict(begin_mask=15)),
                ((2, 4, 4, 6), [0, -3, -2, -6], [2, -1, 4, -1], [1, 1, 1, 1], {}), ((1, 6, 6, 3), [0, -1, 5, 0], [1, -7, -7, 3], [1, -1, -2, 1], {}),
                ((1, 5, 5, 4), [0, 0, 0, 3], [1, 5, 5, -5], [1, 1, 1, -1], {}), ((1, 6, 6, 3), [0, 2, 0, 0], [1, 3, 6, 3], [1, 1, 1, 1], dict(shrink_axis_mask=2)),
                ((1, 6, 6, 3), [0, 2, 4, 0], [1, 3, 5, 3], [1, 1, 1, 1], dict(shrink_axis_mask=7)), ((3, 4), [1, -2], [3, 100], [1, 1], {}),
                ((13,), [10], [-100], [-3], {}), ((13,), [-100], [100], [4], {}), ((3, 4, 5), [1, 0, 0], [2, 4, 5], [1, 2, 1], dict(shrink_axis_mask=1)),
                ((2, 3, 4, 17), [0, 0, 0, 0], [2, 3, 4, 16], [1, 1, 1, 1], {}), ((1, 4, 4, 33), [0, 0, 0, 1], [1, 4, 4, 33], [1, 1, 1, 4], {}),
                ((1, 6, 6, 3), [0, 0], [1, 4], [1, 1], {}), ((3, 4), [-1, 0], [0, 4], [1, 1], dict(shrink_axis_mask=1)),
                ((1, 6, 6, 3), [0, 5, 0, 0], [0, 0, 0, 0], [1, -2, 1, 1], dict(begin_mask=13, end_mask=15))]
    for i, (shape, begin, end, strides, masks) in enumerate(variants):
        index = []
        for d, (b, e, s) in enumerate(zip(begin, end, strides)):
            bit = 1 << d
            if masks.get("shrink_axis_mask", 0) & bit:
                index.append(b)
            else:
                index.append(slice(None if masks.get("begin_mask", 0) & bit else b, None if masks.get("end_mask", 0) & bit else e, s))
        out = np.zeros(shape)[tuple(index)].shape
        fam.both("strided_slice %d" % i, [shape], [out], lambda net, x, y: net.op(
            "STRIDED_SLICE", [x[0], net.const(begin), net.const(end), net.const(strides)], y, **masks))
    extra = [("ellipsis", (2, 3, 4, 5), [0, 1], [0, 4], [1, 1], dict(ellipsis_mask=1), (2, 3, 4, 3)),
             ("ellipsis last", (2, 3, 4, 5), [1, 0], [2, 0], [1, 1], dict(ellipsis_mask=2), (1, 3, 4, 5)),
             ("new axis", (3, 4), [0, 0, 1], [0, 3, 4], [1, 1, 1], dict(new_axis_mask=1), (1, 3, 3)),
             ("new axis inside", (3, 4), [0, 0, 1], [3, 0, 4], [1, 1, 2], dict(new_axis_mask=2), (3, 1, 2)),
             ("offset", (1, 6, 6, 3), [0, 1, 2, 0], [1, 3, 4, 3], [1, 1, 1, 1], dict(offset=True), (1, 3, 4, 3))]
    for name, shape, begin, end, strides, masks, out in extra:
        fam.both("strided_slice %s" % name, [shape], [out], lambda net, x, y: net.op(
            "STRIDED_SLICE", [x[0], net.const(begin), net.const(end), net.const(strides)], y, **masks))


def shapes(fam):
    for i, (shape, perm) in enumerate([((1, 4, 5, 3), (0, 3, 1, 2)), ((1, 3, 4, 5), (0, 2, 3, 1)), ((2, 3, 4, 5), (3, 2, 1, 0)), ((4, 7), (1, 0)),
                                       ((2, 3, 4), (2, 0, 1)), ((2, 3, 4), (1, 0, 2)), ((5,), (0,)), ((1, 4, 4, 17), (0, 2, 1, 3)),
                                       ((2, 3, 4, 5), (0, 1, 2, 3)), ((2, 3, 2, 3, 4), (4, 2, 0, 1, 3)), ((1, 4, 4, 2, 8), (0, 1, 2, 4, 3)),
                                       ((2, 1, 3, 2, 3, 2), (5, 0, 3, 2, 4, 1)), ((2, 3, 4, 5), (1, 0, 2, 3))]):
        fam.both("transpose %d" % i, [shape], [[shape[p] for p in perm]],
                 lambda net, x, y: net.op("TRANSPOSE", [x[0], net.const(perm)], y))
    for i, (shape, out, given, how) in enumerate([((1, 4, 4, 3), (1, 48), (1, 48), "input"), ((1, 4, 4, 3), (48,), (-1,), "input"),
                                                 ((6, 4), (2, 3, 4), (2, 3, 4), "option"), ((6, 4), (2, 3, 4), (2, -1, 4), "option"),
                                                 ((2, 3, 4), (1, 2, 3, 2, 2), (1, 2, 3, 2, -1), "both"), ((1, 1, 1, 17), (1, 17), (-1, 17), "both")]):
        def reshape(net, x, y):
            ins = [x[0]] + ([net.const(given)] if how != "option" else [])
            net.op("RESHAPE", ins, y, **(dict(new_shape=given) if how != "input" else {}))
        fam.both("reshape %d" % i, [shape], [out], reshape)
    for i, (shape, dims) in enumerate([((1, 1, 1, 9), [1, 2]), ((1, 3, 1, 5), []), ((2, 1, 3, 1), [-1]), ((1, 1, 4, 1), [0, -3]), ((1, 7), [0])]):
        gone = {d % len(shape) for d in dims} if dims else {d for d, n in enumerate(shape) if n == 1}
        out = [n for d, n in enumerate(shape) if d not in gone]
        fam.both("squeeze %d" % i, [shape], [out], lambda net, x, y: net.op("SQUEEZE", x, y, squeeze_dims=dims))


def cases():
    fam = Moves(201)
    pads(fam)
    joins(fam)
    slices(fam)
    shapes(fam)
    return fam.cases
