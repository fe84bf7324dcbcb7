# SPDX-License-Identifier: Apache-2.0
"""If, Loop and Scan around small graphs, and sequences and optionals."""

import numpy as np
from onnx import TensorProto as T
from onnx import helper, numpy_helper

from draw import NotNow, operator
from values import numpy_type

UNARY = ['Relu', 'Neg', 'Tanh', 'Abs', 'Exp', 'Identity', 'Sigmoid']


def info(name, dtype, shape):
    """With a shape: ONNX Runtime wants to know it in the graphs of Loop and Scan."""
    return helper.make_tensor_value_info(name, dtype, shape)


class Body:
    """A graph of a node. outer: values around it that it may use, of the type of what it makes."""

    def __init__(self, d, dtype, outer):
        self.d, self.dtype, self.outer, self.nodes = d, dtype, outer, []
        self.captured, self.constants = [], []

    def other(self):
        """A value from outside, or a constant scalar."""
        d = self.d
        if d.chance(0.5):
            name = d.choice(self.outer)
            self.captured.append(name)
            return name
        name = d.name('k')
        self.constants.append(numpy_helper.from_array(
            np.array(d.integer(-2, 2)).astype(numpy_type(self.dtype)), name))
        return name

    def chain(self, x, last=None):
        """A few nodes from x on; what the last one makes is called `last`."""
        d = self.d
        count = d.integer(1, 3)
        for i in range(count):
            y = last if last and i == count - 1 else d.name('b')
            if d.chance(0.5):
                pair = [x, self.other()]
                d.rng.shuffle(pair)
                self.nodes.append(helper.make_node(
                    d.choice(['Add', 'Mul', 'Sub']), [str(n) for n in pair], [y]))
            else:
                self.nodes.append(helper.make_node(d.choice(UNARY), [x], [y]))
            x = y
        return x

    def graph(self, inputs, outputs):
        return helper.make_graph(self.nodes, self.d.name('g'), inputs, outputs, self.constants)


def floats(d):
    return d.value([T.FLOAT, T.FLOAT, T.DOUBLE], rank=range(0, 4), mild=True,
                   accept=lambda a: a.size < 300)


@operator('If', weight=2)
def if_op(d, op):
    x = floats(d)
    dtype = d.dtype(x)
    condition = d.add(np.array(d.chance(0.5)))
    captured, branches = [], []
    for _ in range(2):
        body = Body(d, dtype, [x])
        body.captured.append(x)
        out = body.chain(x)
        captured += body.captured
        branches.append(body.graph([], [info(out, dtype, d.shape_of(x))]))
    node = d.node(op, [condition], 1, {'then_branch': branches[0], 'else_branch': branches[1]})
    node.captured = list(dict.fromkeys(captured))
    return node


@operator('Loop', weight=2)
def loop(d, op):
    x = floats(d)
    dtype = d.dtype(x)
    small = d.leaf(dtype, [] if d.chance(0.7) else d.shape_of(x), mild=True, low=-1, high=1)
    body = Body(d, dtype, [small])
    step, go, carried = d.name('i'), d.name('c'), d.name('s')
    out = body.chain(carried)
    shape = d.shape_of(x)
    outputs = [info(out, dtype, shape)]
    count = 1
    if d.chance(0.6):  # what is collected
        outputs.append(info(body.chain(out), dtype, shape))
        count = 2
    keep = d.name('go')
    if d.chance(0.3):
        body.constants.append(numpy_helper.from_array(np.array(d.integer(0, 3)), 'limit'))
        body.nodes.append(helper.make_node('Less', [step, 'limit'], [keep]))
        if d.opset < 9:
            raise NotNow('Less of integers came later')
    else:
        body.nodes.append(helper.make_node('Identity', [go], [keep]))
    graph = body.graph([info(step, T.INT64, []), info(go, T.BOOL, []), info(carried, dtype, shape)],
                       [info(keep, T.BOOL, []), *outputs])
    trips = d.scalar(d.integer(0 if count == 1 else 1, 4), T.INT64)
    node = d.node(op, [trips, d.scalar(True, T.BOOL) if d.chance(0.6) else '', x], count,
                  {'body': graph})
    node.captured = list(dict.fromkeys(body.captured))
    return node


