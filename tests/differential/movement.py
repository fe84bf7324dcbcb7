# SPDX-License-Identifier: Apache-2.0
"""Operators that move elements, and those about shapes."""

import numpy as np
from onnx import TensorProto as T

from draw import NotNow, operator
from reductions import nan
from values import FLOATS, INTEGERS, numpy_type


def moved(d, op, parameter='T', **how):
    return d.value(d.types(op, parameter), **how)


@operator('Reshape', exact=True, weight=2)
def reshape(d, op):
    x = moved(d, op)
    shape, total = d.shape_of(x), d.data(x).size
    attributes = d.some(allowzero=[0, 1]) if d.since(op) >= 14 else {}
    if total == 0:
        attributes = {'allowzero': 1} if d.since(op) >= 14 else {}
        if attributes and d.chance(0.5):
            target = [0] + d.shape(d.integer(0, 2))
            d.rng.shuffle(target)
            return d.node(op, [x, d.ints(target)], 1, attributes)
        return d.node(op, [x, d.ints([0] * len(shape))], 1)
    target, rest = [], total
    for _ in range(d.integer(0, 4)):
        factor = d.choice([f for f in range(1, min(rest, 64) + 1) if rest % f == 0])
        target.append(factor)
        rest //= factor
    if rest > 1:
        target.insert(d.integer(0, len(target)), rest)
    if target and d.chance(0.4):
        target[d.integer(0, len(target) - 1)] = -1
    if not attributes.get('allowzero'):
        target = [0 if i < len(shape) and n == shape[i] and d.chance(0.3) else n
                  for i, n in enumerate(target)]
    return d.node(op, [x, d.ints(target)], 1, attributes)


@operator('Flatten', exact=True)
def flatten(d, op):
    x = moved(d, op)
    rank = d.rank(x)
    low = -rank if d.since(op) >= 11 else 0
    return d.node(op, [x], 1, {'axis': d.integer(low, rank)} if rank == 0 or d.chance(0.8) else {})


def with_axes(d, op, x, axes, needed):
    """Axes as an attribute, from opset 13 on as an input."""
    if d.since(op) < 13:
        return d.node(op, [x], 1, {'axes': axes} if needed or axes else {})
    return d.node(op, [x, d.ints(axes)] if needed or axes else [x], 1)


@operator('Squeeze', exact=True)
def squeeze(d, op):
    x = moved(d, op)
    ones = [i for i, n in enumerate(d.shape_of(x)) if n == 1]
    axes = [i - d.rank(x) if d.since(op) >= 11 and d.chance(0.3) else i
            for i in ones if d.chance(0.6)]
    return with_axes(d, op, x, axes, False)


@operator('Unsqueeze', exact=True)
def unsqueeze(d, op):
    x = moved(d, op, rank=range(0, 5))
    rank = d.rank(x) + d.integer(1, 2)
    axes = [int(a) for a in d.rng.permutation(rank)[:rank - d.rank(x)]]
    if d.since(op) >= 11:
        axes = [a - rank if d.chance(0.3) else a for a in axes]
    else:
        axes.sort()
    return with_axes(d, op, x, axes, True)


@operator('Shape', exact=True)
def shape_op(d, op):
    x = moved(d, op)
    r = d.rank(x)
    bounds = d.some(start=lambda: d.integer(-r - 2, r + 2), end=lambda: d.integer(-r - 2, r + 2)) \
        if d.since(op) >= 15 else {}
    return d.node(op, [x], 1, bounds)


@operator('Size', exact=True, weight=0.5)
def size(d, op):
    return d.node(op, [moved(d, op)], 1)


@operator('ConstantOfShape', exact=True)
def constant_of_shape(d, op):
    from onnx import numpy_helper
    attributes = {}
    if d.chance(0.8):
        dtype = d.type([t for t in d.types(op, 'T2') if t in FLOATS + INTEGERS + (T.BOOL,)])
        attributes['value'] = numpy_helper.from_array(
            np.array([d.integer(0, 3)]).astype(numpy_type(dtype)))
    return d.node(op, [d.ints(d.shape())], 1, attributes)


@operator('Range', exact=True)
def range_op(d, op):
    dtype = d.type([t for t in d.types(op) if t != T.INT16])
    start, delta = d.integer(-5, 5), d.choice([-3, -2, -1, 1, 2, 3])
    if dtype in FLOATS:
        start, delta = start / 2, delta / 4  # no rounding: how often it adds is not said
    limit = start + delta * d.integer(-1, 9) + d.choice([0, 0, 1])
    return d.node(op, [d.scalar(n, dtype) for n in (start, limit, delta)], 1)


