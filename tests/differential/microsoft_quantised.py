# SPDX-License-Identifier: Apache-2.0
"""Quantised operators of com.microsoft: products whose result is f32, and what is made of them."""

import numpy as np
from onnx import TensorProto as T

from draw import NotNow, operator
from microsoft import MS, tensor
from neural import windows
from quantised import byte, scale, zero_point
from values import numpy_type


def leave_out(names):
    """What is left out at the end is not there."""
    while not names[-1]:
        names.pop()
    return names


def kind(d):
    return 'const' if d.chance(0.6) else None


def bytes_of(d, dtype, shape, how=None):
    # Not the whole range: on CPUs without VNNI ONNX Runtime adds two products of u8 and i8 in 16
    # bits, and that sum saturates.
    low, high = (0, 127) if dtype == T.UINT8 else (-64, 63)
    return d.add(d.rng.integers(low, high + 1, shape).astype(numpy_type(dtype)), how)


def columns_of(d, columns):
    return d.choice([[], [1], [columns]])


@operator('MsMatMulIntegerToFloat', domain=MS)
def matmul_integer_to_float(d, op):
    n, k, m = d.integer(1, 20), d.integer(1, 20), d.integer(1, 20)
    batch = d.choice([[], [], [2], [2, 3]])
    a, b = byte(d), byte(d)
    each = columns_of(d, m)
    names = [bytes_of(d, a, batch + [n, k]),
             bytes_of(d, b, (batch if d.chance(0.3) else []) + [k, m], kind(d)),
             scale(d, T.FLOAT, d.choice([[], [1]])), scale(d, T.FLOAT, each),
             zero_point(d, a, []) if d.chance(0.6) else '',
             zero_point(d, b, each) if d.chance(0.6) else '',
             tensor(d, [m]) if d.chance(0.5) else '']
    return d.node('MatMulIntegerToFloat', leave_out(names), 1, {}, MS)


@operator('MsDynamicQuantizeMatMul', domain=MS)
def dynamic_quantize_matmul(d, op):
    n, k, m = d.integer(1, 20), d.integer(1, 20), d.integer(1, 20)
    batch = d.choice([[], [], [2], [2, 3]])
    b = byte(d)
    each = columns_of(d, m)
    names = [tensor(d, batch + [n, k]),
             bytes_of(d, b, (batch if d.chance(0.3) else []) + [k, m], kind(d)),
             scale(d, T.FLOAT, each), zero_point(d, b, each) if d.chance(0.6) else '',
             tensor(d, [m]) if d.chance(0.5) else '']
    return d.node('DynamicQuantizeMatMul', leave_out(names), 1, {}, MS)


