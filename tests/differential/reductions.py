# SPDX-License-Identifier: Apache-2.0
"""Reductions, and what else walks along an axis."""

import numpy as np
from onnx import TensorProto as T

from draw import NotNow, operator
from values import FLOATS, INTEGERS, MILD


@operator('ReduceSum', 'ReduceMean', 'ReduceProd', 'ReduceL1', 'ReduceL2', 'ReduceSumSquare',
          'ReduceLogSum', 'ReduceLogSumExp', weight=0.7)
@operator('ReduceMax', 'ReduceMin', exact=True, weight=0.7)
def reduction(d, op):
    # NaN has no place in an order, so what the largest is beside it is not said.
    x = d.value(d.types(op), mild=True,
                accept=lambda a: op not in ('ReduceMax', 'ReduceMin') or not nan(a))
    if d.dtype(x) in INTEGERS:
        if op in ('ReduceL2', 'ReduceLogSum', 'ReduceLogSumExp', 'ReduceMean'):
            raise NotNow('how a fraction becomes an integer is not said')
        if d.data(x).size and np.abs(d.data(x).astype(np.float64)).max() > 11:
            raise NotNow('an overflow')
    if op == 'ReduceProd':
        with np.errstate(all='ignore'):
            most = np.prod(np.maximum(np.abs(d.data(x).astype(np.float64)), 1))
        if not most < (MILD[d.dtype(x)] * 1000 if d.dtype(x) in FLOATS else 2.0 ** 31):
            raise NotNow('an overflow, in some orders')
    attributes = d.some(keepdims=[0, 1])
    axes = d.axes(d.rank(x), d.since(op) >= 11)
    as_input = d.since(op) >= (13 if op == 'ReduceSum' else 18)
    if not as_input:
        if axes and d.chance(0.8):
            attributes['axes'] = axes
        return d.node(op, [x], 1, attributes)
    attributes.update(d.some(noop_with_empty_axes=[0, 1]))
    return d.node(op, [x, d.ints(axes)] if d.chance(0.7) else [x], 1, attributes)


@operator('ArgMax', 'ArgMin', exact=True, weight=0.7)
def arg(d, op):
    x = d.value(d.types(op), rank=range(1, 5), accept=lambda a: not nan(a))
    attributes = d.some(axis=lambda: d.axis(d.rank(x), d.since(op) >= 11), keepdims=[0, 1])
    if d.since(op) >= 12:
        attributes.update(d.some(select_last_index=[0, 1]))
    if d.shape_of(x)[attributes.get('axis', 0)] == 0:
        raise NotNow('the largest of none')
    return d.node(op, [x], 1, attributes)


def nan(data):
    """NaN has no place in an order."""
    return data.dtype.kind not in 'biu' and bool(np.isnan(data.astype(np.float64)).any())


@operator('CumSum', 'CumProd', weight=0.7)
def cumulation(d, op):
    x = d.value(d.types(op), rank=range(1, 5), mild=True)
    if op == 'CumProd' and d.dtype(x) in INTEGERS and d.data(x).size and \
            np.abs(d.data(x).astype(np.float64)).max() > 11:
        raise NotNow('an overflow')
    axis = d.scalar(d.axis(d.rank(x)), d.choice([T.INT32, T.INT64]))
    return d.node(op, [x, axis], 1, d.some(exclusive=[0, 1], reverse=[0, 1]))


@operator('Softmax', 'LogSoftmax', weight=1.5)
@operator('Hardmax', exact=True, weight=0.5)
def softmax(d, op):
    # Infinity less infinity: engines differ in what becomes of the others.
    x = d.value(d.types(op), rank=range(1, 5), mild=True,
                accept=lambda a: not nan(a) and not np.isposinf(a.astype(np.float64)).any())
    attributes = d.some(axis=lambda: d.axis(d.rank(x), d.since(op) >= 11))
    if d.since(op) < 13 and d.rank(x) == 1:
        attributes['axis'] = 0  # the default, 1, is an axis that it does not have
    return d.node(op, [x], 1, attributes)


@operator('TopK', exact=True)
def top_k(d, op):
    x = d.value(d.types(op), rank=range(1, 5), accept=lambda a: not nan(a))
    axis = d.axis(d.rank(x), d.since(op) >= 11)
    size = d.shape_of(x)[axis]
    if d.since(op) < 11:
        data = d.data(x)  # which of equal ones comes first is not said there
        if np.unique(data.astype(np.float64)).size != data.size:
            raise NotNow('ties')
    attributes = {'axis': axis} if axis != -1 or d.chance(0.3) else {}
    if d.since(op) >= 11:
        attributes.update(d.some(largest=[0, 1]))  # sorted=0 leaves the order open
    if d.since(op) < 10:
        if size == 0:
            raise NotNow('k must be positive')
        return d.node(op, [x], 2, {**attributes, 'k': d.integer(1, size)})
    return d.node(op, [x, d.ints([d.integer(0, size)])], 2, attributes)


