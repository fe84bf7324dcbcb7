#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How far results are from those of 64-bit arithmetic: ours, ours without Winograd's algorithm, and
ONNX Runtime's.

Usage: numerics.py [--build DIR] MODEL.onnx ...

MODELs are f32 with fixed shapes, such as networks.py writes. Each runs on random inputs; what is
right is the same graph with every f32 made f64, run by our plain kernels. Errors are relative to
the largest value of the output: the median and the worst of all elements. Needs the Python
environment of tests/differential.
"""

import argparse
import os
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, numpy_helper

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.append(os.path.join(ROOT, 'tests/differential'))
from ours import Ours  # noqa: E402


def widened(tensor):
    if tensor.data_type != TensorProto.FLOAT:
        return tensor
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name)


def in_f64(model):
    """The model with every f32 made f64."""
    wide = onnx.ModelProto.FromString(model.SerializeToString())
    graph = wide.graph
    for tensor in graph.initializer:
        tensor.CopyFrom(widened(tensor))
    for value in [*graph.input, *graph.output, *graph.value_info]:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                attribute.t.CopyFrom(widened(attribute.t))
            if node.op_type == 'Cast' and attribute.name == 'to':
                attribute.i = TensorProto.DOUBLE if attribute.i == TensorProto.FLOAT else \
                    attribute.i
    return wide


def random_inputs(model, seed):
    source = np.random.default_rng(seed)
    inputs = {}
    known = {tensor.name for tensor in model.graph.initializer}
    for value in model.graph.input:
        tensor = value.type.tensor_type
        shape = [axis.dim_value or 1 for axis in tensor.shape.dim]
        if value.name in known:
            continue
        inputs[value.name] = source.standard_normal(shape).astype(np.float32) \
            if tensor.elem_type == TensorProto.FLOAT else source.integers(0, 2, shape)
    return inputs


def error(got, right):
    off = np.abs(np.float64(got) - right) / max(np.abs(right).max(), 1e-300)
    return f'{np.median(off):8.1e} {off.max():8.1e}'


def measure(ours, path):
    model = onnx.load(path)
    inputs = random_inputs(model, 1)
    wide = {name: data.astype(np.float64) if data.dtype == np.float32 else data
            for name, data in inputs.items()}
    right = ours.run(in_f64(model).SerializeToString(), wide, 'passes=0')
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    data = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, options, providers=['CPUExecutionProvider'])
    runs = [ours.run(data, inputs), ours.run(data, inputs, 'winograd=0'),
            session.run(None, inputs)]
    name = os.path.splitext(os.path.basename(path))[0]
    for i, output in enumerate(right):
        print(f'{name if i == 0 else "":24}', *(f'{error(run[i], output):>20}' for run in runs),
              flush=True)


def main():
    arguments = argparse.ArgumentParser(usage=__doc__)
    arguments.add_argument('--build', default=os.path.join(ROOT, 'build/release'))
    arguments.add_argument('models', nargs='+')
    options = arguments.parse_args()
    ours = Ours(options.build)
    print(f'{"median and worst error":24} {"ours":>20} {"winograd=0":>20} {"ONNX Runtime":>20}')
    for path in options.models:
        measure(ours, path)


if __name__ == '__main__':
    main()
