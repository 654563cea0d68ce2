# SPDX-License-Identifier: MIT
"""Writes small TFLite files with the flatbuffers package, and runs them by LiteRT's reference kernels."""

import os
import pickle

import flatbuffers
import numpy as np
import tflite

TYPES = {np.dtype(np.float32): 0, np.dtype(np.int32): 2, np.dtype(np.uint8): 3, np.dtype(np.int64): 4,
         np.dtype(np.int8): 9}
SAME, VALID = 0, 1
NONE, RELU, RELU_N1, RELU6 = 0, 1, 2, 3

# Fields of each operator's options in the schema's order; a field that is not given is not written.
OPTIONS = {
    "CONV_2D": ("Conv2DOptions", "padding:b stride_w:i stride_h:i activation:b dilation_w:i dilation_h:i"),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", "padding:b stride_w:i stride_h:i depth_multiplier:i "
                          "activation:b dilation_w:i dilation_h:i"),
    "FULLY_CONNECTED": ("FullyConnectedOptions", "activation:b weights_format:b keep_num_dims:o"),
    "ADD": ("AddOptions", "activation:b"),
    "SUB": ("SubOptions", "activation:b"),
    "MUL": ("MulOptions", "activation:b"),
    "AVERAGE_POOL_2D": ("Pool2DOptions", "padding:b stride_w:i stride_h:i filter_w:i filter_h:i activation:b"),
    "MAX_POOL_2D": ("Pool2DOptions", "padding:b stride_w:i stride_h:i filter_w:i filter_h:i activation:b"),
    "MEAN": ("ReducerOptions", "keep_dims:o"),
    "PAD": ("PadOptions", ""),
    "RESHAPE": ("ReshapeOptions", "new_shape:v"),
    "SOFTMAX": ("SoftmaxOptions", "beta:f"),
    "LOGISTIC": (None, ""),
    "HARD_SWISH": ("HardSwishOptions", ""),
    "RELU": (None, ""),
    "RELU6": (None, ""),
    "CONCATENATION": ("ConcatenationOptions", "axis:i activation:b"),
    "SPLIT": ("SplitOptions", "num_splits:i"),
    "STRIDED_SLICE": ("StridedSliceOptions", "begin_mask:i end_mask:i ellipsis_mask:i new_axis_mask:i "
                      "shrink_axis_mask:i offset:o"),
    "TRANSPOSE": ("TransposeOptions", ""),
    "RESIZE_NEAREST_NEIGHBOR": ("ResizeNearestNeighborOptions", "align_corners:o half_pixel_centers:o"),
    "RESIZE_BILINEAR": ("ResizeBilinearOptions", "new_height:i new_width:i align_corners:o half_pixel_centers:o"),
    "SQUEEZE": ("SqueezeOptions", "squeeze_dims:v"),
    "QUANTIZE": ("QuantizeOptions", ""),
    "DEQUANTIZE": ("DequantizeOptions", ""),
}
# Versions in which the operators took int8; float32 is version 1.
VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4, "HARD_SWISH": 1, "RESHAPE": 1, "SQUEEZE": 1,
            "QUANTIZE": 1}


