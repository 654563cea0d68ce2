# SPDX-License-Identifier: MIT
"""Gives a GGUF model of floats outliers by construction: the function stays, plain quantizing does not.

usage: make_outliers.py IN.gguf OUT.gguf [down]     (IN: F16 and F32 tensors alone; needs numpy and gguf)

In each layer six channels of attn_norm and of ffn_norm are multiplied by 32, 64 or 128, and the columns of the matrices that
read them divided by the same: powers of two, exact but for F16's smallest numbers. Four of the six channels are the same in all
layers, as in models of the field. With "down", twelve rows of ffn_up are multiplied by 8 or 16, and ffn_down's columns divided.
"""
import sys

import gguf
import numpy as np

FIXED = np.array([17, 138, 301, 466])
READERS = {"attn_norm": ("attn_q", "attn_k", "attn_v"), "ffn_norm": ("ffn_gate", "ffn_up")}


def scale_down(tensors, layer, rng):
    up, down = f"blk.{layer}.ffn_up.weight", f"blk.{layer}.ffn_down.weight"
    channels = rng.choice(tensors[up].shape[0], 12, replace=False)
    factors = (2.0 ** rng.choice([3, 4], 12)).astype(np.float32)
    w = tensors[up].astype(np.float32)
    w[channels] *= factors[:, None]
    tensors[up] = w.astype(np.float16)
    w = tensors[down].astype(np.float32)
    w[:, channels] /= factors
    tensors[down] = w.astype(np.float16)


def scale(tensors, layers, down):
    rng = np.random.RandomState(5)
    width = tensors["blk.0.attn_norm.weight"].size
    for i in range(layers):
        for norm, readers in READERS.items():
            own = rng.choice(np.setdiff1d(np.arange(width), FIXED), 2, replace=False)
            channels = np.concatenate([FIXED, own])
            factors = (2.0 ** rng.choice([5, 6, 7], 6)).astype(np.float32)
            tensors[f"blk.{i}.{norm}.weight"][channels] *= factors
            for name in readers:
                w = tensors[f"blk.{i}.{name}.weight"].astype(np.float32)
                w[:, channels] /= factors
                tensors[f"blk.{i}.{name}.weight"] = w.astype(np.float16)
        if down:
            scale_down(tensors, i, rng)


def main(source, target, down=None):
    reader = gguf.GGUFReader(source)
    tensors = {t.name: np.array(t.data) for t in reader.tensors}
    scale(tensors, reader.fields["llama.block_count"].contents(), down == "down")
    writer = gguf.GGUFWriter(target, "llama")
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        if field.types[0] == gguf.GGUFValueType.ARRAY:
            writer.add_key_value(key, field.contents(), field.types[0], sub_type=field.types[-1])
        else:
            writer.add_key_value(key, field.contents(), field.types[0])
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


main(*sys.argv[1:4])