@operator('EyeLike', exact=True, weight=0.5)
def eye_like(d, op):
    x = d.value(d.types(op, 'T1'), rank=2)
    return d.node(op, [x], 1, d.some(
        k=lambda: d.integer(-4, 4),
        dtype=lambda: d.type([t for t in d.types(op, 'T2') if t in FLOATS + INTEGERS + (T.BOOL,)])))


@operator('Transpose', exact=True, weight=2)
def transpose(d, op):
    x = moved(d, op)
    return d.node(op, [x], 1, {'perm': [int(a) for a in d.rng.permutation(d.rank(x))]}
                  if d.rank(x) and d.chance(0.85) else {})


@operator('DepthToSpace', exact=True)
def depth_to_space(d, op):
    b = d.integer(1, 3)
    shape = [d.size(), b * b * d.integer(1, 3), d.size(), d.size()]
    x = d.like(d.type(d.types(op)), shape)
    return d.node(op, [x], 1, {'blocksize': b, **(d.some(mode=['DCR', 'CRD'])
                                                  if d.since(op) >= 11 else {})})


@operator('SpaceToDepth', exact=True)
def space_to_depth(d, op):
    b = d.integer(1, 3)
    shape = [d.size(), d.size(), b * d.integer(1, 3), b * d.integer(1, 3)]
    return d.node(op, [d.like(d.type(d.types(op)), shape)], 1, {'blocksize': b})


@operator('Expand', exact=True)
def expand(d, op):
    x = moved(d, op)
    target = [d.size() if n == 1 else d.choice([n, 1]) for n in d.shape_of(x)]
    how = d.integer(0, 3)
    if how == 0:
        target = target[d.integer(0, len(target)):]
    elif how == 1 and len(target) < 5:
        target = d.shape(d.integer(1, 2)) + target
    return d.node(op, [x, d.ints(target)], 1)


@operator('Tile', exact=True)
def tile(d, op):
    x = moved(d, op)
    return d.node(op, [x, d.ints([d.choice([0, 1, 1, 2, 3]) for _ in range(d.rank(x))])], 1)


FAR = [2 ** 31 - 1, -2 ** 31, 2 ** 63 - 1, -2 ** 63]


@operator('Slice', exact=True, weight=3)
def slice_op(d, op):
    x = moved(d, op, rank=range(1, 6))
    axes = d.axes(d.rank(x), d.since(op) >= 10) or [0]
    bounds = [(d.integer(-n - 2, n + 2), d.integer(-n - 2, n + 2))
              for n in (d.shape_of(x)[a] for a in axes)]
    starts, ends = [b[0] for b in bounds], [b[1] for b in bounds]
    dtype = d.choice([T.INT64, T.INT64, T.INT32])
    far = FAR if dtype == T.INT64 else FAR[:2]
    ends = [d.choice(far) if d.chance(0.2) else n for n in ends]
    starts = [d.choice(far) if d.chance(0.05) else n for n in starts]
    if d.since(op) < 10:
        return d.node(op, [x], 1, {'starts': starts, 'ends': ends, 'axes': axes})
    if d.chance(0.15):
        axes = list(range(d.rank(x)))[:len(axes)]
        return d.node(op, [x, d.ints(starts, dtype), d.ints(ends, dtype)], 1)
    names = [x, d.ints(starts, dtype), d.ints(ends, dtype), d.ints(axes, dtype)]
    if d.chance(0.7):
        steps = [d.choice([1, 1, 2, 3, -1, -1, -2, *([FAR[0]] if d.chance(0.1) else [])])
                 for _ in axes]
        names.append(d.ints(steps, dtype))
    return d.node(op, names, 1)


