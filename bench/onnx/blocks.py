# SPDX-License-Identifier: Apache-2.0
"""What networks are made of: a graph that knows its shapes, in the form that exporters write.

Weights are random with the variance that keeps activations about as large as they came. Everything
that PyTorch's exporter decomposes is decomposed here, batch norm behind a convolution is folded.
"""

import math
import zlib

import numpy
from onnx import TensorProto, helper, numpy_helper

# What keeps the variance through a convolution and the activation behind it.
GAINS = {None: 1, 'relu': 1.41, 'relu6': 1.41, 'leaky': 1.39, 'silu': 1.5, 'hardswish': 1.5,
         'gelu': 1.6, 'tanh': 1.6, 'sigmoid': 1}


def pair(value):
    return list(value) if isinstance(value, (tuple, list)) else [value, value]


class Net:
    """A graph under construction. Values are names; .shapes has the shape of each."""

    def __init__(self, name, seed, batch, opset=17):
        self.name, self.batch, self.opset = name, batch, opset
        self.random = numpy.random.default_rng([seed, zlib.crc32(name.encode())])
        self.nodes, self.weights, self.inputs, self.outputs = [], [], [], []
        self.shapes = {}

    # ---- Values ----

    def input(self, name, *shape):
        return self._input(name, TensorProto.FLOAT, shape, '')

    def integers(self, name, lowest, highest, *shape):
        """An int64 input, whose description says what values it may have."""
        return self._input(name, TensorProto.INT64, shape, f'{lowest}..{highest}')

    def _input(self, name, dtype, shape, text):
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape, text))
        self.shapes[name] = tuple(shape)
        return name

    def output(self, value, name='output', dtype=TensorProto.FLOAT):
        self.nodes.append(helper.make_node('Identity', [value], [name], name=name))
        self.outputs.append(helper.make_tensor_value_info(name, dtype, self.shapes[value]))

    def constant(self, array, name='const'):
        name = f'{name}_{len(self.weights)}'
        self.weights.append(numpy_helper.from_array(numpy.asarray(array), name))
        self.shapes[name] = numpy.shape(array)
        return name

    def number(self, value):
        return self.constant(numpy.float32(value))

    def whole(self, *values):
        return self.constant(numpy.array(values, numpy.int64))

    def normal(self, shape, deviation, name='weight'):
        array = self.random.standard_normal(shape, numpy.float32)
        return self.constant(array * numpy.float32(deviation), name)

    def near_one(self, count, name='scale'):
        array = 1 + 0.1 * self.random.standard_normal(count, numpy.float32)
        return self.constant(array.astype(numpy.float32), name)

    def add(self, op, inputs, shape, outputs=1, **attributes):
        """One node. shape: of its output; a list of them for several outputs."""
        base = f'{op}_{len(self.nodes)}'
        names = [base] if outputs == 1 else [f'{base}_{i}' for i in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, name=base, **attributes))
        for name, each in zip(names, [shape] if outputs == 1 else shape):
            self.shapes[name] = tuple(each)
        return names[0] if outputs == 1 else names

    def model(self):
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid('', self.opset)],
                                 ir_version=8, producer_name='networks.py')

    # ---- One element after another, and moves ----

    def unary(self, op, x, **attributes):
        return self.add(op, [x], self.shapes[x], **attributes)

    def binary(self, op, a, b):
        b = b if isinstance(b, str) else self.number(b)
        return self.add(op, [a, b], numpy.broadcast_shapes(self.shapes[a], self.shapes[b]))

    def activate(self, x, kind):
        if kind is None:
            return x
        if kind == 'relu6':
            return self.add('Clip', [x, self.number(0), self.number(6)], self.shapes[x])
        if kind == 'silu':
            return self.binary('Mul', x, self.unary('Sigmoid', x))
        if kind == 'gelu':  # x / sqrt(2), erf, + 1, times x, / 2
            erf = self.unary('Erf', self.binary('Div', x, math.sqrt(2)))
            return self.binary('Mul', self.binary('Mul', x, self.binary('Add', erf, 1)), 0.5)
        if kind == 'leaky':
            return self.unary('LeakyRelu', x, alpha=0.1)
        return self.unary({'relu': 'Relu', 'hardswish': 'HardSwish', 'tanh': 'Tanh',
                           'sigmoid': 'Sigmoid'}[kind], x)

    def reshape(self, x, *shape):
        """One axis may be -1."""
        elements = math.prod(self.shapes[x])
        known = math.prod(axis for axis in shape if axis != -1)
        full = [elements // known if axis == -1 else axis for axis in shape]
        return self.add('Reshape', [x, self.whole(*shape)], full)

    def transpose(self, x, *order):
        return self.add('Transpose', [x], [self.shapes[x][i] for i in order], perm=order)

    def concat(self, values, axis=1):
        shape = list(self.shapes[values[0]])
        shape[axis] = sum(self.shapes[value][axis] for value in values)
        return self.add('Concat', values, shape, axis=axis)

    def split(self, x, sizes, axis=1):
        shape = self.shapes[x]
        axis %= len(shape)
        shapes = [shape[:axis] + (size,) + shape[axis + 1:] for size in sizes]
        return self.add('Split', [x, self.whole(*sizes)], shapes, outputs=len(sizes), axis=axis)

    def slice(self, x, begin, end, axis):
        shape = list(self.shapes[x])
        shape[axis] = end - begin
        return self.add('Slice', [x, self.whole(begin), self.whole(end), self.whole(axis)], shape)

    def unsqueeze(self, x, *axes):
        shape = list(self.shapes[x])
        for axis in axes:
            shape.insert(axis, 1)
        return self.add('Unsqueeze', [x, self.whole(*axes)], shape)

    def resize(self, x, factor, mode='nearest'):
        """factor: a number, or a pair."""
        scales = pair(factor)
        n, c, h, w = self.shapes[x]
        form = {'nearest': {'coordinate_transformation_mode': 'asymmetric',
                            'nearest_mode': 'floor'},
                'linear': {'coordinate_transformation_mode': 'half_pixel'}}[mode]
        # Its scales are f32 whatever the type of the values is: their name says so.
        scale = self.constant(numpy.array([1, 1, *scales], numpy.float32), 'resize_scales')
        return self.add('Resize', [x, '', scale], [n, c, int(h * scales[0]), int(w * scales[1])],
                        mode=mode, **form)

    # ---- Layers ----

    def conv(self, x, channels, kernel=3, stride=1, act=None, groups=1, dilation=1, pad=None,
             gain=1.0):
        """1-d or 2-d as x is; pad None: keeps the size of a convolution of stride 1."""
        _, depth, *size = self.shapes[x]
        kernel, stride, dilation = [pair(each)[:len(size)] for each in (kernel, stride, dilation)]
        pads = ([(k - 1) * d // 2 for k, d in zip(kernel, dilation)] if pad is None
                else pair(pad)[:len(size)])
        deviation = gain * GAINS[act] / math.sqrt(depth // groups * math.prod(kernel))
        weight = self.normal([channels, depth // groups, *kernel], deviation)
        bias = self.normal([channels], 0.05, 'bias')
        size = [(n + 2 * p - d * (k - 1) - 1) // s + 1
                for n, p, d, k, s in zip(size, pads, dilation, kernel, stride)]
        y = self.add('Conv', [x, weight, bias], [self.shapes[x][0], channels, *size],
                     kernel_shape=kernel, strides=stride, dilations=dilation, pads=pads * 2,
                     group=groups)
        return self.activate(y, act)

    def conv_transpose(self, x, channels, kernel, stride, pad=0, act=None):
        n, depth, *size = self.shapes[x]
        kernel, stride, pads = [pair(each)[:len(size)] for each in (kernel, stride, pad)]
        taps = math.prod(max(k // s, 1) for k, s in zip(kernel, stride))
        weight = self.normal([depth, channels, *kernel], GAINS[act] / math.sqrt(depth * taps))
        size = [(i - 1) * s + k - 2 * p for i, s, k, p in zip(size, stride, kernel, pads)]
        y = self.add('ConvTranspose', [x, weight, self.normal([channels], 0.05, 'bias')],
                     [n, channels, *size], kernel_shape=kernel, strides=stride, pads=pads * 2)
        return self.activate(y, act)

    def pool(self, op, x, kernel, stride, pad=0):
        n, c, *size = self.shapes[x]
        kernel, stride, pads = pair(kernel), pair(stride), pair(pad)
        size = [(i + 2 * p - k) // s + 1 for i, p, k, s in zip(size, pads, kernel, stride)]
        return self.add(op, [x], [n, c, *size], kernel_shape=kernel, strides=stride,
                        pads=pads * 2)

    def max_pool(self, x, kernel, stride, pad=0):
        return self.pool('MaxPool', x, kernel, stride, pad)

    def global_pool(self, x):
        return self.add('GlobalAveragePool', [x], [*self.shapes[x][:2], 1, 1])

    def flatten(self, x):
        return self.add('Flatten', [x], [self.shapes[x][0], math.prod(self.shapes[x][1:])], axis=1)

    def linear(self, x, width, act=None, gain=1.0, bias=True):
        """Gemm of a matrix, MatMul and Add of more axes: what exporters write."""
        *rows, depth = self.shapes[x]
        deviation = gain * GAINS[act] / math.sqrt(depth)
        if len(rows) == 1:
            weight = self.normal([width, depth], deviation)
            y = self.add('Gemm', [x, weight, self.normal([width], 0.05, 'bias')], [*rows, width],
                         transB=1)
            return self.activate(y, act)
        y = self.add('MatMul', [x, self.normal([depth, width], deviation)], [*rows, width])
        if bias:
            added = self.normal([width], 0.05, 'bias')
            y = self.add('Add', [added, y], [*rows, width])
        return self.activate(y, act)

    def matmul(self, a, b):
        shape = (*numpy.broadcast_shapes(self.shapes[a][:-2], self.shapes[b][:-2]),
                 self.shapes[a][-2], self.shapes[b][-1])
        return self.add('MatMul', [a, b], shape)

    def batch_norm(self, x, act=None):
        count = self.shapes[x][1]
        mean, bias = (self.normal([count], 0.1, name) for name in ('mean', 'bias'))
        y = self.add('BatchNormalization',
                     [x, self.near_one(count), bias, mean, self.near_one(count, 'variance')],
                     self.shapes[x], epsilon=1e-5)
        return self.activate(y, act)

    def layer_norm(self, x):
        """Over the last axis; decomposed before opset 17, as exporters do."""
        width = self.shapes[x][-1]
        scale, bias = self.near_one(width), self.normal([width], 0.05, 'bias')
        if self.opset >= 17:
            return self.add('LayerNormalization', [x, scale, bias], self.shapes[x], axis=-1,
                            epsilon=1e-5)
        centred = self.binary('Sub', x, self.mean(x, -1))
        variance = self.mean(self.binary('Pow', centred, 2), -1)
        deviation = self.unary('Sqrt', self.binary('Add', variance, 1e-5))
        scaled = self.binary('Mul', self.binary('Div', centred, deviation), scale)
        return self.binary('Add', scaled, bias)

    def mean(self, x, *axes, keep=1):
        rank = len(self.shapes[x])
        gone = [axis % rank for axis in axes]
        shape = [1 if i in gone else n for i, n in enumerate(self.shapes[x]) if keep or
                 i not in gone]
        return self.add('ReduceMean', [x], shape, axes=axes, keepdims=keep)

    def group_norm(self, x, groups, act=None):
        """The exporter's form: an instance norm of the groups, then scale and bias."""
        n, c, h, w = self.shapes[x]
        one = self.constant(numpy.ones(groups, numpy.float32), 'ones')
        zero = self.constant(numpy.zeros(groups, numpy.float32), 'zeros')
        rows = self.reshape(x, n, groups, -1)
        y = self.add('InstanceNormalization', [rows, one, zero], self.shapes[rows], epsilon=1e-5)
        y = self.binary('Mul', self.reshape(y, n, c, h, w), self.constant(
            1 + 0.1 * self.random.standard_normal([c, 1, 1], numpy.float32), 'scale'))
        return self.activate(self.binary('Add', y, self.normal([c, 1, 1], 0.05, 'bias')), act)

    def squeeze_excite(self, x, width, act='relu', gate='Sigmoid'):
        y = self.conv(self.global_pool(x), width, 1, act=act)
        y = self.conv(y, self.shapes[x][1], 1)
        # A gate halves what passes: it is made up for where the next weights are drawn.
        scale = self.unary(gate, y, **({'alpha': 1 / 6} if gate == 'HardSigmoid' else {}))
        return self.binary('Mul', x, scale)

    def embedding(self, tokens, count, width, deviation=1.0):
        return self.add('Gather', [self.normal([count, width], deviation), tokens],
                        [*self.shapes[tokens], width])

    # ---- Attention and recurrence ----

    def attention(self, x, heads, mask=None, context=None):
        """Decomposed: three products, heads aside, scaled scores, softmax, and back."""
        n, length, width = self.shapes[x]
        context = context or x
        head = width // heads
        q, k, v = (self.transpose(self.reshape(self.linear(value, width), n, -1, heads, head),
                                  *order)
                   for value, order in ((x, (0, 2, 1, 3)), (context, (0, 2, 3, 1)),
                                        (context, (0, 2, 1, 3))))
        scores = self.binary('Div', self.matmul(q, k), math.sqrt(head))
        if mask:
            scores = self.binary('Add', scores, mask)
        y = self.matmul(self.unary('Softmax', scores, axis=-1), v)
        return self.linear(self.reshape(self.transpose(y, 0, 2, 1, 3), n, length, width), width)

    def transformer(self, x, heads, inner, mask=None, norm_first=False):
        if norm_first:
            x = self.binary('Add', self.attention(self.layer_norm(x), heads, mask), x)
            y = self.linear(self.linear(self.layer_norm(x), inner, 'gelu'), self.shapes[x][-1])
            return self.binary('Add', x, y)
        x = self.layer_norm(self.binary('Add', self.attention(x, heads, mask), x))
        y = self.linear(self.linear(x, inner, 'gelu'), self.shapes[x][-1])
        return self.layer_norm(self.binary('Add', y, x))

    def recurrent(self, x, hidden, op='LSTM', both_ways=True):
        """x: time, batch, width; so is the result, its directions side by side."""
        time, n, width = self.shapes[x]
        ways, gates = 1 + both_ways, {'LSTM': 4, 'GRU': 3}[op]
        deviation = 1 / math.sqrt(hidden)
        start = self.constant(numpy.zeros([ways, n, hidden], numpy.float32), 'start')
        inputs = [x, self.normal([ways, gates * hidden, width], 1 / math.sqrt(width)),
                  self.normal([ways, gates * hidden, hidden], deviation),
                  self.normal([ways, 2 * gates * hidden], 0.05, 'bias'), '', start]
        form = {'LSTM': {}, 'GRU': {'linear_before_reset': 1}}[op]
        y = self.add(op, inputs + [start] * (op == 'LSTM'), [time, ways, n, hidden],
                     hidden_size=hidden,
                     direction='bidirectional' if both_ways else 'forward', **form)
        if both_ways:
            return self.reshape(self.transpose(y, 0, 2, 1, 3), time, n, -1)
        return self.add('Squeeze', [y, self.whole(1)], [time, n, hidden])
