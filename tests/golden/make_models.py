# SPDX-License-Identifier: MIT
"""Makes models.pack: what LiteRT's reference kernels make of 200 inputs of each model in the test data.

    python make_models.py DATA [models.pack]

tests/golden.c makes the same inputs; README.md describes them.
"""

import os
import struct
import sys

import numpy as np
from PIL import Image

from tflite_builder import run_reference

MASK = (1 << 64) - 1
N = 200
CONSTANTS = [-128, 127, 0, -1, 1, -127, 64, -64, 100, -100]
SLOPES = [(1, 0, 0), (0, 1, 0), (1, 1, 0), (3, 5, 7), (0, 0, 85), (2, -3, 40), (7, 1, 128), (-1, 2, 60), (16, 0, 1), (0, 32, 3)]
CELLS = [1, 2, 3, 5, 8]
PICTURES = ["astronaut", "chelsea", "coffee"]
MODELS = [("mcunet-320kb-1mb_imagenet", (176, 176, 3), False), ("tinyengine-vww", (80, 80, 3), True),
          ("person_detect", (96, 96, 1), False)]
VWW_SCALE = np.float32(0.007839307188987732)


class Random:
    """xorshift64* (Vigna), eight bytes a step."""

    def __init__(self, model, index):
        self.x = (0x9E3779B97F4A7C15 * (model * 1000 + index + 1)) & MASK

    def next(self):
        x = self.x
        x ^= x >> 12
        x = (x ^ (x << 25)) & MASK
        x ^= x >> 27
        self.x = x
        return (x * 0x2545F4914F6CDD1D) & MASK

    def bytes(self, n):
        steps = [self.next() for _ in range(-(-n // 8))]
        return np.frombuffer(struct.pack("<%dQ" % len(steps), *steps), np.uint8)[:n]


def crop(picture, j, shape, random):
    h, w, c = shape
    ph, pw = picture.shape[:2]
    step = 1 + j // 3 % min(ph // h, pw // w)
    y = random.next() % (ph - (h - 1) * step)
    x = random.next() % (pw - (w - 1) * step)
    cut = picture[y:y + (h - 1) * step + 1:step, x:x + (w - 1) * step + 1:step]
    return cut if c == 3 else cut[:, :, j // 3 % 3:j // 3 % 3 + 1]


def pixels(model, i, shape, pictures):
    """Input i as int8."""
    h, w, c = shape
    random = Random(model, i)
    y, x, ch = np.indices(shape)
    if i < 80:
        v = random.bytes(h * w * c).view(np.int8)
    elif i < 100:
        v = random.bytes(h * w * c).view(np.int8) >> 3
    elif i < 160:
        v = crop(pictures[(i - 100) % 3], i - 100, shape, random).astype(np.int32) - 128
    elif i < 170:
        v = np.full(shape, CONSTANTS[i - 160])
    elif i < 180:
        a, b, k = SLOPES[i - 170]
        v = (a * x + b * y + k * ch) % 256 - 128
    elif i < 190:
        cell = CELLS[(i - 180) // 2]
        v = np.where((x // cell + y // cell + i) % 2, 127, -128)
    elif i < 195:
        v = np.where(random.bytes(h * w * c) < 128, -128, 127)
    else:
        v = np.where(random.bytes(h * w * c) < 4, 127, -128)
    return np.ascontiguousarray(v, np.int8).reshape((1, *shape))


def floats(v, i):
    """The input of a network that takes floats: over its range, beyond it, halves of its steps, and tiny values."""
    v = v.astype(np.float32)
    return [v / np.float32(128), v / np.float32(64), (v + np.float32(0.5)) * VWW_SCALE, v * np.float32(2.0 ** -20),
            v / np.float32(127)][i % 5]


def fnv(data):
    h = 0xCBF29CE484222325
    for b in data:
        h = ((h ^ b) * 0x100000001B3) & MASK
    return h


def load(path, name):
    with open(path, "rb") as f:
        data = bytearray(f.read())
    if name == "person_detect":
        fix_axes(data)
    return bytes(data)


def fix_axes(data):
    """Its biases have one dimension and name axis 3, which LiteRT 2.3 refuses: they get axis 0. No number changes."""
    import tflite
    model = tflite.Model.GetRootAs(data, 0)
    graph = model.Subgraphs(0)
    for i in range(graph.TensorsLength()):
        t = graph.Tensors(i)
        q = t.Quantization()
        if q is not None and q.QuantizedDimension() >= t.ShapeLength():
            at = q._tab.Offset(16) + q._tab.Pos
            data[at:at + 4] = bytes(4)


def main():
    folder = sys.argv[1]
    path = sys.argv[2] if len(sys.argv) > 2 else os.path.join(os.path.dirname(__file__), "models.pack")
    pictures = [np.asarray(Image.open("%s/images/%s.png" % (folder, p)).convert("RGB")) for p in PICTURES]
    data = b"WEIRNET1" + struct.pack("<II", len(MODELS), N)
    for m, (name, shape, is_float) in enumerate(MODELS):
        model = load("%s/cnn/%s.tflite" % (folder, name), name)
        inputs = [pixels(m, i, shape, pictures) for i in range(N)]
        if is_float:
            inputs = [floats(v, i) for i, v in enumerate(inputs)]
        outs = [o[0].tobytes() for o in run_reference(model, [[v] for v in inputs])]
        data += struct.pack("<64sI", name.encode(), len(outs[0]))
        for v, out in zip(inputs, outs):
            data += struct.pack("<Q", fnv(v.tobytes())) + out
        print(name, len(set(outs)), "different outputs of", len(outs))
    with open(path, "wb") as f:
        f.write(data)
    print(len(data), "bytes")


main()
