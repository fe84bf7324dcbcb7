#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make the variants of the public models: the same graph, other weights, so that every model of the
zoo is a file of its own. Then write the list of all, models.txt: name, kind, file.

Usage: variants.py FOLDER      (reads and writes FOLDER/models)
"""

import os
import sys
import zlib

import numpy
import onnx
from onnx import numpy_helper

import models

SMALLEST = 256  # elements of a weight; what is smaller may be a constant that the graph relies on
STRENGTH = 0.02


def tensors(graph):
    """Every constant tensor of a graph and of the graphs within it."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                yield attribute.t
            elif attribute.type == onnx.AttributeProto.GRAPH:
                yield from tensors(attribute.g)


def perturb(data, seed):
    """The model's bytes with every f32 weight a little off."""
    model = onnx.load_model_from_string(data)
    random = numpy.random.default_rng(seed)
    for tensor in tensors(model.graph):
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size >= SMALLEST:
            noise = random.standard_normal(values.shape, dtype=numpy.float32)
            changed = values * (1 + numpy.float32(STRENGTH) * noise)
            tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))
    return model.SerializeToString()


def main(folder):
    folder = os.path.join(folder, 'models')
    lines = []
    wanted = sum(model.count for model in models.listed())
    for model in models.listed():
        original = os.path.join(folder, models.file_name(model.name))
        for number in range(model.count):
            name = f'{model.name}-{number:02}' if number else model.name
            lines.append(f'{name} {model.kind} {models.file_name(name)}\n')
            path = os.path.join(folder, models.file_name(name))
            if not os.path.exists(path):
                with open(original, 'rb') as file:
                    models.write(path, perturb(file.read(), [zlib.crc32(name.encode()), number]))
            print(f'{len(lines)} of {wanted} {name}', flush=True)
    models.write(os.path.join(folder, 'models.txt'), ''.join(lines).encode())


if __name__ == '__main__':
    try:
        main(sys.argv[1])
    except IndexError:
        sys.exit(__doc__)
    except OSError as failure:
        models.fail(failure)
