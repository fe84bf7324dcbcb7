# SPDX-License-Identifier: Apache-2.0
"""Chains made to meet the passes: what they fold, fuse, pack and clean."""

import numpy as np
from onnx import TensorProto as T

import neural
import reductions
from draw import NotNow, schema

ACTIVATIONS = ['Relu', 'LeakyRelu', 'Sigmoid', 'Tanh', 'HardSigmoid', 'HardSwish', 'Elu', 'Selu',
               'Softplus', 'Softsign', 'Clip', 'Gelu', 'Mish', 'Celu', 'PRelu', 'ThresholdedRelu',
               'Swish', 'Erf', 'Exp', 'Neg', 'Abs', 'Sqrt', 'Reciprocal', 'Floor', 'Sin']


class Chain:
    def __init__(self, d, add):
        self.d, self.put = d, add

    def node(self, op, inputs, attributes=None, exact=False):
        if schema(op, self.d.opset) is None:
            raise NotNow('no such operator')
        node = self.d.node(op, inputs, 1, attributes)
        self.put(node, exact)
        return node.outputs[0]

    def entry(self, draw, op):
        """A node as its description draws it, from the value there is."""
        node = draw(self.d, op)
        self.put(node, False)
        return node.outputs[0]

    def constant(self, data):
        kind = self.d.choice(['const', 'const', 'constant', 'input'])
        return self.d.add(np.asarray(data, np.float32), kind, free=False)

    def number(self):
        return self.constant(self.d.choice([0.0, 1.0, 2.0, 0.5, -1.0, 1e-3, self.d.number(-3, 3)]))


def channel_constant(c, x):
    """A constant of as many elements as there are channels, along them, or of other shapes."""
    d = c.d
    shape = d.shape_of(x)
    axis = 1 if len(shape) > 2 or d.chance(0.3) else len(shape) - 1
    other = [1] * len(shape)
    if shape and axis < len(shape):
        other[axis] = shape[axis]
    short = other[1:] if other and other[0] == 1 else other
    other = d.choice([other, other, other, short, [], shape, [1] * len(shape)])
    return c.constant(d.rng.normal(0, 1, other) if d.chance(0.5) else
                      d.rng.integers(-2, 3, other))


def affine(c, x):
    op = c.d.choice(['Mul', 'Add', 'Sub', 'Div', 'Mul', 'Add'])
    k = channel_constant(c, x)
    if op == 'Div' and (c.d.data(k) == 0).any():
        k = c.constant(2.0)
    return c.node(op, [x, k] if op in ('Div',) or c.d.chance(0.6) else [k, x])


def activation(c, x):
    d = c.d
    op = d.choice(ACTIVATIONS)
    attributes, inputs = {}, [x]
    if op in ('LeakyRelu', 'Elu', 'ThresholdedRelu', 'Swish'):
        attributes = d.some(alpha=lambda: d.number(-1, 2))
    elif op == 'Celu':
        attributes = d.some(alpha=lambda: d.number(0.2, 2))
    elif op == 'HardSigmoid':
        attributes = d.some(alpha=lambda: d.number(-1, 1), beta=lambda: d.number(-1, 1))
    elif op == 'Gelu':
        attributes = d.some(approximate=['none', 'tanh'])
    elif op == 'PRelu':
        inputs = [x, channel_constant(c, x)]
        if np.broadcast_shapes(*[tuple(d.shape_of(n)) for n in inputs]) != tuple(d.shape_of(x)):
            raise NotNow('a slope that does not fit')
    elif op == 'Clip' and d.opset >= 11:
        low, high = sorted([d.number(-2, 2), d.number(-2, 2)])
        inputs = [x, c.constant(low) if d.chance(0.7) else '', c.constant(high)]
    elif op == 'Clip':
        attributes = {'min': -1.0, 'max': 1.5}
    return c.node(op, inputs, attributes)


def binary(c, x):
    """Two values that nodes made, of shapes that fit."""
    d = c.d
    other = d.partner(x)
    return c.node(d.choice(['Add', 'Mul', 'Sub', 'Max', 'Min']), [x, other] if d.chance(0.5) else
                  [other, x])


def gelu(c, x):
    half, one, root = c.constant(0.5), c.constant(1.0), c.constant(np.sqrt(2.0))
    inner = c.node('Add', [c.node('Erf', [c.node('Div', [x, root])]), one])
    return c.node('Mul', [c.node('Mul', [x, inner]), half])


def silu(c, x):
    return c.node('Mul', [x, c.node('Sigmoid', [x])])


