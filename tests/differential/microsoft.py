# SPDX-License-Identifier: Apache-2.0
"""Operators of com.microsoft. ONNX has no schemas of them, so types are written out."""

from onnx import TensorProto as T

from draw import NotNow, operator
from neural import refuse_infinite, windows

MS = 'com.microsoft'


def tensor(d, shape, kind=None, low=-2, high=2):
    name = d.leaf(T.FLOAT, shape, kind, low=low, high=high, mild=True)
    refuse_infinite(d, [name])
    return name


def given(d, rank):
    name = d.value([T.FLOAT], rank=rank, mild=True, accept=lambda a: a.size > 0)
    refuse_infinite(d, [name])
    return name


@operator('MsGelu', domain=MS, weight=0.5)
def gelu(d, op):
    return d.node('Gelu', [given(d, range(1, 5))], 1, {}, MS)


@operator('MsQuickGelu', domain=MS, weight=0.5)
def quick_gelu(d, op):
    return d.node('QuickGelu', [given(d, range(1, 5))], 1, d.some(alpha=lambda: d.number(0.5, 2)),
                  MS)


@operator('MsBiasGelu', 'MsFastGelu', domain=MS, weight=0.5)
def bias_gelu(d, op):
    x = given(d, range(1, 4))
    return d.node(op[2:], [x, tensor(d, d.shape_of(x)[-1:])], 1, {}, MS)


@operator('MsSkipLayerNormalization', 'MsSkipSimplifiedLayerNormalization', domain=MS, weight=0.5)
def skip_layer_norm(d, op):
    x = given(d, 3)
    size = d.shape_of(x)[-1:]
    names = [x, tensor(d, d.shape_of(x)), tensor(d, size)]
    if op == 'MsSkipLayerNormalization':
        names.append(tensor(d, size) if d.chance(0.7) else '')
    if d.chance(0.5):
        names.append(tensor(d, size))
    elif not names[-1]:
        names.pop()
    return d.node(op[2:], names, 1, {'epsilon': 0.01}, MS)


@operator('MsFusedMatMul', domain=MS, weight=0.5)
def fused_matmul(d, op):
    n, k, m = d.integer(1, 5), d.integer(1, 6), d.integer(1, 5)
    batch = d.choice([[], [2], [2, 3]])
    attributes = d.some(transA=[0, 1], transB=[0, 1], alpha=lambda: d.number(-2, 2))
    a = [k, n] if attributes.get('transA') else [n, k]
    b = [m, k] if attributes.get('transB') else [k, m]
    return d.node('FusedMatMul', [tensor(d, batch + a), tensor(d, batch + b)], 1, attributes, MS)


def activation(d):
    return d.choice([{'activation': 'Relu'}, {'activation': 'Tanh'}, {'activation': 'Sigmoid'},
                     {'activation': 'LeakyRelu', 'activation_params': [d.number(0, 1)]},
                     {'activation': 'Clip', 'activation_params': [-1.0, d.number(0, 2)]},
                     {'activation': 'HardSigmoid', 'activation_params': [d.number(0, 1), 0.5]}])


@operator('MsFusedConv', domain=MS, weight=0.5)
def fused_conv(d, op):
    channels, spatial, kernel = d.integer(1, 4), d.integers(2, 3, 9), d.integers(2, 1, 3)
    attributes = {**windows(d, spatial, kernel), **activation(d)}
    out = d.integer(1, 5)
    names = [tensor(d, [d.integer(1, 2), channels, *spatial]),
             tensor(d, [out, channels, *kernel], 'const' if d.chance(0.6) else None)]
    if d.chance(0.6):
        names.append(tensor(d, [out]))
    return d.node('FusedConv', names, 1, attributes, MS)


@operator('MsFusedGemm', domain=MS, weight=0.5)
def fused_gemm(d, op):
    n, k, m = d.integer(1, 5), d.integer(1, 6), d.integer(1, 5)
    chosen = activation(d)
    if chosen['activation'] in ('Clip', 'HardSigmoid'):
        raise NotNow('its numbers have other names')
    attributes = {'activation': chosen['activation']}
    if 'activation_params' in chosen:
        attributes['activation_alpha'] = chosen['activation_params'][0]
    attributes.update(d.some(transA=[0, 1], transB=[0, 1], alpha=lambda: d.number(-2, 2)))
    a = [k, n] if attributes.get('transA') else [n, k]
    b = [m, k] if attributes.get('transB') else [k, m]
    return d.node('FusedGemm', [tensor(d, a), tensor(d, b), tensor(d, d.choice([[m], [n, m], []]))],
                  1, attributes, MS)


@operator('MsMultiHeadAttention', domain=MS, weight=0.5)
def multi_head_attention(d, op):
    batch, heads, size = d.integer(1, 2), d.integer(1, 3), d.integer(1, 5)
    length, total = d.integer(1, 4), d.integer(1, 5)
    wide = heads * size
    names = [tensor(d, [batch, length, wide]), tensor(d, [batch, total, wide]),
             tensor(d, [batch, total, wide])]
    if d.chance(0.4):
        names.append(tensor(d, [3 * wide]))
    return d.node('MultiHeadAttention', names, 1,
                  {'num_heads': heads, **d.some(scale=lambda: d.number(0.1, 1))}, MS)
