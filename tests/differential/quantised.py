# SPDX-License-Identifier: Apache-2.0
"""Quantised numbers: to them, from them, and products of them."""

import numpy as np
from onnx import TensorProto as T

from draw import NotNow, operator
from neural import windows
from values import F8, FLOATS, INTEGERS, numpy_type

BYTES = (T.UINT8, T.INT8)
SCALES = [0.5, 0.25, 1.0, 2.0, 0.125]  # powers of 2: a division by them does not round


def scale(d, dtype, shape, kind=None):
    data = np.array(SCALES)[d.rng.integers(0, len(SCALES), shape)]
    return d.add(np.asarray(data).astype(numpy_type(dtype)), kind, free=False)


def zero_point(d, dtype, shape, kind=None):
    """Small enough that each type can tell the difference to every element."""
    if dtype in F8 or dtype == T.FLOAT4E2M1:
        return d.add(np.zeros(shape, numpy_type(dtype)), kind, free=False)
    low, high = (0, 3) if dtype in (T.UINT2, T.UINT4) else (-2, 1) if dtype in (T.INT2, T.INT4) \
        else (0, 200) if dtype == T.UINT8 else (-100, 100)
    if dtype in (T.INT32,):
        low = high = 0
    if dtype == T.UINT16:
        low = 0
    return d.add(d.rng.integers(low, high + 1, shape).astype(numpy_type(dtype)), kind, free=False)


def granularity(d, op, x):
    """The shape of scales, and the attributes for it: one, along an axis, or for blocks."""
    shape, since = d.shape_of(x), d.since(op)
    how = d.integer(0, 2)
    if since >= 13 and how == 1 and shape:
        axis = d.axis(len(shape))
        return [shape[axis]], {'axis': axis}
    if since >= 21 and how == 2 and shape:
        axis = d.axis(len(shape))
        block = d.integer(1, max(1, shape[axis]))
        blocks = list(shape)
        blocks[axis] = -(-shape[axis] // block)
        if shape[axis] and shape[axis] % block == 0:
            return blocks, {'axis': axis, 'block_size': block}
    return [], {}


@operator('QuantizeLinear', exact=True, weight=2)
def quantize(d, op):
    x = d.value([t for t in d.types(op, 'T1') if t in FLOATS], mild=True,
                accept=lambda a: bool(np.isfinite(a.astype(np.float64)).all()))
    shape, attributes = granularity(d, op, x)
    target = d.type([t for t in d.types(op, 'T2' if d.since(op) < 23 else 'T3')])
    names = [x, scale(d, d.dtype(x), shape)]
    if target != T.UINT8 or d.chance(0.7):
        names.append(zero_point(d, target, shape))
    return d.node(op, names, 1, attributes)


@operator('DequantizeLinear', exact=True, weight=2)
def dequantize(d, op):
    types = d.types(op, 'T' if d.since(op) < 19 else 'T1')
    x = d.value(types)
    data = d.data(x)
    if d.dtype(x) == T.INT32 and data.size and np.abs(data.astype(np.int64)).max() > 2 ** 20:
        raise NotNow('whether the difference is made in floats is not said')
    shape, attributes = granularity(d, op, x)
    target = T.FLOAT if d.since(op) < 19 else d.type([t for t in d.types(op, 'T2') if t in FLOATS])
    names = [x, scale(d, target, shape)]
    if d.chance(0.6) and d.dtype(x) != T.INT32:
        names.append(zero_point(d, d.dtype(x), shape))
    return d.node(op, names, 1, attributes)


@operator('DynamicQuantizeLinear', weight=0.7)
def dynamic_quantize(d, op):
    x = d.value([T.FLOAT], mild=True, accept=lambda a: a.size and np.isfinite(a).all()
                and np.unique(a).size > 1)
    return d.node(op, [x], 3)


def byte(d):
    return d.choice(BYTES)


@operator('MatMulInteger', exact=True)
def matmul_integer(d, op):
    n, k, m = d.size(), d.size(), d.size()
    batch = d.shape(d.integer(0, 2)) if d.chance(0.5) else []
    a, b = byte(d), byte(d)
    names = [d.like(a, batch + [n, k], low=-128, high=255),
             d.leaf(b, (batch if d.chance(0.3) else []) + [k, m],
                    'const' if d.chance(0.6) else None, low=-128, high=255)]
    if d.chance(0.6):
        # By row of A and by column of B, where it is not one for all.
        rows = [] if batch or d.chance(0.6) else [n]
        names.append(zero_point(d, a, rows))
        if d.chance(0.7):
            names.append(zero_point(d, b, d.choice([[], [], [m]]) if d.rank(names[1]) == 2 else []))
    return d.node(op, names, 1)


@operator('ConvInteger', exact=True)
def conv_integer(d, op):
    x, w, attributes = convolution(d)
    names = [x, w]
    if d.chance(0.6):
        names.append(zero_point(d, d.dtype(x), []))
        if d.chance(0.6):
            names.append(zero_point(d, d.dtype(w), d.choice([[], [d.shape_of(w)[0]]])))
    return d.node(op, names, 1, attributes)


def convolution(d):
    channels, spatial = d.integer(1, 4), d.integers(d.choice([1, 2, 2, 2]), 1, 8)
    group = d.choice([g for g in range(1, channels + 1) if channels % g == 0])
    kernel = d.integers(len(spatial), 1, 3)
    attributes = windows(d, spatial, kernel)
    if group > 1:
        attributes['group'] = group
    x = d.like(byte(d), [d.integer(1, 2), channels, *spatial], low=-128, high=255)
    w = d.leaf(byte(d), [group * d.integer(1, 3), channels // group, *kernel],
               'const' if d.chance(0.7) else None, low=-128, high=255)
    return x, w, attributes


@operator('QLinearMatMul', exact=True)
def qlinear_matmul(d, op):
    n, k, m = d.integer(1, 5), d.integer(1, 6), d.integer(1, 5)
    a, b, y = byte(d), byte(d), byte(d)
    if d.chance(0.5):
        b = y = a
    columns = d.choice([[], [], [m]])
    names = [d.like(a, [n, k], low=-128, high=255), scale(d, T.FLOAT, []), zero_point(d, a, []),
             d.leaf(b, [k, m], 'const' if d.chance(0.6) else None, low=-128, high=255),
             scale(d, T.FLOAT, columns), zero_point(d, b, columns), scale(d, T.FLOAT, []),
             zero_point(d, y, [])]
    return d.node(op, names, 1)


@operator('QLinearConv', exact=True)
def qlinear_conv(d, op):
    x, w, attributes = convolution(d)
    y = byte(d)
    out = d.shape_of(w)[0]
    each = d.choice([[], [], [out]])
    names = [x, scale(d, T.FLOAT, []), zero_point(d, d.dtype(x), []), w, scale(d, T.FLOAT, each),
             zero_point(d, d.dtype(w), each), scale(d, T.FLOAT, []), zero_point(d, y, [])]
    if d.chance(0.5):
        names.append(d.leaf(T.INT32, [out], low=-500, high=500, mild=True))
    return d.node(op, names, 1, attributes)


assert INTEGERS
