#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the small models beside this file, which the conformance suite and other tests run.

Needs the packages numpy and onnx; the files are checked in, so that the tests do not.
"""

import os

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
RANDOM = np.random.default_rng(7)
F32, I64 = TensorProto.FLOAT, TensorProto.INT64


def weight(name, *shape):
    scale = 1 / np.sqrt(np.prod(shape[1:]) if len(shape) > 1 else 1)
    return numpy_helper.from_array((RANDOM.standard_normal(shape) * scale).astype(np.float32), name)


def ints(name, *values):
    return numpy_helper.from_array(np.array(values, np.int64), name)


def value(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


def save(name, nodes, inputs, outputs, weights=()):
    graph = helper.make_graph(nodes, name, inputs, outputs, list(weights))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8,
                              producer_name='modelmesh-tests')
    checker.check_model(model)
    with open(os.path.join(HERE, name + '.onnx'), 'wb') as file:
        file.write(model.SerializeToString())


def mlp():
    """Two layers, one by Gemm and one by MatMul, and a softmax."""
    node = helper.make_node
    save('mlp', [
        node('Gemm', ['x', 'w1', 'b1'], ['h'], transB=1),
        node('Relu', ['h'], ['r']),
        node('MatMul', ['r', 'w2'], ['m']),
        node('Add', ['m', 'b2'], ['logits']),
        node('Softmax', ['logits'], ['y'], axis=-1),
    ], [value('x', F32, ['N', 24])], [value('y', F32, ['N', 10])],
         [weight('w1', 40, 24), weight('b1', 40), weight('w2', 40, 10), weight('b2', 10)])


def image():
    """Convolution, batch normalisation, hard swish, depthwise, pool; a free image size."""
    node = helper.make_node
    variance = numpy_helper.from_array(RANDOM.uniform(0.5, 2, 16).astype(np.float32), 'var')
    save('image', [
        node('Conv', ['x', 'w1'], ['c'], pads=[1, 1, 1, 1], strides=[2, 2]),
        node('BatchNormalization', ['c', 'scale', 'shift', 'mean', 'var'], ['n']),
        node('HardSwish', ['n'], ['s']),
        node('Conv', ['s', 'w2', 'b2'], ['d'], pads=[2, 2, 2, 2], group=16),
        node('Relu', ['d'], ['r']),
        node('GlobalAveragePool', ['r'], ['p']),
        node('Flatten', ['p'], ['y']),
    ], [value('x', F32, ['N', 3, 'H', 'W'])], [value('y', F32, ['N', 16])],
         [weight('w1', 16, 3, 3, 3), weight('scale', 16), weight('shift', 16), weight('mean', 16),
          variance, weight('w2', 16, 1, 5, 5), weight('b2', 16)])


def rate():
    """A branch chosen by an input, as voice detectors have it; a state goes in and comes out."""
    node = helper.make_node

    def branch(name, factor):
        constant = node('Constant', [], [name + '_f'],
                        value=numpy_helper.from_array(np.float32(factor)))
        return helper.make_graph([constant, node('Mul', ['x', name + '_f'], [name])], name, [],
                                 [value(name, F32, None)])

    save('rate', [
        node('Constant', [], ['high'], value=numpy_helper.from_array(np.int64(16000))),
        node('Equal', ['sr', 'high'], ['is_high']),
        node('If', ['is_high'], ['scaled'], then_branch=branch('twice', 2),
             else_branch=branch('thrice', 3)),
        node('Add', ['scaled', 'state'], ['stateN']),
        node('ReduceMean', ['stateN'], ['y'], axes=[-1], keepdims=0),
    ], [value('x', F32, ['N', 8]), value('state', F32, ['N', 8]), value('sr', I64, [])],
         [value('y', F32, ['N']), value('stateN', F32, ['N', 8])])


def outputs():
    """Results that no step makes: an input, a constant, a view; one value under two names."""
    node = helper.make_node
    save('outputs', [
        node('Identity', ['x'], ['same']),
        node('Identity', ['w'], ['constant']),
        node('Reshape', ['x', 'flat'], ['view']),
        node('Abs', ['x'], ['a']),
        node('Identity', ['a'], ['again']),
        node('Shape', ['x'], ['shape']),
    ], [value('x', F32, ['N', 6])],
         [value('same', F32, ['N', 6]), value('constant', F32, [5, 20]), value('view', F32, [None]),
          value('a', F32, ['N', 6]), value('again', F32, ['N', 6]), value('shape', I64, [2])],
         [weight('w', 5, 20), ints('flat', -1)])


def lengths():
    """A padded batch with its mask, made from the lengths of its rows: as many as there are."""
    node = helper.make_node
    save('lengths', [
        node('ReduceMax', ['lengths'], ['longest'], keepdims=0),
        node('Range', ['zero', 'longest', 'one'], ['places']),
        node('Unsqueeze', ['lengths', 'last'], ['rows']),
        node('Less', ['places', 'rows'], ['mask']),
        node('Cast', ['mask'], ['m'], to=F32),
        node('Mul', ['m', 'x'], ['y']),
    ], [value('lengths', I64, ['N']), value('x', F32, ['N', 1])], [value('y', F32, ['N', 'L'])],
         [numpy_helper.from_array(np.int64(0), 'zero'), numpy_helper.from_array(np.int64(1), 'one'),
          ints('last', 1)])


if __name__ == '__main__':
    mlp()
    image()
    rate()
    outputs()
    lengths()