@operator('Scan', weight=1.5)
def scan(d, op):
    if d.opset < 9:
        raise NotNow('the form of opset 8 has a batch')
    dtype = d.type([T.FLOAT, T.FLOAT, T.DOUBLE])
    row = d.shape(d.integer(0, 2))
    length, axis = d.integer(1, 4), d.integer(0, len(row))
    state = d.like(dtype, row, mild=True)
    items = d.like(dtype, row[:axis] + [length] + row[axis:], mild=True)
    small = d.leaf(dtype, [], low=-1, high=1, mild=True)
    body = Body(d, dtype, [small])
    s, item = d.name('s'), d.name('e')
    joined = d.name('b')
    body.nodes.append(helper.make_node(d.choice(['Add', 'Mul', 'Sub']), [s, item], [joined]))
    out = body.chain(joined)
    collected = body.chain(item if d.chance(0.3) else out)
    graph = body.graph([info(s, dtype, row), info(item, dtype, row)],
                       [info(out, dtype, row), info(collected, dtype, row)])
    attributes = {'body': graph, 'num_scan_inputs': 1}
    if axis:
        attributes['scan_input_axes'] = [axis]
    attributes.update(d.some(scan_input_directions=[[0], [1]], scan_output_directions=[[0], [1]]))
    if d.chance(0.4):
        attributes['scan_output_axes'] = [d.integer(-1 if d.opset >= 11 else 0, len(row))]
    node = d.node(op, [state, items], 2, attributes)
    node.captured = list(dict.fromkeys(body.captured))
    return node


# ---- Sequences ---------------------------------------------------------------------------------

SEQUENCE_TYPES = [T.FLOAT, T.INT64, T.DOUBLE, T.INT32]


def sequence(d, accept=lambda data: True):
    found = [v for v in d.graph.values.values()
             if not v.is_tensor and len(v.data) and accept(v.data)]
    if not found:
        raise NotNow('no sequence')
    return d.choice(found[-3:])


def place(d, count, dtype=None):
    return d.scalar(d.integer(-count, count - 1), dtype or d.choice([T.INT64, T.INT32]))


@operator('SequenceConstruct', exact=True)
def sequence_construct(d, op):
    x = d.value(SEQUENCE_TYPES, rank=range(0, 4))
    return d.node(op, [x] + [d.like(d.dtype(x), d.shape_of(x) if d.chance(0.5) else
                                    d.shape(d.rank(x))) for _ in range(d.integer(0, 3))], 1)


@operator('SplitToSequence', exact=True)
def split_to_sequence(d, op):
    x = d.value(SEQUENCE_TYPES, rank=range(1, 4), accept=lambda a: a.size > 0)
    axis = d.axis(d.rank(x))
    n = d.shape_of(x)[axis]
    how = d.integer(0, 2)
    if how == 0:
        return d.node(op, [x], 1, {'axis': axis, 'keepdims': d.integer(0, 1)})
    if how == 1:
        return d.node(op, [x, d.scalar(d.integer(1, n), T.INT64)], 1, {'axis': axis})
    cut = d.integer(0, n)
    return d.node(op, [x, d.ints([cut, n - cut])], 1, {'axis': axis})


@operator('SequenceAt', exact=True)
def sequence_at(d, op):
    s = sequence(d)
    return d.node(op, [s.name, place(d, len(s.data))], 1)


@operator('SequenceLength', exact=True)
def sequence_length(d, op):
    return d.node(op, [sequence(d).name], 1)


@operator('SequenceInsert', exact=True)
def sequence_insert(d, op):
    s = sequence(d)
    from values import type_of
    names = [s.name, d.leaf(type_of(s.data[0]), d.shape())]
    return d.node(op, names + ([place(d, len(s.data))] if d.chance(0.6) else []), 1)


@operator('SequenceErase', exact=True)
def sequence_erase(d, op):
    s = sequence(d, lambda data: len(data) > 1)
    return d.node(op, [s.name] + ([place(d, len(s.data))] if d.chance(0.6) else []), 1)


@operator('ConcatFromSequence', exact=True)
def concat_from_sequence(d, op):
    s = sequence(d)
    new = d.integer(0, 1)
    rank = s.data[0].ndim + new
    if rank == 0:
        raise NotNow('no axis')
    axis = d.axis(rank)
    kept = [tuple(np.delete(a.shape, axis)) if not new else a.shape for a in s.data
            if new or a.ndim == rank]
    if len(kept) < len(s.data) or len(set(kept)) != 1:
        raise NotNow('shapes that do not fit')
    return d.node(op, [s.name], 1, {'axis': axis, 'new_axis': new})
