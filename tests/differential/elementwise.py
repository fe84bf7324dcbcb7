# SPDX-License-Identifier: Apache-2.0
"""Operators that go element by element."""

import numpy as np
from onnx import TensorProto as T

from draw import NotNow, only_floats, operator
from values import FLOATS, INTEGERS, MILD, limits


@operator('Exp', 'Sin', 'Cos', 'Tan', 'Asin', 'Acos', 'Atan', 'Sinh', 'Cosh', 'Tanh', 'Asinh',
          'Acosh', 'Atanh', 'Sigmoid', 'Softsign', 'Softplus', 'Mish', 'Erf', 'Reciprocal', 'Log',
          'Sqrt', 'HardSwish', weight=0.5)
@operator('Floor', 'Ceil', 'Round', 'Neg', 'Abs', 'Sign', 'Relu', 'BitwiseNot', 'Not', 'IsNaN',
          exact=True, weight=0.5)
def unary(d, op):
    types = d.types(op, schema_type(d, op))
    if op == 'Erf':  # how a fraction becomes an integer is not said
        types = [t for t in types if t in FLOATS]
    return d.node(op, [d.value(types)], 1)


def schema_type(d, op):
    return 'T1' if op in ('IsNaN', 'IsInf') else 'T'


@operator('LeakyRelu', 'ThresholdedRelu', 'Elu', 'Celu', 'Swish', weight=0.5)
def with_alpha(d, op):
    low = 0.1 if op == 'Celu' else -2
    return d.node(op, [d.value(d.types(op))], 1, d.some(alpha=lambda: d.number(low, 2)))


@operator('Selu', weight=0.5)
def selu(d, op):
    return d.node(op, [d.value(d.types(op))], 1,
                  d.some(alpha=lambda: d.number(0, 2), gamma=lambda: d.number(-2, 2)))


@operator('HardSigmoid', weight=0.5)
def hard_sigmoid(d, op):
    return d.node(op, [d.value(d.types(op))], 1,
                  d.some(alpha=lambda: d.number(-1, 1), beta=lambda: d.number(-1, 1)))


@operator('Shrink', weight=0.5)
def shrink(d, op):
    x = d.value(d.types(op))
    if d.dtype(x) in FLOATS:
        attributes = d.some(lambd=lambda: d.number(0, 2), bias=lambda: d.number(-1, 1))
    else:
        attributes = d.some(lambd=lambda: float(d.integer(0, 3)),
                            bias=lambda: float(d.integer(0, 2)))
        if d.dtype(x) not in (T.INT8, T.INT16, T.INT32, T.INT64):
            raise NotNow('what an unsigned type does below 0 is not said')
        low, high = limits(d.dtype(x))
        if d.data(x).size and (d.data(x).max() > high - 4 or d.data(x).min() < low + 4):
            raise NotNow('an overflow')
    return d.node(op, [x], 1, attributes)


@operator('Gelu', weight=0.5)
def gelu(d, op):
    return d.node(op, [d.value(d.types(op))], 1, d.some(approximate=['none', 'tanh']))


@operator('IsInf', exact=True, weight=0.5)
def is_inf(d, op):
    return d.node(op, [d.value(d.types(op, 'T1'))], 1,
                  d.some(detect_negative=[0, 1], detect_positive=[0, 1]))


@operator('PRelu')
def prelu(d, op):
    x = d.value(d.types(op))
    return d.node(op, [x, d.partner(x, grow=False)], 1)


@operator('Add', 'Sub', 'Mul', weight=2)
def arithmetic(d, op):
    a = d.value(d.types(op))
    return swapped(d, op, a, d.partner(a))


def swapped(d, op, a, b):
    return d.node(op, [a, b] if d.chance(0.6) else [b, a], 1)


def refuse_bad_division(d, a, b):
    """Division by 0, and of the least number by -1, is undefined for integers."""
    divisor = d.data(b)
    if d.dtype(b) in INTEGERS:
        if (divisor == 0).any():
            raise NotNow('division by 0')
        if d.data(a).size and (divisor == -1).any() and d.data(a).min() == limits(d.dtype(a))[0]:
            raise NotNow('an overflow')