class Net:
    """Tensors and operators of one subgraph."""

    def __init__(self):
        self.tensors, self.ops, self.inputs, self.outputs = [], [], [], []

    def tensor(self, shape, dtype, scale=None, zero=0, data=None, axis=0):
        """A tensor's index. scale: None, a number, or one a channel of axis; data makes it a constant."""
        self.tensors.append((list(shape), np.dtype(dtype), scale, zero, data, axis))
        return len(self.tensors) - 1

    def const(self, data, dtype=np.int32, **quantization):
        data = np.asarray(data, dtype)
        return self.tensor(data.shape, dtype, data=data, **quantization)

    def input(self, *args, **kw):
        t = self.tensor(*args, **kw)
        self.inputs.append(t)
        return t

    def output(self, *args, **kw):
        t = self.tensor(*args, **kw)
        self.outputs.append(t)
        return t

    def op(self, code, inputs, outputs, **options):
        self.ops.append((code, inputs, outputs, options))

    def is_float(self, op):
        return all(self.tensors[t][1] != np.int8 for t in op[1] if t >= 0)

    def build(self):
        b = flatbuffers.Builder(1024)

        def vector(values, size, prepend):
            b.StartVector(size, len(values), size)
            for v in reversed(values):
                prepend(v)
            return b.EndVector()

        def ints(values):
            return vector(values, 4, b.PrependInt32)

        def offsets(values):
            return vector(values, 4, b.PrependUOffsetTRelative)

        def raw(data):
            b.StartVector(1, len(data), 16)
            b.head -= len(data)
            b.Bytes[b.head:b.head + len(data)] = data
            return b.EndVector()

        def table(n, *slots):
            """slots: (number, kind, value); None is left out."""
            b.StartObject(n)
            for number, kind, value in slots:
                if value is None:
                    continue
                {"b": b.PrependInt8Slot, "o": b.PrependBoolSlot, "i": b.PrependInt32Slot, "u": b.PrependUint32Slot,
                 "f": b.PrependFloat32Slot, "t": b.PrependUOffsetTRelativeSlot,
                 "y": b.PrependUint8Slot}[kind](number, value, 0 if kind != "f" else 0.0)
            return b.EndObject()

        def quantization(scale, zero, axis):
            if scale is None:
                return None
            scales = list(np.atleast_1d(np.asarray(scale, np.float32)))
            zeros = list(np.broadcast_to(np.asarray(zero, np.int64), (len(scales),)))
            s = vector(scales, 4, b.PrependFloat32)
            z = vector(zeros, 8, b.PrependInt64)
            return table(7, (2, "t", s), (3, "t", z), (6, "i", axis or None))

        buffers = [table(1)]
        tensors = []
        for i, (shape, dtype, scale, zero, data, axis) in enumerate(self.tensors):
            buffer = 0
            if data is not None:
                buffers.append(table(1, (0, "t", raw(np.ascontiguousarray(data, dtype).tobytes()))))
                buffer = len(buffers) - 1
            name = b.CreateString("t%d" % i)
            tensors.append(table(6, (0, "t", ints(shape)), (1, "b", TYPES[dtype]), (2, "u", buffer), (3, "t", name),
                                 (4, "t", quantization(scale, zero, axis))))
        codes, operators = [], []
        for op in self.ops:
            code, ins, outs, given = op
            key = (getattr(tflite.BuiltinOperator, code), 1 if self.is_float(op) else VERSIONS.get(code, 2))
            if key not in codes:
                codes.append(key)
            union, fields = OPTIONS[code]
            fields = [f.split(":") for f in fields.split()]
            if set(given) - {f[0] for f in fields}:
                raise ValueError("%s has no %s" % (code, given))
            slots = []
            for i, (field, kind) in enumerate(fields):
                if field not in given:
                    continue
                value = given[field]
                if kind == "v":
                    kind, value = "t", ints(value)
                slots.append((i, kind, value))
            options = table(len(fields), *slots) if union else None
            operators.append(table(5, (0, "u", codes.index(key)), (1, "t", ints(ins)), (2, "t", ints(outs)),
                                   (3, "y", getattr(tflite.BuiltinOptions, union) if union else None),
                                   (4, "t", options)))
        codes = [table(4, (0, "b", min(c, 127)), (2, "i", v), (3, "i", c)) for c, v in codes]
        graph = table(5, (0, "t", offsets(tensors)), (1, "t", ints(self.inputs)), (2, "t", ints(self.outputs)),
                      (3, "t", offsets(operators)))
        model = table(5, (0, "u", 3), (1, "t", offsets(codes)), (2, "t", offsets([graph])),
                      (4, "t", offsets(buffers)))
        b.Finish(model, b"TFL3")
        return bytes(b.Output())


def run_reference(model, runs):
    """Outputs of LiteRT's reference kernels for each run's inputs (arrays by input)."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType
    it = Interpreter(model_content=model, experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1)
    it.allocate_tensors()
    outs = []
    for run in runs:
        for d, x in zip(it.get_input_details(), run):
            it.set_tensor(d["index"], x)
        it.invoke()
        outs.append([it.get_tensor(d["index"]).copy() for d in it.get_output_details()])
    return outs


def run_apart(model, runs):
    """The same in a process of its own, for models on which LiteRT aborts. The outputs, or a sentence."""
    r, w = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(r)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            result = run_reference(model, runs)
        except Exception as e:
            result = str(e).strip().replace("\n", " ")
        with os.fdopen(w, "wb") as f:
            pickle.dump(result, f)
        os._exit(0)
    os.close(w)
    with os.fdopen(r, "rb") as f:
        data = f.read()
    os.waitpid(pid, 0)
    return pickle.loads(data) if data else "LiteRT aborted"
