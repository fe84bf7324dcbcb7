# SPDX-License-Identifier: Apache-2.0
"""Convolutions, pools, normalisations, images, losses, attention."""

import numpy as np
from onnx import TensorProto as T

from draw import NotNow, only_floats, operator
from values import FLOATS


def sees_nothing(spatial, kernel, attributes):
    """A window lies in the padding alone, as dilated ones can: what comes out is not said."""
    n = len(spatial)
    pads, strides, dilations = (attributes.get(k, [v] * 2 * n) for k, v in
                                (('pads', 0), ('strides', 1), ('dilations', 1)))
    for i in range(n):
        for first in range(-pads[i], spatial[i] + pads[i + n], strides[i]):
            taps = [first + k * dilations[i] for k in range(kernel[i])]
            if taps[-1] < spatial[i] + pads[i + n] + strides[i] and \
                    not any(0 <= t < spatial[i] for t in taps):
                return True
    return False


def weight(d):
    return 'const' if d.chance(0.6) else None


def windows(d, spatial, kernel, most_pad=None):
    """Strides, dilations and pads of a window, or auto_pad; as attributes."""
    n = len(spatial)
    attributes = {}
    if d.chance(0.6):
        attributes['strides'] = d.integers(n, 1, 3)
    if d.chance(0.4):
        attributes['dilations'] = d.integers(n, 1, 3)
    how = d.integer(0, 4)
    if how <= 2:
        pads = [d.integer(0, 3 if most_pad is None else max(0, most_pad[i % n]))
                for i in range(2 * n)]
        attributes['pads'] = pads[:n] * 2 if d.chance(0.5) else pads
    elif how == 3:
        attributes['auto_pad'] = d.choice(['SAME_UPPER', 'SAME_LOWER', 'VALID', 'NOTSET'])
    if attributes.get('auto_pad', 'NOTSET').startswith('SAME'):
        attributes.pop('dilations', None)  # engines read the two together in different ways
        strides = attributes.get('strides', [1] * n)
        for i in range(n):  # there padding would be less than none, which is not said
            if (-(-spatial[i] // strides[i]) - 1) * strides[i] + kernel[i] < spatial[i]:
                raise NotNow('elements that no window reaches')
    else:
        pads = attributes.get('pads', [0] * 2 * n)
        for i in range(n):
            reach = (kernel[i] - 1) * attributes.get('dilations', [1] * n)[i] + 1
            if spatial[i] + pads[i] + pads[i + n] < reach:
                raise NotNow('a window that does not fit')
    return attributes


def image(d, types, mild=True, channels=None):
    return d.value(types, rank=d.choice([(3,), (4,), (4,), (4,), (5,)]), mild=mild,
                   accept=lambda a: 0 not in a.shape[1:] and a.size < 3000)


@operator('Conv', weight=3)
def conv(d, op):
    x = image(d, d.types(op))
    n, channels, *spatial = d.shape_of(x)
    group = d.choice([g for g in range(1, channels + 1) if channels % g == 0])
    if d.chance(0.5):
        group = 1
    kernel = d.integers(len(spatial), 1, 3) if d.chance(0.8) else d.integers(len(spatial), 1, 5)
    attributes = windows(d, spatial, kernel)
    if group != 1 or d.chance(0.2):
        attributes['group'] = group
    if d.chance(0.5):
        attributes['kernel_shape'] = kernel
    out = group * d.integer(1, 4)
    names = [x, d.leaf(d.dtype(x), [out, channels // group, *kernel], weight(d), mild=True)]
    if d.chance(0.5):
        names.append(d.leaf(d.dtype(x), [out], weight(d), mild=True))
    refuse_infinite(d, names)
    return d.node(op, names, 1, attributes)


def refuse_infinite(d, names):
    """Infinity times a zero of the padding: whether there is a product is not said. NaN too."""
    for name in names:
        if not np.isfinite(d.data(name).astype(np.float64)).all():
            raise NotNow('infinities beside padding')


@operator('ConvTranspose', weight=2)
def conv_transpose(d, op):
    x = image(d, d.types(op))
    n, channels, *spatial = d.shape_of(x)
    group = d.choice([g for g in range(1, channels + 1) if channels % g == 0])
    kernel = d.integers(len(spatial), 1, 4)
    attributes = {}
    if d.chance(0.7):
        attributes['strides'] = d.integers(len(spatial), 1, 3)
    strides = attributes.get('strides', [1] * len(spatial))
    if d.chance(0.4):
        attributes['dilations'] = d.integers(len(spatial), 1, 2)
    if d.chance(0.4):
        attributes['pads'] = d.integers(2 * len(spatial), 0, 1)
    elif d.chance(0.2):
        attributes['auto_pad'] = d.choice(['SAME_UPPER', 'SAME_LOWER', 'VALID'])
    if d.chance(0.3):
        attributes['output_padding'] = [d.integer(0, s - 1) for s in strides]
    if group != 1:
        attributes['group'] = group
    for i, n in enumerate(spatial):
        pads = attributes.get('pads', [0] * 10)
        reach = strides[i] * (n - 1) + (kernel[i] - 1) * attributes.get('dilations', [1] * 3)[i] + 1
        if reach - pads[i] - pads[i + len(spatial)] < 1:
            raise NotNow('a result with nothing in it, which not all engines make')
        if attributes.get('auto_pad', '').startswith('SAME') and \
                (kernel[i] - 1) * attributes.get('dilations', [1] * 3)[i] + 1 < strides[i]:
            raise NotNow('padding less than none: on which side is not said')
    out = group * d.integer(1, 3)
    names = [x, d.leaf(d.dtype(x), [channels, out // group, *kernel], weight(d), mild=True)]
    if d.chance(0.5):
        names.append(d.leaf(d.dtype(x), [out], weight(d), mild=True))
    refuse_infinite(d, names)
    return d.node(op, names, 1, attributes)


@operator('MaxPool', exact=True, weight=1.5)
@operator('AveragePool', weight=1.5)
@operator('LpPool')
def pool(d, op):
    x = image(d, d.types(op))
    spatial = d.shape_of(x)[2:]
    kernel = d.integers(len(spatial), 1, 4)
    attributes = windows(d, spatial, kernel, [k - 1 for k in kernel])
    attributes['kernel_shape'] = kernel
    since = d.since(op)
    if since < {'MaxPool': 10, 'AveragePool': 19, 'LpPool': 18}[op] and 'dilations' in attributes:
        raise NotNow('dilations came later')
    pads = attributes.get('pads', [0] * 20)
    if any(p >= k for p, k in zip(pads, kernel * 2)):
        raise NotNow('a pad as wide as the window')
    if 'dilations' in attributes and sees_nothing(spatial, kernel, attributes):
        raise NotNow('a window that sees nothing')
    if since >= (18 if op == 'LpPool' else 10):
        attributes.update(d.some(ceil_mode=[0, 1]))
    if op == 'AveragePool':
        attributes.update(d.some(count_include_pad=[0, 1]))
    if op == 'LpPool':
        attributes.update(d.some(p=[1, 2, 3]))
    if op == 'MaxPool' and since >= 8 and d.chance(0.3):
        data = d.data(x).astype(np.float64)
        if np.unique(data).size != data.size:
            raise NotNow('which of equal ones is the largest is not said')
        attributes.update(d.some(storage_order=[0, 1]))
        return d.node(op, [x], 2, attributes)
    if op == 'MaxPool' and np.isnan(d.data(x).astype(np.float64)).any():
        raise NotNow('NaN has no place in an order')
    return d.node(op, [x], 1, attributes)


@operator('GlobalMaxPool', exact=True, weight=0.5)
@operator('GlobalAveragePool', 'GlobalLpPool', weight=0.5)
def global_pool(d, op):
    x = image(d, d.types(op))
    if op == 'GlobalMaxPool' and np.isnan(d.data(x).astype(np.float64)).any():
        raise NotNow('NaN has no place in an order')
    return d.node(op, [x], 1, d.some(p=[1, 2, 3]) if op == 'GlobalLpPool' else {})


@operator('BatchNormalization', weight=2)
def batch_normalization(d, op):
    x = d.value(d.types(op), rank=range(2, 6), mild=True)
    c = [d.shape_of(x)[1]]
    kind = 'const' if d.chance(0.8) else None
    t = d.dtype(x)
    t1 = t2 = t
    if d.since(op) >= 15 and d.chance(0.2):
        t1, t2 = d.type(only_floats(d.types(op, 'T1'))), d.type(only_floats(d.types(op, 'T2')))
    names = [x, d.leaf(t1, c, kind, mild=True), d.leaf(t1, c, kind, mild=True),
             d.leaf(t2, c, kind, mild=True), d.leaf(t2, c, kind, low=0, high=3)]
    refuse_infinite(d, names[1:])  # in other orders they make NaN
    return d.node(op, names, 1, d.some(epsilon=lambda: d.choice([1e-5, 1e-3, 0.1]),
                                       momentum=lambda: d.number(0, 1)))


@operator('InstanceNormalization')
def instance_normalization(d, op):
    x = image(d, d.types(op))
    c = [d.shape_of(x)[1]]
    names = [x, d.leaf(d.dtype(x), c, weight(d), mild=True),
             d.leaf(d.dtype(x), c, weight(d), mild=True)]
    refuse_infinite(d, names)
    return d.node(op, names, 1, epsilon(d))


def epsilon(d):
    # The default is so small that planes of one element make noise of the rounding.
    return {'epsilon': d.choice([1e-2, 0.1])}


@operator('GroupNormalization')
def group_normalization(d, op):
    x = image(d, d.types(op))
    c = d.shape_of(x)[1]
    groups = d.choice([g for g in range(1, c + 1) if c % g == 0])
    n = [c if d.since(op) >= 21 else groups]
    return d.node(op, [x, d.leaf(d.dtype(x), n, weight(d), mild=True),
                       d.leaf(d.dtype(x), n, weight(d), mild=True)], 1,
                  {'num_groups': groups, **epsilon(d)})


@operator('LayerNormalization', 'RMSNormalization', weight=1.5)
def layer_normalization(d, op):
    x = d.value(d.types(op, 'T'), rank=range(1, 5), mild=True, accept=lambda a: a.size > 0)
    refuse_infinite(d, [x])
    axis = d.axis(d.rank(x))
    attributes = {'axis': axis} if axis != -1 or d.chance(0.4) else {}
    shape = d.shape_of(x)[attributes.get('axis', -1):]
    names = [x, d.leaf(d.dtype(x), shape, weight(d), mild=True)]
    if op == 'LayerNormalization' and d.chance(0.5):
        names.append(d.leaf(d.dtype(x), shape, weight(d), mild=True))
    count = d.choice([1, 1, 1, 3]) if op == 'LayerNormalization' else 1
    return d.node(op, names, count, {**attributes, **epsilon(d)})


@operator('LRN', weight=0.5)
def lrn(d, op):
    x = image(d, d.types(op))
    refuse_infinite(d, [x])  # sums that run along the channels keep what they leave
    return d.node(op, [x], 1,
                  {'size': d.choice([1, 2, 3, 4, 5, 9]),
                   **d.some(alpha=lambda: d.number(0, 1), beta=lambda: d.number(0, 1),
                            bias=lambda: d.number(0.5, 2))})


@operator('MeanVarianceNormalization', weight=0.5)
def mean_variance(d, op):
    x = d.value(d.types(op), rank=4, mild=True, accept=lambda a: a.size > 0)
    axes = d.axes(4, False) or [1] if d.chance(0.5) else None
    with np.errstate(all='ignore'):
        deviation = d.data(x).astype(np.float64).std(axis=tuple(axes or (0, 2, 3)))
    if not (deviation > 1e-3).all():
        raise NotNow('0 by 0, or what the function body adds to it')
    return d.node(op, [x], 1, {'axes': axes} if axes else {})


@operator('Resize', weight=2)
def resize(d, op):
    since = d.since(op)
    x = d.value([T.FLOAT, T.FLOAT, T.UINT8, T.INT32, T.DOUBLE] if d.chance(0.5) else [T.FLOAT],
                rank=d.choice([(4,), (4,), (3,), (2,), (5,), (1,)]), mild=True,
                accept=lambda a: a.size > 0)
    rank, shape = d.rank(x), d.shape_of(x)
    refuse_infinite(d, [x])  # times a weight of 0
    mode = d.choice(['nearest', 'linear'] + (['cubic'] if since >= 11 else []))
    if d.dtype(x) not in FLOATS:
        mode = 'nearest'  # how a fraction becomes an integer is not said
    attributes = {'mode': mode} if mode != 'nearest' or d.chance(0.5) else {}
    spatial = range(max(0, rank - 2), rank)
    scales = [d.choice([0.5, 0.6, 1.0, 1.5, 2.0, 3.0, 0.34, 2.5]) if a in spatial else 1.0
              for a in range(rank)]
    if since < 11:
        return d.node(op, [x, d.add(np.array(scales, np.float32), free=False)], 1, attributes)
    how = ['half_pixel', 'asymmetric', 'align_corners', 'pytorch_half_pixel']
    if since >= 19:
        how.append('half_pixel_symmetric')
    attributes.update(d.some(coordinate_transformation_mode=how))
    if mode == 'nearest':
        attributes.update(d.some(nearest_mode=['round_prefer_floor', 'round_prefer_ceil', 'floor',
                                               'ceil']))
    if mode == 'cubic':
        attributes.update(d.some(cubic_coeff_a=[-0.5, -0.75], exclude_outside=[0, 1]))
    if since >= 18 and mode != 'nearest':
        attributes.update(d.some(antialias=[0, 1]))
    sizes = [d.integer(1, 9) if a in spatial else n for a, n in enumerate(shape)]
    axes = None
    if since >= 18 and d.chance(0.3):
        axes = list(spatial)
        attributes['axes'] = axes
        scales, sizes = [scales[a] for a in axes], [sizes[a] for a in axes]
    roi = '' if since >= 13 else d.add(np.zeros(0, np.float32), 'const')
    if d.chance(0.5):
        if since >= 18:
            attributes.update(d.some(keep_aspect_ratio_policy=['stretch', 'not_larger',
                                                               'not_smaller']))
        empty = '' if since >= 13 else d.add(np.zeros(0, np.float32), 'const')
        return d.node(op, [x, roi, empty, d.ints(sizes)], 1, attributes)
    return d.node(op, [x, roi, d.add(np.array(scales, np.float32), free=False)], 1, attributes)


@operator('GridSample')
def grid_sample(d, op):
    rank = 4 if d.since(op) < 20 else d.choice([4, 4, 5])
    x = d.value(only_floats(d.types(op, 'T1')), rank=rank, mild=True,
                accept=lambda a: a.size > 0 and a.size < 3000 and np.isfinite(
                    a.astype(np.float64)).all())
    shape = d.shape_of(x)
    grid = d.leaf(d.dtype(x), [shape[0], *d.integers(rank - 2, 1, 4), rank - 2], low=-1.4, high=1.4)
    if not np.isfinite(d.data(grid).astype(np.float64)).all() or \
            np.abs(d.data(grid).astype(np.float64)).max() > 9:
        raise NotNow('a place far away')
    modes = ['linear', 'nearest', 'cubic'] if d.since(op) >= 20 else ['bilinear', 'nearest',
                                                                      'bicubic']
    if rank == 5:
        modes = modes[:2]
    return d.node(op, [x, grid], 1, d.some(mode=modes, align_corners=[0, 1],
                                           padding_mode=['zeros', 'border', 'reflection']))


@operator('AffineGrid', weight=0.5)
def affine_grid(d, op):
    n = d.choice([2, 2, 3])
    batch = d.integer(1, 2)
    theta = d.leaf(d.type(only_floats(d.types(op, 'T1'))), [batch, n, n + 1], mild=True)
    return d.node(op, [theta, d.ints([batch, 1, *d.integers(n, 2, 4)])], 1,
                  d.some(align_corners=[0, 1]))


@operator('RoiAlign', weight=0.5)
def roi_align(d, op):
    x = d.leaf(d.type(d.types(op, 'T1')), [d.integer(1, 2), d.integer(1, 3), 6, 7], mild=True)
    if not np.isfinite(d.data(x).astype(np.float64)).all():
        raise NotNow('infinities beside what lies outside')
    count = d.integer(1, 3)
    start = d.rng.uniform(0, 3, (count, 2))
    rois = np.concatenate([start, start + d.rng.uniform(0.5, 3, (count, 2))], axis=1)
    batch = d.add(d.rng.integers(0, d.shape_of(x)[0], count))
    attributes = d.some(mode=['avg', 'max'], output_height=[1, 2, 3], output_width=[1, 2, 3],
                        sampling_ratio=[0, 1, 2], spatial_scale=lambda: d.choice([1.0, 0.5]))
    if d.since(op) >= 16:
        attributes.update(d.some(coordinate_transformation_mode=['half_pixel',
                                                                 'output_half_pixel']))
    return d.node(op, [x, d.add(rois.astype(d.data(x).dtype)), batch], 1, attributes)


@operator('MaxRoiPool', weight=0.3)
def max_roi_pool(d, op):
    x = d.leaf(T.FLOAT, [d.integer(1, 2), d.integer(1, 3), 6, 7], mild=True)
    refuse_infinite(d, [x])
    count = d.integer(1, 3)
    start = d.rng.integers(0, 4, (count, 2))
    rois = np.concatenate([d.rng.integers(0, d.shape_of(x)[0], (count, 1)), start,
                           start + d.rng.integers(0, 3, (count, 2))], axis=1)
    return d.node(op, [x, d.add(rois.astype(np.float32))], 1,
                  {'pooled_shape': d.integers(2, 1, 3)})


@operator('Col2Im', weight=0.5)
def col2im(d, op):
    kernel, out = d.integers(2, 1, 3), d.integers(2, 3, 6)
    attributes = {}
    if d.chance(0.4):
        attributes['strides'] = d.integers(2, 1, 2)
    if d.chance(0.4):
        attributes['dilations'] = d.integers(2, 1, 2)
    if d.chance(0.4):
        attributes['pads'] = d.integers(4, 0, 1)
    s, l, p = (attributes.get(k, [v] * 4) for k, v in
               (('strides', 1), ('dilations', 1), ('pads', 0)))
    blocks = [(out[i] + p[i] + p[i + 2] - l[i] * (kernel[i] - 1) - 1) // s[i] + 1 for i in (0, 1)]
    if min(blocks) < 1:
        raise NotNow('a window that does not fit')
    x = d.leaf(d.type([T.FLOAT, T.DOUBLE, T.FLOAT16]),
               [d.integer(1, 2), d.integer(1, 2) * kernel[0] * kernel[1], blocks[0] * blocks[1]],
               mild=True)
    return d.node(op, [x, d.ints(out), d.ints(kernel)], 1, attributes)


@operator('NonMaxSuppression', exact=True, weight=0.5)
def non_max_suppression(d, op):
    batch, classes, boxes = d.integer(1, 2), d.integer(1, 2), d.integer(1, 8)
    low = d.rng.integers(0, 8, (batch, boxes, 2))
    corners = np.concatenate([low, low + d.rng.integers(1, 6, (batch, boxes, 2))], axis=-1)
    scores = d.rng.permutation(batch * classes * boxes).reshape(batch, classes, boxes) / 16
    names = [d.add(corners.astype(np.float32)), d.add(scores.astype(np.float32))]
    if d.chance(0.85):
        names.append(d.ints([d.integer(0, 5)], kind='const'))
        if d.chance(0.7):
            names.append(d.add(np.array([d.choice([0.0, 0.3, 0.51, 1.0])], np.float32), 'const'))
            if d.chance(0.6):
                names.append(d.add(np.array([d.choice([0.0, 0.3])], np.float32), 'const'))
    return d.node(op, names, 1, d.some(center_point_box=[0, 1]))


@operator('NegativeLogLikelihoodLoss', 'SoftmaxCrossEntropyLoss', weight=0.5)
def loss(d, op):
    n, c = d.integer(1, 4), d.integer(1, 4)
    rest = d.shape(d.integer(0, 2))
    dtype = d.type([T.FLOAT, T.FLOAT, T.DOUBLE, T.FLOAT16])
    x = d.like(dtype, [n, c, *rest], mild=True)
    target = d.rng.integers(0, c, [n, *rest]).astype(d.choice([np.int64, np.int32]))
    attributes = d.some(reduction=['none', 'sum', 'mean'])
    if d.chance(0.3):
        attributes['ignore_index'] = d.integer(-1, c - 1)
        if attributes['ignore_index'] < 0:
            target[target == c - 1] = -1
    if attributes.get('reduction', 'mean') == 'mean' and target.size and \
            (target == attributes.get('ignore_index', -100)).all():
        raise NotNow('the mean of none')
    names = [x, d.add(target)]
    if d.chance(0.4):
        names.append(d.leaf(dtype, [c], low=0.25, high=2))
    return d.node(op, names, d.choice([1, 2]) if op.startswith('Soft') else 1, attributes)


@operator('RotaryEmbedding', weight=0.5)
def rotary_embedding(d, op):
    heads, size = d.integer(1, 3), 2 * d.integer(1, 4)
    length, batch = d.integer(1, 4), d.integer(1, 2)
    dtype = d.type(d.types(op))
    flat = d.chance(0.5)
    x = d.leaf(dtype, [batch, length, heads * size] if flat else [batch, heads, length, size],
               mild=True)
    part = d.choice([0, 0, 2 * d.integer(1, size // 2)])
    half = (part or size) // 2
    attributes = d.some(interleaved=[0, 1])
    if part:
        attributes['rotary_embedding_dim'] = part
    if flat or part:
        attributes['num_heads'] = heads
    if d.chance(0.5):
        ids = d.add(d.rng.integers(0, 6, [batch, length]))
        return d.node(op, [x, d.leaf(dtype, [6, half], mild=True),
                           d.leaf(dtype, [6, half], mild=True), ids], 1, attributes)
    return d.node(op, [x, d.leaf(dtype, [batch, length, half], mild=True),
                       d.leaf(dtype, [batch, length, half], mild=True)], 1, attributes)


@operator('Attention')
def attention(d, op):
    batch, kv, length, total = d.integer(1, 2), d.integer(1, 2), d.integer(1, 4), d.integer(1, 5)
    heads = kv * d.integer(1, 2)
    size, out = d.integer(1, 5), d.integer(1, 5)
    dtype = d.type([T.FLOAT, T.FLOAT, T.FLOAT, T.FLOAT16])
    attributes = {}
    if d.chance(0.5):
        shapes = [batch, heads, length, size], [batch, kv, total, size], [batch, kv, total, out]
    else:
        shapes = [batch, length, heads * size], [batch, total, kv * size], [batch, total, kv * out]
        attributes = {'q_num_heads': heads, 'kv_num_heads': kv}
    names = [d.leaf(dtype, s, low=-2, high=2, mild=True) for s in shapes]
    if not all(np.isfinite(d.data(n).astype(np.float64)).all() for n in names):
        raise NotNow('infinities beside a mask')
    past = d.integer(0, 3) if d.chance(0.25) else 0
    if d.chance(0.4) or past:
        how = d.choice([T.BOOL, dtype])
        mask = d.choice([[length, total + past], [1, heads, length, total + past],
                         [batch, 1, length, total + past]])
        if how == T.BOOL:
            data = d.rng.random(mask) < 0.8
            data[..., 0] = True  # a row with nothing to look at has no answer
            names.append(d.add(data))
        else:
            names.append(d.leaf(how, mask, low=-2, high=2, mild=True))
            if not np.isfinite(d.data(names[-1]).astype(np.float64)).all():
                raise NotNow('infinities in a mask')
    if past:
        names += [d.leaf(dtype, [batch, kv, past, size], low=-2, high=2, mild=True),
                  d.leaf(dtype, [batch, kv, past, out], low=-2, high=2, mild=True)]
        if not all(np.isfinite(d.data(n).astype(np.float64)).all() for n in names[-2:]):
            raise NotNow('infinities beside a mask')
    elif d.chance(0.3):
        attributes['is_causal'] = 1
    attributes.update(d.some(scale=lambda: d.number(0.1, 2)))
    attributes.update(d.some(softcap=lambda: d.choice([0.0, 2.0])) if d.chance(0.3) else {})
    return d.node(op, names, 3 if past else 1, attributes)


@operator('DFT', weight=0.5)
def dft(d, op):
    parts = d.choice([1, 2])
    x = d.leaf(d.type([T.FLOAT, T.FLOAT, T.DOUBLE]), [d.integer(1, 2), d.integer(1, 9),
                                                     *d.choice([[], [d.integer(1, 5)]]), parts],
               mild=True)
    if not np.isfinite(d.data(x)).all():
        raise NotNow('infinities in a transform')
    rank = d.rank(x)
    attributes = d.some(inverse=[0, 1])
    if parts == 1 and d.chance(0.4):
        attributes = {'onesided': 1}
    axis = d.integer(1, rank - 2)
    names = [x, d.scalar(d.integer(1, 10), T.INT64) if d.chance(0.5) else '']
    if d.since(op) >= 20:
        names.append(d.scalar(axis - rank if d.chance(0.5) else axis, T.INT64))
    else:
        attributes['axis'] = axis
    return d.node(op, names, 1, attributes)


@operator('STFT', weight=0.3)
def stft(d, op):
    length, frame = d.integer(6, 16), d.integer(2, 6)
    dtype = d.type([T.FLOAT, T.FLOAT, T.DOUBLE])
    x = d.leaf(dtype, [d.integer(1, 2), length, 1], mild=True)
    if not np.isfinite(d.data(x)).all():
        raise NotNow('infinities in a transform')
    names = [x, d.scalar(d.integer(1, 4), T.INT64)]
    if d.chance(0.5):
        names.append(d.leaf(dtype, [frame], low=0, high=1))
    else:
        names += ['', d.scalar(frame, T.INT64)]
    return d.node(op, names, 1, d.some(onesided=[0, 1]))


@operator('MelWeightMatrix', weight=0.3)
def mel_weight_matrix(d, op):
    numbers = [d.scalar(d.integer(2, 8), T.INT64), d.scalar(d.choice([8, 16, 32]), T.INT64),
               d.scalar(8192, T.INT64), d.scalar(d.choice([0.0, 20.0]), T.FLOAT),
               d.scalar(d.choice([2048.0, 4096.0]), T.FLOAT)]
    return d.node(op, numbers, 1)