@operator('Div')
def division(d, op):
    a = d.value(d.types(op))
    b = d.partner(a)
    if d.chance(0.5):
        a, b = b, a
    refuse_bad_division(d, a, b)
    return d.node(op, [a, b], 1)


@operator('Mod', exact=True)
def modulo(d, op):
    a = d.value(d.types(op))
    b = d.partner(a)
    refuse_bad_division(d, a, b)
    floats = d.dtype(a) in FLOATS
    if floats and (d.data(b) == 0).any():
        raise NotNow('fmod by 0 is left to C')
    return d.node(op, [a, b], 1, {'fmod': 1} if floats else d.some(fmod=[0, 1]))


@operator('Pow')
def power(d, op):
    a = d.value(d.types(op), mild=True)
    b = d.partner(a, low=-3, high=3)
    if d.since(op) >= 12 and d.chance(0.4):
        b = d.leaf(d.type(d.types(op, 'T1')), d.shape_of(b), low=-3, high=3)
    if d.dtype(a) in INTEGERS:
        # A negative power of an integer, and one that does not fit, is not defined.
        if d.data(b).size and not (d.data(b).astype(np.float64) >= 0).all():
            raise NotNow('a negative power')
        if d.dtype(b) in FLOATS and (d.data(b) != np.floor(d.data(b).astype(np.float64))).any():
            raise NotNow('a broken power of an integer')
        with np.errstate(all='ignore'):
            result = np.power(d.data(a).astype(np.float64), d.data(b).astype(np.float64))
        if result.size and not (np.abs(result) < 2 ** 31).all():
            raise NotNow('an overflow')
    return d.node(op, [a, b], 1)


@operator('Sum', 'Mean')
@operator('Max', 'Min', exact=True)
def several(d, op):
    first = d.value(d.types(op))
    names = [first] + [d.partner(first) for _ in range(d.choice([0, 1, 1, 1, 2, 3]))]
    if op in ('Sum', 'Mean') and any(not d.suits(d.graph.values[n], FLOATS + INTEGERS,
                                                 lambda a: True, True) for n in names):
        raise NotNow('an overflow, in some orders')
    shape = ()
    for name in names:
        try:
            shape = np.broadcast_shapes(shape, tuple(d.shape_of(name)))
        except ValueError as error:
            raise NotNow('shapes that do not fit') from error
    d.rng.shuffle(names)
    return d.node(op, [str(n) for n in names], 1)


@operator('Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual', exact=True, weight=0.7)
def comparison(d, op):
    a = d.value(d.types(op))
    return swapped(d, op, a, d.partner(a))


@operator('And', 'Or', 'Xor', exact=True, weight=0.5)
def logic(d, op):
    a = d.value([T.BOOL])
    return swapped(d, op, a, d.partner(a))


@operator('BitwiseAnd', 'BitwiseOr', 'BitwiseXor', exact=True, weight=0.5)
def bitwise(d, op):
    a = d.value(d.types(op))
    return swapped(d, op, a, d.partner(a))


@operator('BitShift', exact=True, weight=0.5)
def shift(d, op):
    a = d.value(d.types(op))
    # A shift by as many bits as there are, or more, is undefined in C and not defined here.
    bits = d.data(a).dtype.itemsize * 8
    b = d.leaf(d.dtype(a), [] if d.chance(0.3) else d.shape_of(a), low=0, high=7)
    if d.data(b).size and d.data(b).max() >= bits:
        raise NotNow('more bits than there are')
    return d.node(op, [a, b], 1, {'direction': d.choice(['LEFT', 'RIGHT'])})


@operator('Where', exact=True)
def where(d, op):
    a = d.value(d.types(op))
    condition = d.leaf(T.BOOL, [1 if d.chance(0.3) else n for n in d.shape_of(a)])
    b = d.partner(a)
    return d.node(op, [condition, a, b] if d.chance(0.5) else [condition, b, a], 1)


