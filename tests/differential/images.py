# SPDX-License-Identifier: Apache-2.0
"""Images through convolutions, and all that may stand between them: what works on them in the order
of the file, and what in the order that the passes give them."""

import numpy as np
from onnx import TensorProto as T
from onnx import helper, numpy_helper

import neural
import patterns
from control import info
from draw import TABLE, NotNow, schema

MOST = 12000  # elements of an image
CHANNELS = [1, 2, 3, 4, 7, 8, 15, 16, 16, 17, 24, 32, 33]


def entry(c, *operators):
    """A node as its description draws it; most often from the last value."""
    op = c.d.choice(operators)
    if schema(op, c.d.opset) is None:
        raise NotNow('no such operator')
    return c.entry(TABLE[op].draw, op)


def weights(c, shape, fan):
    return c.d.add(c.d.rng.normal(0, 1 / np.sqrt(max(fan, 1)), shape).astype(np.float32),
                   c.d.choice(['const', 'const', 'const', 'constant']) if c.d.chance(0.95)
                   else 'input')


def check_image(c, x):
    if c.d.rank(x) not in (3, 4) or 0 in c.d.shape_of(x) or \
            not np.isfinite(c.d.data(x)).all() or np.abs(c.d.data(x)).max() > 1e6:
        raise NotNow('no image')