@operator('NonZero', exact=True)
def non_zero(d, op):
    # When a text is zero is not said.
    return d.node(op, [d.value([t for t in d.types(op) if t != T.STRING], rank=range(1, 5))], 1)


@operator('Unique', exact=True)
def unique(d, op):
    x = d.value([t for t in d.types(op) if t != T.STRING], accept=lambda a: not nan(a))
    attributes = d.some(sorted=[0, 1])
    if d.rank(x) and d.chance(0.5):
        attributes['axis'] = d.axis(d.rank(x))
    return d.node(op, [x], d.integer(1, 4), attributes)


@operator('LpNormalization', weight=0.7)
def lp_normalization(d, op):
    x = d.value(d.types(op), rank=range(1, 5), mild=True, accept=lambda a: a.size > 0)
    return d.node(op, [x], 1, d.some(axis=lambda: d.axis(d.rank(x)), p=[1, 2]))


@operator('MatMul', weight=3)
def matmul(d, op):
    a = d.value(d.types(op), rank=range(1, 5), mild=True)
    dtype, shape = d.dtype(a), d.shape_of(a)
    if dtype in INTEGERS and d.data(a).size and np.abs(d.data(a).astype(np.float64)).max() > 11:
        raise NotNow('an overflow')
    right = d.chance(0.7)
    inner = shape[-1] if right or len(shape) == 1 else shape[-2]
    batch = [1 if d.chance(0.3) else n for n in shape[:-2]]
    batch = batch[d.integer(0, len(batch)):]
    if d.chance(0.2):
        other = [inner]
    elif right:
        other = batch + [inner, d.size()]
    else:
        other = batch + [d.size(), inner]
    if not right and len(shape) == 1 and len(other) == 1:
        right = True
    b = d.leaf(dtype, other, kind='const' if d.chance(0.4) else None, mild=True)
    return d.node(op, [a, b] if right else [b, a], 1)


@operator('Gemm', weight=3)
def gemm(d, op):
    a = d.value(d.types(op), rank=2, mild=True)
    dtype, (rows, columns) = d.dtype(a), d.shape_of(a)
    attributes = d.some(transA=[0, 1], transB=[0, 1])
    if dtype in FLOATS:
        attributes.update(d.some(alpha=lambda: d.number(-2, 2),
                                 beta=lambda: d.choice([0.0, 1.0, d.number(-2, 2)])))
    if attributes.get('transA'):
        rows, columns = columns, rows
    n = d.size()
    shape = [n, columns] if attributes.get('transB') else [columns, n]
    names = [a, d.leaf(dtype, shape, kind='const' if d.chance(0.5) else None, mild=True)]
    if d.since(op) < 11 or d.chance(0.7):
        bias = d.choice([[], [1], [n], [1, n], [rows, 1], [rows, n], [1, 1]])
        names.append(d.leaf(dtype, bias, kind='const' if d.chance(0.5) else None, mild=True))
    if attributes.get('beta') == 0 and len(names) > 2 and not np.isfinite(
            d.data(names[2]).astype(np.float64)).all():
        raise NotNow('0 times infinity: BLAS leaves the product out, the formula does not')
    if dtype in INTEGERS and any(d.data(m).size and np.abs(d.data(m).astype(np.float64)).max() > 11
                                 for m in names):
        raise NotNow('an overflow')
    return d.node(op, names, 1, attributes)


@operator('Det', weight=0.5)
def det(d, op):
    n = d.integer(1, 4)
    shape = d.shape(d.integer(0, 2)) + [n, n]
    return d.node(op, [d.leaf(d.type(d.types(op)), shape, mild=True)], 1)


EQUATIONS = ['ij,jk->ik', 'ij,jk', 'bij,bjk->bik', 'ii->i', 'ii', 'ij->ji', 'i,j->ij', 'ij->',
             'bhid,bhjd->bhij', '...ij,...jk->...ik', '...i->...', 'ij,ij->i', 'i,i', 'ijk,k->ij',
             'ij,kj->ik', 'abc,cd,bd->a', '...,...->...', 'i...->...i', 'iij->ij', 'ba,ca->bc']


@operator('Einsum')
def einsum(d, op):
    equation = d.choice(EQUATIONS)
    sizes = {}
    dots = d.shape(d.integer(0, 2))
    dtype = d.type(d.types(op))
    names = []
    for term in equation.split('->')[0].split(','):
        shape = []
        letters = term.replace('...', '.')
        for letter in letters:
            shape += dots if letter == '.' else [sizes.setdefault(letter, d.size())]
        names.append(d.like(dtype, shape, mild=True))
    spaced = equation.replace(',', ' , ') if d.chance(0.2) else equation
    return d.node(op, names, 1, {'equation': spaced})
