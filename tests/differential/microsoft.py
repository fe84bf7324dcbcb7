# SPDX-License-Identifier: Apache-2.0
"""Operators of com.microsoft. ONNX has no schemas of them, so types are written out."""

import numpy as np
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


@operator('MsTrilu', domain=MS, exact=True, weight=0.3)
def trilu(d, op):
    names = [d.value([T.FLOAT, T.INT64], rank=range(2, 5))]
    if d.chance(0.6):
        names.append(d.scalar(d.integer(-4, 4), T.INT64))
    return d.node('Trilu', names, 1, d.some(upper=[0, 1]), MS)


@operator('MsUnique', domain=MS, exact=True, weight=0.3)
def unique(d, op):
    x = tensor(d, [d.integer(1, 9)])
    return d.node('Unique', [x], 3, {}, MS)


@operator('MsExpandDims', domain=MS, exact=True, weight=0.3)
def expand_dims(d, op):
    x = d.value([T.FLOAT], rank=range(0, 5))
    return d.node('ExpandDims', [x, d.ints(d.axis(d.rank(x) + 1), T.INT32)], 1, {}, MS)


@operator('MsInverse', domain=MS, weight=0.3)
def inverse(d, op):
    n = d.integer(1, 6)
    batch = d.choice([[], [2], [2, 3]])
    dtype = d.choice([T.FLOAT, T.DOUBLE])
    # Far from singular: what is on the diagonal is more than the rest of its row together.
    data = d.rng.uniform(-1, 1, batch + [n, n]) + 2 * n * np.eye(n)
    data = data[..., d.rng.permutation(n), :].astype(np.float32 if dtype == T.FLOAT else np.float64)
    return d.node('Inverse', [d.add(data)], 1, {}, MS)


@operator('MsGridSample', domain=MS, weight=0.5)
def grid_sample(d, op):
    shape = [d.integer(1, 2), d.integer(1, 3), d.integer(2, 6), d.integer(2, 6)]
    grid = [shape[0], d.integer(1, 4), d.integer(1, 4), 2]
    # Not on the edges between two elements, where rounding decides.
    places = d.add(d.rng.uniform(-1.4, 1.4, grid).astype(np.float32))
    mode = d.choice(['bilinear', 'nearest', 'bicubic'])
    attributes = d.some(align_corners=[0, 1], padding_mode=['zeros', 'border', 'reflection'])
    return d.node('GridSample', [tensor(d, shape), places], 1, {'mode': mode, **attributes}, MS)


@operator('MsCropAndResize', domain=MS, weight=0.5)
def crop_and_resize(d, op):
    n, boxes = d.integer(1, 3), d.integer(1, 4)
    x = tensor(d, [n, d.integer(1, 3), d.integer(1, 7), d.integer(1, 7)])
    places = d.add(d.rng.uniform(-0.2, 1.2, [boxes, 4]).astype(np.float32))
    indices = d.add(d.rng.integers(0, n, [boxes]).astype(np.int32), free=False)
    size = d.ints(d.integers(2, 1, 5), T.INT32)
    return d.node('CropAndResize', [x, places, indices, size], 1,
                  d.some(mode=['bilinear', 'nearest'],
                         extrapolation_value=lambda: d.number(-2, 2)), MS)


@operator('MsConvTransposeWithDynamicPads', domain=MS, weight=0.5)
def conv_transpose_with_dynamic_pads(d, op):
    group, each, out = d.integer(1, 2), d.integer(1, 3), d.integer(1, 3)
    spatial, kernel = d.integers(2, 2, 6), d.integers(2, 1, 4)
    attributes = {'kernel_shape': kernel, 'group': group, **d.some(
        strides=lambda: d.integers(2, 1, 3), dilations=lambda: d.integers(2, 1, 2))}
    if d.chance(0.3) and 'strides' in attributes:
        attributes['output_padding'] = [d.integer(0, s - 1) for s in attributes['strides']]
    pads = d.integers(4, 0, 1)
    names = [tensor(d, [d.integer(1, 2), group * each, *spatial]),
             tensor(d, [group * each, out, *kernel], 'const' if d.chance(0.6) else None),
             d.ints(pads)]
    for i in range(2):
        reach = (kernel[i] - 1) * attributes.get('dilations', [1, 1])[i] + 1
        made = (spatial[i] - 1) * attributes.get('strides', [1, 1])[i] + reach
        if made - pads[i] - pads[i + 2] < 1:
            raise NotNow('nothing is left')
    if d.chance(0.5):
        names.append(tensor(d, [group * out]))
    return d.node('ConvTransposeWithDynamicPads', names, 1, attributes, MS)