def convolve(c, x, out, kernel, attributes, group=1):
    channels = c.d.shape_of(x)[1]
    if channels // group * int(np.prod(kernel)) > 400:
        raise NotNow('a sum whose rounding is larger than what is measured')
    names = [x, weights(c, [out, channels // group, *kernel],
                        channels // group * int(np.prod(kernel)))]
    if c.d.chance(0.6):
        names.append(weights(c, [out], 1))
    return c.node('Conv', names, {**attributes, **({'group': group} if group > 1 else {})})


def conv(c, x, out=None, same=False):
    """same: the result is as large as the image."""
    check_image(c, x)
    d = c.d
    channels, *spatial = d.shape_of(x)[1:]
    kernel = d.choice([[1], [3], [3], [3], d.integers(2, 1, 5)]) * 2
    kernel = kernel[:len(spatial)]
    group, out = 1, out or d.choice(CHANNELS + [channels] * 6)
    how = d.rng.random()
    if how < 0.2 and not same:
        group = out = channels
    elif how < 0.35:
        group = d.choice([g for g in (2, 3, 4) if channels % g == 0] or [1])
        out = 16 * group if group > 1 and not same and d.chance(0.8) else out
        group = group if out % group == 0 else 1
    if same or d.chance(0.3):
        kernel = [k | 1 for k in kernel]
        attributes = {'pads': [k // 2 for k in kernel] * 2}
    else:
        attributes = neural.windows(d, spatial, kernel)
    return convolve(c, x, out, kernel, attributes, group)


def transposed(c, x):
    check_image(c, x)
    d = c.d
    channels, *spatial = d.shape_of(x)[1:]
    n = len(spatial)
    kernel, strides = d.integers(n, 1, 4), d.integers(n, 1, 3)
    dilations = d.integers(n, 1, 2) if d.chance(0.2) else [1] * n
    attributes = {'strides': strides, 'dilations': dilations}
    if d.chance(0.4):
        attributes['output_padding'] = [d.integer(0, s - 1) for s in strides]
    pads = d.integers(2 * n, 0, 1) if d.chance(0.4) else [0] * 2 * n
    if any(pads):
        attributes['pads'] = pads
    for i in range(n):
        if strides[i] * (spatial[i] - 1) + (kernel[i] - 1) * dilations[i] + 1 <= \
                pads[i] + pads[i + n]:
            raise NotNow('a result with nothing in it')
    out = d.choice(CHANNELS)
    names = [x, weights(c, [channels, out, *kernel], channels * 4)]
    if d.chance(0.5):
        names.append(weights(c, [out], 1))
    return c.node('ConvTranspose', names, attributes)


def residual(c, x):
    """With an image that was there before, or one made of it."""
    d, shape = c.d, c.d.shape_of(x)
    found = [v for v in c.seen if v != x and d.shape_of(v) == shape]
    other = d.choice(found) if found else conv(c, x, shape[1], True)
    if d.chance(0.2):
        other = c.node('Concat', [other, x], {'axis': 1})
        x = c.node('Concat', [x, x], {'axis': 1})
    y = c.node(d.choice(['Add', 'Add', 'Add', 'Mul', 'Sub', 'Max', 'Min']),
               [x, other] if d.chance(0.5) else [other, x])
    return c.node('Relu', [y]) if d.chance(0.5) else y


def squeeze(c, x):
    check_image(c, x)
    d = c.d
    rank, channels = d.rank(x), d.shape_of(x)[1]
    if d.chance(0.6):
        y = c.node(d.choice(['GlobalAveragePool', 'GlobalMaxPool']), [x])
    else:
        y = reduce(c, x, list(range(2, rank)), 1)
    one = [1] * (rank - 2)
    y = c.node('Relu', [convolve(c, y, d.choice([4, 8, 16]), one, {})])
    y = convolve(c, y, channels, one, {})
    y = c.node(d.choice(['Sigmoid', 'HardSigmoid', 'Tanh']), [y])
    return c.node(d.choice(['Mul', 'Mul', 'Add']), [x, y] if d.chance(0.5) else [y, x])


def reduce(c, x, axes, keep):
    d = c.d
    neural.refuse_infinite(d, [x])  # NaN has no place in an order
    op = d.choice(['ReduceMean', 'ReduceMax', 'ReduceSum', 'ReduceMin'])
    since = 13 if op == 'ReduceSum' else 18
    axes = [a - d.rank(x) if d.opset >= 11 and d.chance(0.3) else a for a in axes]
    if d.opset >= since:
        return c.node(op, [x, d.ints(axes, kind=d.choice(['const', 'const', 'input']))],
                      {'keepdims': keep})
    return c.node(op, [x], {'axes': axes, 'keepdims': keep})


def reduction(c, x):
    axes = [a for a in range(c.d.rank(x)) if c.d.chance(0.5)] or [1]
    return reduce(c, x, axes, c.d.integer(0, 1))


def negative(c, axis, rank):
    return axis - rank if c.d.opset >= 11 and c.d.chance(0.3) else axis


def branches(c, x):
    d = c.d
    parts = [conv(c, x, None, True) for _ in range(d.integer(1, 2))] + [x] * d.integer(0, 2)
    parts = parts if len(parts) > 1 else parts * 2
    d.rng.shuffle(parts)
    parts = [str(p) for p in parts]
    if len({d.shape_of(p)[1] for p in parts}) > 1:
        axis = 1
    else:
        axis = d.choice([1, 1, 1] + list(range(d.rank(x))))
    return c.node('Concat', parts, {'axis': negative(c, axis, d.rank(x))})


def split(c, x):
    d = c.d
    axis = d.choice([1, 1, 1] + list(range(d.rank(x))))
    n = d.shape_of(x)[axis]
    cuts = sorted(d.integer(1, n) for _ in range(d.integer(1, 5)))
    sizes = np.diff([0, *[k for k in cuts if k < n], n]).tolist()
    sizes = [s for s in sizes if s > 0]
    attributes, inputs = {'axis': negative(c, axis, d.rank(x))}, [x]
    if d.opset >= 13:
        inputs.append(d.ints(sizes))
    else:
        attributes['split'] = sizes
    node = d.node('Split', inputs, len(sizes), attributes)
    c.put(node, True)
    parts = list(node.outputs)
    if len(set(sizes)) == 1 and len(parts) > 1 and d.chance(0.4):
        return c.node('Add', parts[:2])
    if d.chance(0.4):
        return d.choice(parts)
    parts = [c.node('Relu', [p]) if d.chance(0.3) else p for p in reversed(parts)]
    return c.node('Concat', parts, {'axis': axis})


def cut(c, x):
    d = c.d
    axes = [a for a in range(d.rank(x)) if d.chance(0.5)] or [1]
    starts, ends, steps = [], [], []
    for a in axes:
        n = d.shape_of(x)[a]
        first = d.integer(0, n - 1)
        starts.append(first), ends.append(d.integer(first + 1, n)), steps.append(d.integer(1, 2))
    if d.opset < 10:
        return c.node('Slice', [x], {'axes': axes, 'starts': starts, 'ends': ends}, True)
    axes = [negative(c, a, d.rank(x)) for a in axes]
    return c.node('Slice', [x, d.ints(starts), d.ints(ends), d.ints(axes), d.ints(steps)], {}, True)


def order(rank, to_last):
    return [0, *range(2, rank), 1] if to_last else [0, rank - 1, *range(1, rank - 1)]


def turn(c, x, to_last):
    return c.node('Transpose', [x], {'perm': order(c.d.rank(x), to_last)}, True)


def last(c, x):
    """As exporters write what works on the last axis, and back again, or not."""
    d = c.d
    y = turn(c, x, True)
    for _ in range(d.integer(0, 3)):
        how = d.integer(0, 3)
        channels = d.shape_of(y)[-1]
        if how == 0:
            y = patterns.layer_norm(c, y)
        elif how == 1:
            y = c.node('MatMul', [y, weights(c, [channels, d.choice(CHANNELS)], channels)])
        elif how == 2:
            y = c.node('Add', [y, weights(c, [channels], 1)])
        else:
            y = c.node(d.choice(['Relu', 'Gelu', 'Tanh', 'Sigmoid']), [y])
    if d.shape_of(y) == d.shape_of(x) and d.chance(0.3):
        return c.node('Add', [y, x])
    return turn(c, y, False) if d.chance(0.8) else y


def first(c, x):
    """Its last axis is what the channels are from here on."""
    return turn(c, x, False)


def constant(c, x):
    """Elementwise with a constant of any shape that fits."""
    d, shape = c.d, c.d.shape_of(x)
    other = [n if d.chance(0.5) else 1 for n in shape[d.integer(0, len(shape)):]]
    if d.chance(0.1):
        other = [1] * (len(shape) + 1)
    k = c.constant(d.rng.normal(0, 1, other))
    return c.node(d.choice(['Add', 'Mul', 'Sub', 'Max']), [x, k] if d.chance(0.5) else [k, x])


def choice_of(c, x):
    check_image(c, x)
    d, shape = c.d, c.d.shape_of(x)
    other = [n if d.chance(0.7) else 1 for n in shape]
    k = d.add(d.rng.integers(0, 2, other).astype(bool))
    return c.node('Where', [k, x, d.partner(x, False)])


# ---- Graphs of nodes ---------------------------------------------------------------------------

def body_conv(c, x, y):
    """Conv as large as the image and Relu: nodes of a body, and its constants."""
    d = c.d
    channels, *spatial = d.shape_of(x)[1:]
    name, made = d.name('w'), d.name('b')
    data = d.rng.normal(0, 1 / np.sqrt(channels * 9), [channels, channels] + [3] * len(spatial))
    nodes = [helper.make_node('Conv', [y, name], [made], pads=[1] * 2 * len(spatial))]
    return nodes, [numpy_helper.from_array(data.astype(np.float32), name)], made


def branch(c, x, like):
    d = c.d
    nodes, constants, made = body_conv(c, x, x) if d.chance(0.7) else ([], [], x)
    out = d.name('b')
    nodes.append(helper.make_node(d.choice(['Add', 'Mul', 'Max']), [made, like], [out]))
    return helper.make_graph(nodes, d.name('g'), [], [info(out, T.FLOAT, d.shape_of(x))], constants)


def condition(c, x):
    check_image(c, x)
    d = c.d
    like = d.choice([v for v in c.seen if d.shape_of(v) == d.shape_of(x)] or [x])
    yes = d.add(np.array(d.chance(0.5)), d.choice(['input', 'input', 'const']))
    node = d.node('If', [yes], 1, {'then_branch': branch(c, x, like),
                                   'else_branch': branch(c, x, x)})
    node.captured = list(dict.fromkeys([x, like]))
    c.put(node, False)
    return node.outputs[0]


def repeated(c, x):
    check_image(c, x)
    d = c.d
    step, go, keep, carried, out = (d.name(n) for n in ('i', 'c', 'k', 's', 'b'))
    nodes, constants, made = body_conv(c, x, carried)
    nodes.append(helper.make_node(d.choice(['Relu', 'Tanh']), [made], [made + 'r']))
    nodes.append(helper.make_node('Add', [made + 'r', x], [out]))
    nodes.append(helper.make_node('Identity', [go], [keep]))
    shape = d.shape_of(x)
    graph = helper.make_graph(
        nodes, d.name('g'),
        [info(step, T.INT64, []), info(go, T.BOOL, []), info(carried, T.FLOAT, shape)],
        [info(keep, T.BOOL, []), info(out, T.FLOAT, shape)], constants)
    node = d.node('Loop', [d.scalar(d.integer(0, 3), T.INT64), '', x], 1, {'body': graph})
    node.captured = [x]
    c.put(node, False)
    return node.outputs[0]


# ---- The chain ---------------------------------------------------------------------------------

def pooled(c, x):
    check_image(c, x)
    return entry(c, 'MaxPool', 'MaxPool', 'AveragePool', 'LpPool')


def whole(c, x):
    return entry(c, 'GlobalAveragePool', 'GlobalMaxPool', 'GlobalLpPool')


def other(c, x):
    """What the passes leave in the order of the file, and what only sometimes."""
    return entry(c, 'Pad', 'Resize', 'Softmax', 'LogSoftmax', 'ArgMax', 'Flatten', 'Reshape',
                 'Squeeze', 'Unsqueeze', 'Expand', 'Tile', 'Transpose', 'Cast', 'Clip', 'PRelu',
                 'InstanceNormalization', 'LRN', 'DepthToSpace', 'SpaceToDepth', 'CumSum',
                 'Gather', 'Shape', 'Mean', 'Sum', 'Dropout', 'Identity', 'MatMul', 'Where',
                 'BatchNormalization', 'BatchNormalization')


STEPS = [conv] * 10 + [transposed] * 3 + [residual] * 5 + [squeeze] * 2 + [branches] * 3 + \
    [split] * 3 + [cut] * 3 + [last] * 3 + [first] + [reduction] * 2 + [constant] * 3 + \
    [choice_of] + [condition] * 2 + [repeated] * 2 + [pooled] * 4 + [whole] + [other] * 8 + \
    [patterns.activation] * 6 + [patterns.affine] * 3


def start(d):
    big = d.chance(0.3)
    spatial = [d.integer(8, 18) if big else d.integer(1, 9) for _ in range(d.choice([1, 2, 2, 2]))]
    if len(spatial) == 1 and d.chance(0.3):
        spatial = [d.integer(150, 420)]
    channels = d.choice(CHANNELS)
    images = d.choice([1, 1, 1, 2, 3])
    shape = [images, channels, *spatial]
    if d.chance(0.15):
        shape = [images, *spatial, channels]
    return d.leaf(T.FLOAT, shape, 'input', mild=True)


def chain(d, add):
    c = patterns.Chain(d, add)
    d.chain, d.narrow_types = True, False
    d.special = d.special if d.chance(0.2) else 0.0
    x = start(d)
    c.seen = [x]
    wanted, tried = d.integer(2, 11), 0
    if d.rank(x) > 2 and d.chance(0.85):
        todo = [conv]
    else:
        todo = []
    while len(d.graph.nodes) < wanted and tried < 30:
        tried += 1
        before = dict(d.graph.values), list(d.graph.nodes)
        try:
            y = (todo.pop() if todo else d.choice(STEPS))(c, x)
        except NotNow:
            d.graph.values, d.graph.nodes = before
            continue
        value = d.graph.values[y]
        if value.is_tensor and value.dtype == T.FLOAT and value.data.ndim in (3, 4) and \
                0 < value.data.size < MOST:
            x = y
            c.seen.append(y)
        elif d.chance(0.2):
            break