@operator('Clip', exact=True)
def clip(d, op):
    x = d.value(d.types(op))
    bounds = sorted([d.number(-3, 3), d.number(-3, 3)])
    if d.since(op) < 11:
        attributes = {}
        if d.chance(0.6):
            attributes['min'] = bounds[0]
        if d.chance(0.6):
            attributes['max'] = bounds[1]
        return d.node(op, [x], 1, attributes)
    if d.dtype(x) in INTEGERS:
        low, _ = limits(d.dtype(x))
        bounds = sorted(max(low, round(b)) for b in bounds)
    names = [d.scalar(b, d.dtype(x)) if d.chance(0.7) else '' for b in bounds]
    if '' in names and np.isinf(d.data(x).astype(np.float64)).any():
        raise NotNow('no bound by the body of the function, the largest number by the text')
    while names and not names[-1]:
        names.pop()
    return d.node(op, [x, *names], 1)


def cast_limits(target):
    """Floats beyond the range of an integer type, and NaN, become what nobody says."""
    low, high = limits(target)
    return lambda data: data.dtype.kind in 'biu' or bool(
        (np.isfinite(data.astype(np.float64)) & (data.astype(np.float64) >= max(low, -2.0 ** 62)) &
         (data.astype(np.float64) <= min(high, 2.0 ** 62))).all())


def cast_source(d, types, target):
    if target == T.BOOL or target in FLOATS:
        return d.value(types)
    if target in INTEGERS:
        return d.value(types, accept=cast_limits(target), low=0 if limits(target)[0] == 0 else -9,
                       high=9)
    return d.value(types, mild=True)


NUMBERS = FLOATS + INTEGERS + (T.BOOL,)


@operator('Cast', exact=True, weight=2)
def cast(d, op):
    targets = [t for t in d.types(op, 'T2') if t != T.STRING]
    target = d.type(targets)
    types = [t for t in d.types(op, 'T1') if t in NUMBERS]
    if target not in NUMBERS:
        types = [T.FLOAT, T.FLOAT16, T.BFLOAT16]
    x = cast_source(d, types, target)
    attributes = {'to': target}
    if target in (T.FLOAT8E4M3FN, T.FLOAT8E4M3FNUZ, T.FLOAT8E5M2, T.FLOAT8E5M2FNUZ):
        attributes.update(d.some(saturate=[0, 1]))
    return d.node(op, [x], 1, attributes)


@operator('CastLike', exact=True)
def cast_like(d, op):
    target = d.type([t for t in d.types(op, 'T2') if t in NUMBERS])
    x = cast_source(d, [t for t in d.types(op, 'T1') if t in NUMBERS], target)
    return d.node(op, [x, d.leaf(target, d.shape())], 1)


@operator('BitCast', exact=True)
def bit_cast(d, op):
    x = d.value([t for t in d.types(op, 'T1') if t in NUMBERS and t != T.BOOL])
    size = d.data(x).dtype.itemsize
    from values import numpy_type
    same = [t for t in d.types(op, 'T2') if t in NUMBERS and t != T.BOOL and
            numpy_type(t).itemsize == size]
    if d.graph.values[x].slack is not None:
        raise NotNow('bits that depend on rounding')
    return d.node(op, [x], 1, {'to': d.choice(same)})


@operator('Identity', exact=True, weight=0.5)
def identity(d, op):
    return d.node(op, [d.value(d.types(op, 'T' if d.since(op) < 14 else 'V'))], 1)


@operator('Dropout', exact=True, weight=0.5)
def dropout(d, op):
    """Not training: it is the identity, with a mask of ones."""
    x = d.value(only_floats(d.types(op)))
    # Before opset 12 it is not said what the mask is.
    count = d.choice([1, 1, 2]) if d.since(op) >= 12 else 1
    if d.since(op) < 12:
        return d.node(op, [x], count, d.some(ratio=lambda: d.number(0, 0.9)))
    names = [x]
    if d.chance(0.5):
        names.append(d.scalar(d.number(0, 0.9), T.FLOAT))
        if d.chance(0.5):
            names.append(d.scalar(False, T.BOOL))
    return d.node(op, names, count)


assert MILD