@operator('MsDecoderMaskedMultiHeadAttention', domain=MS, weight=0.5)
def decoder_attention(d, op):
    batch, heads, size = d.integer(1, 2), d.integer(1, 3), d.integer(1, 5)
    wide, cross = heads * size, d.chance(0.4)
    attributes = {'num_heads': heads, **d.some(scale=lambda: d.number(0.1, 1),
                                               mask_filter_value=lambda: d.number(-9, -1))}
    bias = tensor(d, [3 * wide]) if d.chance(0.5) else ''
    query = tensor(d, [batch, 1, wide])

    def mask(total):
        data = d.rng.integers(0, 2, [batch, total]).astype(np.int32)
        data[:, 0] = 1  # where all are hidden, -10000 leaves little of what is added to it
        return d.add(data, free=False) if d.chance(0.5) else ''
    if cross:
        total = d.integer(1, 5)
        keys = [batch, heads, total, size]
        names = [query, tensor(d, keys), tensor(d, keys), mask(total), '', '', '', '', '', '', bias]
        count = 1
    else:
        length = d.integer(0, 4)
        room = length + d.integer(1, 3)
        attributes['past_present_share_buffer'] = 1
        keys, cache = [batch, 1, wide], [batch, heads, room, size]
        names = [query, tensor(d, keys), tensor(d, keys), mask(length + 1),
                 tensor(d, [d.choice([1, batch]), d.choice([1, heads]), 1, length + 1])
                 if d.chance(0.4) else '', tensor(d, cache), tensor(d, cache),
                 d.ints([length], T.INT32, 'input'), '', '', bias]
        count = 3
    while not names[-1]:
        names.pop()
    return d.node('DecoderMaskedMultiHeadAttention', names, count, attributes, MS)


# What ONNX Runtime has no kernel for on CPUs: formulas.py has it.

def layouts(d, last):
    n, channels, height, width = d.integer(1, 2), d.integer(1, 6), d.integer(1, 4), d.integer(1, 4)
    return [n, height, width, channels] if last else [n, channels, height, width], channels


@operator('MsGroupNorm', 'MsSkipGroupNorm', domain=MS, weight=0.5)
def group_norm(d, op):
    last = d.integer(0, 1)
    shape, channels = layouts(d, last)
    groups = d.choice([g for g in range(1, channels + 1) if channels % g == 0])
    attributes = {'groups': groups, 'activation': d.integer(0, 1), 'epsilon': 0.01}
    if not last or d.chance(0.5):
        attributes['channels_last'] = last
    names = [tensor(d, shape), tensor(d, [channels]), tensor(d, [channels])]
    if op == 'MsGroupNorm':
        return d.node('GroupNorm', names, 1, attributes, MS)
    each = [shape[0], 1, 1, channels] if last else [shape[0], channels, 1, 1]
    names.append(tensor(d, d.choice([shape, each, [shape[0], channels]])))
    if d.chance(0.5):
        names.append(tensor(d, [channels]))
    return d.node('SkipGroupNorm', names, d.integer(1, 2), attributes, MS)


@operator('MsNhwcConv', domain=MS, weight=0.5)
def nhwc_conv(d, op):
    group, each, made = d.integer(1, 2), d.integer(1, 3), d.integer(1, 3)
    spatial, kernel = d.integers(2, 2, 7), d.integers(2, 1, 3)
    attributes = {'group': group, **windows(d, spatial, kernel)}
    names = [tensor(d, [d.integer(1, 2), *spatial, group * each]),
             tensor(d, [group * made, *kernel, each], 'const' if d.chance(0.6) else None)]
    if d.chance(0.5):
        names.append(tensor(d, [group * made]))
    return d.node('NhwcConv', names, 1, attributes, MS)


@operator('MsGemmFastGelu', domain=MS, weight=0.5)
def gemm_fast_gelu(d, op):
    n, k, m = d.integer(1, 5), d.integer(1, 6), d.integer(1, 5)
    names = [tensor(d, d.choice([[], [2], [2, 3]]) + [n, k]), tensor(d, [k, m])]
    if d.chance(0.6):
        names.append(tensor(d, [m]))
    return d.node('GemmFastGelu', names, 1, {}, MS)
