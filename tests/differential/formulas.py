# SPDX-License-Identifier: Apache-2.0
"""Operators of com.microsoft that ONNX Runtime has for GPUs alone, from their descriptions."""

import numpy as np


def group_norm(node, x, gamma, beta, skip=None, bias=None):
    last = node.attribute('channels_last', 1)
    x = x.astype(np.float64)
    if not last:
        x = np.moveaxis(x, 1, -1)
    if skip is not None:
        skip = skip.astype(np.float64)
        if skip.ndim == 4:
            x = x + (skip if last else np.moveaxis(skip, 1, -1))
        else:
            x = x + skip[:, None, None, :]
    x = x if bias is None else x + bias
    n, height, width, channels = x.shape
    groups = node.attribute('groups')
    parts = x.reshape(n, height * width, groups, channels // groups)
    mean = parts.mean((1, 3), keepdims=True)
    deviation = np.sqrt(parts.var((1, 3), keepdims=True) + node.attribute('epsilon', 1e-5))
    y = ((parts - mean) / deviation).reshape(x.shape) * gamma + beta
    if node.attribute('activation') == 1:
        y = y / (1 + np.exp(-y))
    return [a if last else np.moveaxis(a, -1, 1) for a in (y, x)]


def pads_of(node, spatial, kernel, strides):
    """At the beginning and at the end of each axis."""
    auto, n = node.attribute('auto_pad', 'NOTSET'), len(spatial)
    pads = node.attribute('pads', [0] * 2 * n)
    if auto == 'VALID':
        pads = [0] * 2 * n
    if not auto.startswith('SAME'):
        return [(pads[i], pads[i + n]) for i in range(n)]
    result = []
    for size, reach, stride in zip(spatial, kernel, strides):
        total = max((-(-size // stride) - 1) * stride + reach - size, 0)
        small, large = total // 2, total - total // 2
        result.append((small, large) if auto == 'SAME_UPPER' else (large, small))
    return result


def nhwc_conv(node, x, w, bias=None):
    spatial, kernel, group = x.shape[1:3], w.shape[1:3], node.attribute('group', 1)
    strides = node.attribute('strides', [1, 1])
    dilations = node.attribute('dilations', [1, 1])
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
    pads = pads_of(node, spatial, reach, strides)
    x = np.pad(x.astype(np.float64), [(0, 0), *pads, (0, 0)])
    out = [(x.shape[1 + i] - reach[i]) // strides[i] + 1 for i in range(2)]
    each, made = w.shape[3], w.shape[0] // group
    y = np.zeros((x.shape[0], *out, w.shape[0]))
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            seen = x[:, i * dilations[0]:, j * dilations[1]:][:, ::strides[0], ::strides[1]]
            seen = seen[:, :out[0], :out[1]]
            for g in range(group):
                y[..., g * made:(g + 1) * made] += \
                    seen[..., g * each:(g + 1) * each] @ w[g * made:(g + 1) * made, i, j].T
    return [y if bias is None else y + bias]


def gemm_fast_gelu(node, x, w, bias=None):
    y = x.astype(np.float64) @ w.astype(np.float64)
    # In f32, which far below 0 leaves little of 1 + tanh.
    y = (y if bias is None else y + bias).astype(np.float32)
    factor, cubic = np.float32(np.sqrt(2 / np.pi)), np.float32(0.044715)
    return [np.float32(0.5) * y * (1 + np.tanh(factor * (y + cubic * y ** 3)))]


TABLE = {'GroupNorm': group_norm, 'SkipGroupNorm': group_norm, 'NhwcConv': nhwc_conv,
         'GemmFastGelu': gemm_fast_gelu}


def run(node, inputs):
    results = TABLE[node.op](node, *[inputs[n] if n else None for n in node.inputs])
    return [r.astype(np.float32) for r, name in zip(results, node.outputs) if name]