def layer_norm(c, x):
    """LayerNormalization in single nodes."""
    d = c.d
    if d.rank(x) == 0 or d.data(x).size == 0:
        raise NotNow('no axis')
    axes = [-1] if d.opset >= 11 else [d.rank(x) - 1]

    def mean(v):
        if d.opset >= 18:
            return c.node('ReduceMean', [v, d.ints(axes, kind='const')])
        return c.node('ReduceMean', [v], {'axes': axes})
    off = c.node('Sub', [x, mean(x)])
    square = c.node('Mul', [off, off]) if d.chance(0.3) else c.node('Pow', [off, c.constant(2.0)])
    root = c.node('Sqrt', [c.node('Add', [mean(square), c.constant(d.choice([1e-2, 0.1]))])])
    y = c.node('Div', [off, root])
    n = d.shape_of(x)[-1]
    if d.chance(0.8):
        y = c.node('Mul', [y, c.constant(d.rng.normal(0, 1, [n]))])
        if d.chance(0.8):
            y = c.node('Add', [y, c.constant(d.rng.normal(0, 1, [n]))])
    return y


def batch_norm(c, x):
    return c.entry(neural.batch_normalization, 'BatchNormalization')


def contraction(c, x):
    d = c.d
    rank = d.rank(x)
    if rank >= 3 and rank < 6 and d.chance(0.7):
        return c.entry(neural.conv, 'Conv') if d.chance(0.75) else \
            c.entry(neural.conv_transpose, 'ConvTranspose')
    if rank == 2 and d.chance(0.5):
        return c.entry(reductions.gemm, 'Gemm')
    return c.entry(reductions.matmul, 'MatMul')


def dequantized(c, x):
    """By a matrix of integers whose columns, or blocks of them, have scales."""
    d = c.d
    if d.rank(x) < 1 or d.opset < 13:
        raise NotNow('no matrix')
    k, m = d.shape_of(x)[-1], d.choice([d.integer(1, 20), d.integer(60, 140)])
    turned = d.rank(x) == 2 and d.chance(0.5)
    kind = d.choice([np.int8, np.uint8])
    block = d.integer(1, k) if k > 0 and d.opset >= 21 and d.chance(0.4) else 0
    scales = [-(-k // block), m] if block else d.choice([[], [m]])
    if turned and block:
        scales.reverse()
    low = -20 if kind == np.int8 else 0
    numbers = d.rng.integers(low, 100, [m, k] if turned else [k, m]).astype(kind)
    names = [d.add(numbers, 'const', free=False),
             d.add(np.asarray(d.rng.uniform(0.001, 0.01, scales), np.float32), 'const', free=False)]
    if d.chance(0.5):
        zeros = d.rng.integers(low, 100, scales)
        names.append(d.add(np.asarray(zeros, kind), 'const', free=False))
    attributes = {'axis': int(not turned) if not block else int(turned)}
    if block:
        attributes['block_size'] = block
    w = c.node('DequantizeLinear', names, attributes)
    return c.node('Gemm', [x, w], {'transB': 1}) if turned else c.node('MatMul', [x, w])


def same(c, x):
    """What changes nothing."""
    d = c.d
    how = d.integer(0, 5)
    if how == 0:
        return c.node('Identity', [x])
    if how == 1:
        return c.node('Dropout', [x])
    if how == 2:
        return c.node('Transpose', [c.node('Transpose', [x])])
    if how == 3:
        return c.node('Reshape', [x, d.ints(d.shape_of(x))])
    if how == 4:
        return c.node('Cast', [x], {'to': T.FLOAT})
    return c.node('Mul', [x, c.constant(1.0)])


def constants(c, x):
    """Nodes on constants alone, then one with x."""
    d = c.d
    k = d.leaf(T.FLOAT, d.choice([[], d.shape_of(x)]), 'const', mild=True)
    for _ in range(d.integer(1, 3)):
        k = c.node(d.choice(['Neg', 'Exp', 'Tanh', 'Relu', 'Identity']), [k])
    return c.node(d.choice(['Add', 'Mul', 'Max']), [x, k])


STEPS = [affine, affine, affine, activation, activation, activation, activation, binary, gelu, silu,
         layer_norm, batch_norm, batch_norm, contraction, contraction, contraction, dequantized,
         same, constants]


def start(d):
    shape = d.choice([d.shape(2), d.shape(3), d.shape(4), d.shape(4),
                      [1, d.integer(1, 8), d.integer(1, 9), d.integer(1, 9)],
                      [d.integer(1, 3), d.integer(1, 20), d.integer(1, 20)],
                      [1, 16, 5, 5], [d.integer(1, 9), 32]])
    return d.leaf(T.FLOAT, shape, 'input', mild=True)


def fusing(d, add, other):
    """add: a node into the graph; other: any node at all."""
    c = Chain(d, add)
    d.chain = True
    d.narrow_types = False
    x = start(d)
    steps, wanted = 0, d.integer(2, 9)
    while len(d.graph.nodes) < 12 and steps < wanted:
        steps += 1
        before = dict(d.graph.values), list(d.graph.nodes)
        try:
            if not d.graph.values[x].kind == 'made' and steps > 1:
                x = contraction(c, x)
            else:
                x = d.choice(STEPS)(c, x)
        except NotNow:
            d.graph.values, d.graph.nodes = before
            continue
        if d.data(x).size > 8000:
            break
        if d.chance(0.05):
            other()
    if not d.graph.nodes:
        other()