@operator('Split', exact=True)
def split(d, op):
    x = moved(d, op, rank=range(1, 5))
    axis = d.axis(d.rank(x), d.since(op) >= 11)
    n, count = d.shape_of(x)[axis], d.integer(1, 4)
    attributes = {'axis': axis} if axis or d.chance(0.5) else {}
    if d.chance(0.5):
        cuts = sorted(d.integers(count - 1, 0, n))
        parts = [b - a for a, b in zip([0, *cuts], [*cuts, n])]
        if d.since(op) < 13:
            return d.node(op, [x], count, {**attributes, 'split': parts})
        return d.node(op, [x, d.ints(parts)], count, attributes)
    if d.since(op) >= 18:
        # With a last part that is empty or less the specification contradicts itself.
        each = -(-n // count)
        if n and each * (count - 1) >= n:
            raise NotNow('a part with nothing in it')
        return d.node(op, [x], count, {**attributes, 'num_outputs': count})
    if n % count:
        raise NotNow('parts that are not equal')
    return d.node(op, [x], count, attributes)


@operator('Concat', exact=True, weight=2)
def concat(d, op):
    x = moved(d, op, rank=range(1, 5))
    axis = d.axis(d.rank(x), d.since(op) >= 11)
    names = [x]
    for _ in range(d.choice([0, 1, 1, 1, 2, 3])):
        shape = d.shape_of(x)
        shape[axis] = d.size()
        names.append(d.choice(names) if d.chance(0.1) else d.like(d.dtype(x), shape))
    d.rng.shuffle(names)
    return d.node(op, [str(n) for n in names], 1, {'axis': axis})


@operator('Pad', exact=True, weight=2)
def pad(d, op):
    x = moved(d, op, rank=range(1, 5))
    modes = ['constant', 'constant', 'reflect', 'edge'] + (['wrap'] if d.since(op) >= 19 else [])
    mode = d.choice(modes)
    shape = d.shape_of(x)
    axes = None
    if d.since(op) >= 18 and d.chance(0.4):
        axes = d.axes(len(shape)) or [0]
    sizes = [shape[a] for a in axes] if axes else shape

    def amount(n):
        if mode == 'constant':
            return d.integer(-min(n // 2, 2), 3)
        if n == 0:
            return 0
        return d.integer(0, min(n - 1, 3)) if mode == 'reflect' else d.integer(0, min(n, 3))
    pads = [amount(n) for n in sizes] + [amount(n) for n in sizes]
    attributes = {'mode': mode} if mode != 'constant' or d.chance(0.5) else {}
    if d.since(op) < 11:
        if mode == 'constant':
            attributes.update(d.some(value=lambda: d.number(-2, 2)))
        return d.node(op, [x], 1, {**attributes, 'pads': pads})
    names = [x, d.ints(pads)]
    if mode == 'constant' and d.chance(0.6):
        names.append(d.scalar(d.integer(0, 3), d.dtype(x)) if d.dtype(x) != T.STRING else '')
    if axes:
        names += [''] * (3 - len(names)) + [d.ints(axes, d.choice([T.INT64, T.INT32]))]
    return d.node(op, names, 1, attributes)


@operator('Trilu', exact=True)
def trilu(d, op):
    x = moved(d, op, rank=range(2, 5))
    names = [x, d.scalar(d.integer(-4, 4), T.INT64)] if d.chance(0.6) else [x]
    return d.node(op, names, 1, d.some(upper=[0, 1]))


@operator('ReverseSequence', exact=True, weight=0.5)
def reverse_sequence(d, op):
    x = moved(d, op, rank=range(2, 5), accept=lambda a: min(a.shape[:2]) > 0)
    time = d.choice([0, 1])
    n = d.shape_of(x)
    lengths = d.ints([d.integer(1, n[time]) for _ in range(n[1 - time])])
    return d.node(op, [x, lengths], 1, {'time_axis': time, 'batch_axis': 1 - time})


def places(d, shape, n, negative):
    """Indices along an axis of n elements."""
    if n == 0 and np.prod(shape):
        raise NotNow('nothing to point at')
    low = -n if negative and d.chance(0.5) else 0
    data = d.rng.integers(low, max(n, low + 1), shape)
    dtype = d.choice([np.int64, np.int64, np.int32])
    return d.add(np.asarray(data).astype(dtype))


@operator('Gather', exact=True, weight=2)
def gather(d, op):
    x = moved(d, op, rank=range(1, 5))
    axis = d.axis(d.rank(x), d.since(op) >= 11)
    index = places(d, d.shape(d.integer(0, 2)), d.shape_of(x)[axis], d.since(op) >= 11)
    return d.node(op, [x, index], 1, {'axis': axis} if axis or d.chance(0.5) else {})


@operator('GatherElements', exact=True)
def gather_elements(d, op):
    x = moved(d, op, rank=range(1, 5))
    axis = d.axis(d.rank(x))
    shape = [d.integer(min(n, 1), n) for n in d.shape_of(x)]
    n = d.shape_of(x)[axis]
    shape[axis] = d.size() if n else 0
    return d.node(op, [x, places(d, shape, n, True)], 1,
                  {'axis': axis} if axis or d.chance(0.5) else {})


def tuples(d, shape, depth, batch, distinct=False):
    """Indices of `depth` axes behind `batch` ones; distinct: none twice."""
    outer = shape[:batch] + d.shape(d.integer(0 if batch else 1, 2))
    sizes = shape[batch:batch + depth]
    total, count = int(np.prod(sizes)), int(np.prod(outer))
    if count and (not total or distinct and count > total):
        raise NotNow('nothing to point at')
    flat = d.rng.permutation(total)[:count] if distinct else d.rng.integers(0, max(1, total), count)
    index = np.stack(np.unravel_index(flat, sizes), axis=-1) if count else \
        np.zeros((0, depth), np.int64)
    index = index.reshape(outer + [depth]).astype(np.int64)
    if d.chance(0.4):
        index = np.where(d.rng.random(index.shape) < 0.5, index, index - np.array(sizes))
    return d.add(index)


@operator('GatherND', exact=True)
def gather_nd(d, op):
    x = moved(d, op, rank=range(1, 5))
    rank = d.rank(x)
    batch = d.integer(0, min(2, rank - 1)) if d.since(op) >= 12 else 0
    depth = d.integer(1, rank - batch)
    return d.node(op, [x, tuples(d, d.shape_of(x), depth, batch)], 1,
                  {'batch_dims': batch} if batch or d.since(op) >= 12 and d.chance(0.3) else {})


def refuse_nan(d, reduction, *names):
    """NaN has no place in an order."""
    if reduction in ('max', 'min') and any(nan(d.data(n)) for n in names):
        raise NotNow('the largest of NaN and others')


@operator('ScatterElements', exact=True)
def scatter_elements(d, op):
    x = moved(d, op, rank=range(1, 5))
    axis = d.axis(d.rank(x))
    shape, n = d.shape_of(x), d.shape_of(x)[axis]
    reduction = d.choice(['none', *(['add', 'mul'] if d.since(op) >= 16 else []),
                          *(['max', 'min'] if d.since(op) >= 18 else [])])
    if d.dtype(x) in (T.BOOL, T.STRING):
        reduction = 'none'
    counts = [d.integer(min(m, 1), m) for m in shape]
    if reduction == 'none':  # which of two to the same place wins is not said
        order = np.argsort(d.rng.random(counts), axis=axis)
        index = order if n >= counts[axis] else order % max(1, n)
        index = d.add(index.astype(d.choice([np.int64, np.int32])))
    else:
        index = places(d, counts, n, True)
    updates = d.like(d.dtype(x), counts, mild=reduction != 'none')
    refuse_nan(d, reduction, x, updates)
    attributes = {'axis': axis} if axis or d.chance(0.5) else {}
    if reduction != 'none':
        attributes['reduction'] = reduction
    return d.node(op, [x, index, updates], 1, attributes)


@operator('ScatterND', exact=True)
def scatter_nd(d, op):
    x = moved(d, op, rank=range(1, 5))
    depth = d.integer(1, d.rank(x))
    reduction = d.choice(['none', *(['add', 'mul'] if d.since(op) >= 16 else []),
                          *(['max', 'min'] if d.since(op) >= 18 else [])])
    if d.dtype(x) in (T.BOOL, T.STRING):
        reduction = 'none'
    index = tuples(d, d.shape_of(x), depth, 0, reduction == 'none')
    updates = d.like(d.dtype(x), d.shape_of(index)[:-1] + d.shape_of(x)[depth:],
                     mild=reduction != 'none')
    refuse_nan(d, reduction, x, updates)
    return d.node(op, [x, index, updates], 1,
                  {'reduction': reduction} if reduction != 'none' else {})


@operator('OneHot', exact=True)
def one_hot(d, op):
    depth = d.integer(1, 5)
    index = d.add(d.rng.integers(-depth - 1, depth + 2, d.shape(d.integer(0, 3))).astype(
        d.choice([np.int64, np.int32, np.float32])))
    if d.since(op) < 11 and (d.data(index) < 0).any():
        raise NotNow('negative ones came later')
    values = d.leaf(d.type([t for t in d.types(op, 'T3') if t != T.STRING]), [2])
    size = d.add(np.array(depth if d.chance(0.5) else [depth]).astype(
        d.choice([np.int64, np.int32, np.float32])), free=False)
    return d.node(op, [index, size, values], 1,
                  d.some(axis=lambda: d.integer(-d.rank(index) - 1, d.rank(index))))


@operator('Compress', exact=True)
def compress(d, op):
    x = moved(d, op, rank=range(1, 5))
    attributes = {'axis': d.axis(d.rank(x), d.since(op) >= 11)} if d.chance(0.6) else {}
    n = d.shape_of(x)[attributes['axis']] if attributes else d.data(x).size
    return d.node(op, [x, d.leaf(T.BOOL, [d.integer(0, min(n, 30))])], 1, attributes)


@operator('CenterCropPad', exact=True, weight=0.5)
def center_crop_pad(d, op):
    x = moved(d, op, rank=range(1, 5))
    axes = d.axes(d.rank(x))
    count = len(axes) or d.rank(x)
    shape = d.ints([d.integer(1, 7) for _ in range(count)], d.choice([T.INT64, T.INT32]))
    return d.node(op, [x, shape], 1, {'axes': axes} if axes else {})


@operator('HannWindow', 'HammingWindow', 'BlackmanWindow', weight=0.3)
def window(d, op):
    size_ = d.scalar(d.integer(1, 20), d.choice([T.INT32, T.INT64]))
    return d.node(op, [size_], 1, d.some(periodic=[0, 1], output_datatype=[T.FLOAT, T.DOUBLE]))