@operator('MsMatMulNBits', domain=MS)
def matmul_nbits(d, op):
    n, k, m = d.choice([1, 1, d.integer(2, 20)]), d.integer(1, 200), d.integer(1, 100)
    bits, block = d.choice([4, 8]), d.choice([16, 32, 64, 128])
    blocks = -(-k // block)
    numbers = d.rng.integers(0, 256, (m, blocks, block * bits // 8)).astype(np.uint8)
    zeros = d.rng.integers(0, 256, m * -(-blocks * bits // 8)).astype(np.uint8)
    scales = d.rng.uniform(-0.01, 0.01, m * blocks).astype(np.float32)
    how = d.choice(['const', 'const', 'const', 'input'])
    names = [tensor(d, d.choice([[], [2]]) + [n, k]), d.add(numbers, how, free=False),
             d.add(scales, how, free=False),
             d.add(zeros, how, free=False) if d.chance(0.5) else '', '',
             tensor(d, [m]) if d.chance(0.5) else '']
    return d.node('MatMulNBits', leave_out(names), 1,
                  {'K': k, 'N': m, 'bits': bits, 'block_size': block}, MS)


@operator('MsMatMulInteger16', domain=MS, exact=True, weight=0.5)
def matmul_integer_16(d, op):
    n, k, m = d.integer(1, 20), d.integer(1, 20), d.integer(1, 20)
    batch = d.choice([[], [], [2], [2, 3]])
    names = [d.leaf(T.INT16, batch + [n, k]),
             d.leaf(T.INT16, (batch if d.chance(0.3) else []) + [k, m], kind(d))]
    return d.node('MatMulInteger16', names, 1, {}, MS)


@operator('MsDynamicQuantizeLSTM', domain=MS)
def dynamic_quantize_lstm(d, op):
    length, batch, size, hidden = d.integer(1, 4), d.integer(1, 3), d.integer(1, 9), d.integer(1, 6)
    direction = d.choice(['forward', 'reverse', 'bidirectional'])
    ways = 2 if direction == 'bidirectional' else 1
    attributes = {'hidden_size': hidden, 'direction': direction}
    if d.chance(0.2):
        attributes['activations'] = [d.choice(['Relu', 'Tanh', 'Sigmoid']) for _ in range(3 * ways)]
        length = min(length, 2)
    if d.chance(0.2):
        attributes['clip'] = d.number(0.3, 3)
    if d.chance(0.2):
        attributes['input_forget'] = d.integer(0, 1)

    dtype = byte(d)

    def weights(depth):
        each = d.choice([[ways], [ways, 4 * hidden]])
        scales = d.add((d.rng.uniform(0.002, 0.01, each)).astype(np.float32), kind(d), free=False)
        zeros = np.full(each, 0 if dtype == T.INT8 else d.integer(50, 70))
        zeros = d.add(zeros.astype(np.int8 if dtype == T.INT8 else np.uint8), kind(d), free=False)
        return bytes_of(d, dtype, [ways, depth, 4 * hidden], kind(d)), scales, zeros
    w, w_scale, w_zero = weights(size)
    r, r_scale, r_zero = weights(hidden)
    lengths = d.ints(d.integers(batch, 1, length), T.INT32) if d.chance(0.3) else ''
    names = [tensor(d, [length, batch, size]), w, r,
             tensor(d, [ways, 8 * hidden]) if d.chance(0.6) else '', lengths,
             tensor(d, [ways, batch, hidden]) if d.chance(0.4) else '',
             tensor(d, [ways, batch, hidden]) if d.chance(0.4) else '',
             tensor(d, [ways, 3 * hidden]) if d.chance(0.3) else '',
             w_scale, w_zero, r_scale, r_zero]
    node = d.node('DynamicQuantizeLSTM', names, d.choice([1, 2, 3]), attributes, MS)
    # Without Y ONNX Runtime quantises the states of sequences that have ended, too.
    if len(node.outputs) > 1 and d.chance(0.3) and not lengths:
        node.outputs[0] = ''
    return node


@operator('MsQAttention', domain=MS)
def q_attention(d, op):
    batch, heads, size = d.integer(1, 2), d.integer(1, 3), d.integer(1, 5)
    length, deep, past = d.integer(1, 4), d.integer(1, 9), d.integer(0, 3)
    wide = 3 * heads * size
    b = byte(d)
    each = columns_of(d, wide)
    attributes = {'num_heads': heads,
                  **d.some(scale=lambda: d.number(0.1, 1), unidirectional=[0, 1])}
    masks = [[batch], [2 * batch], [batch, past + length]]
    shape = d.choice(masks)
    if len(shape) == 2:
        mask = d.integers(batch * (past + length), 0, 1)
    else:
        mask = d.integers(batch, 1, past + length) + [0] * (shape[0] - batch)
    mask = d.add(np.array(mask, np.int32).reshape(shape), free=False) if d.chance(0.5) else ''
    small = d.add(np.array(d.number(0.01, 0.1), np.float32), free=False)
    names = [bytes_of(d, T.UINT8, [batch, length, deep]), bytes_of(d, b, [deep, wide], kind(d)),
             tensor(d, [wide]), small,
             d.add(d.rng.uniform(0.001, 0.02, each).astype(np.float32), kind(d), free=False), mask,
             zero_point(d, T.UINT8, []) if d.chance(0.6) else '',
             zero_point(d, b, each) if d.chance(0.6) else '']
    count = 1
    if past:
        names.append(tensor(d, [2, batch, heads, past, size]))
        count = 2
    elif d.chance(0.3):
        count = 2
    return d.node('QAttention', leave_out(names), count, attributes, MS)


@operator('MsQEmbedLayerNormalization', domain=MS, weight=0.5)
def q_embed_layer_norm(d, op):
    batch, length, size, dtype = d.integer(1, 3), d.integer(1, 4), d.integer(1, 9), byte(d)
    words, places, segments = d.integer(1, 6), length + d.integer(0, 2), d.integer(1, 3)
    has = d.chance(0.6)

    def ids(most):
        data = d.rng.integers(0, most, [batch, length]).astype(np.int32)
        return d.add(data, free=False)
    tables = [bytes_of(d, dtype, [words, size]), bytes_of(d, dtype, [places, size]),
              bytes_of(d, dtype, [segments, size]) if has else '', bytes_of(d, dtype, [size]),
              bytes_of(d, dtype, [size])]
    scales = [scale(d, T.FLOAT, []) if t else '' for t in tables]
    zeros = [zero_point(d, dtype, []) if t else '' for t in tables]
    names = [ids(words), ids(segments) if has else '', *tables, ids(2) if d.chance(0.5) else '',
             *scales, *zeros]
    if size == 1:
        raise NotNow('rows of one element have no deviation')
    return d.node('QEmbedLayerNormalization', names, 2, {'epsilon': 0.01}, MS)


@operator('MsNhwcMaxPool', domain=MS, exact=True, weight=0.5)
def nhwc_max_pool(d, op):
    n = d.choice([1, 2, 2, 3])
    spatial, kernel = d.integers(n, 2, 8), d.integers(n, 1, 3)
    attributes = windows(d, spatial, kernel, [k - 1 for k in kernel])
    attributes['kernel_shape'] = kernel
    dtype = byte(d)
    x = d.leaf(dtype, [d.integer(1, 2), *spatial, d.integer(1, 5)], low=-128, high=255)
    return d.node('NhwcMaxPool', [x], 1, attributes, MS)


