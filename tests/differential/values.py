# SPDX-License-Identifier: Apache-2.0
"""Element types, and random elements of them."""

import ml_dtypes
import numpy as np
from onnx import TensorProto as T
from onnx import helper

F16, BF16, F32, F64 = T.FLOAT16, T.BFLOAT16, T.FLOAT, T.DOUBLE
FLOATS = (F16, BF16, F32, F64)
SIGNED = (T.INT8, T.INT16, T.INT32, T.INT64)
UNSIGNED = (T.UINT8, T.UINT16, T.UINT32, T.UINT64)
INTEGERS = SIGNED + UNSIGNED
F8 = (T.FLOAT8E4M3FN, T.FLOAT8E4M3FNUZ, T.FLOAT8E5M2, T.FLOAT8E5M2FNUZ)
PACKED = {T.UINT4: 4, T.INT4: 4, T.UINT2: 2, T.INT2: 2, T.FLOAT4E2M1: 4}
PLAIN = (F16, F32, F64, T.BOOL) + INTEGERS

# What a sum of products in this type may hold without coming near its largest number.
MILD = {F16: 30.0, BF16: 1e9, F32: 1e9, F64: 1e60}
# Rounding of a result, and of what goes into one.
RELATIVE = {F16: 4e-3, BF16: 3e-2, F32: 1e-5, F64: 1e-11}
STEP = {F16: 2.0 ** -9, BF16: 2.0 ** -6, F32: 2.0 ** -21, F64: 2.0 ** -46}


def numpy_type(dtype):
    if dtype == T.STRING:
        return np.dtype(object)
    return np.dtype(helper.tensor_dtype_to_np_dtype(dtype))


def type_of(array):
    if array.dtype.kind in 'OUST':
        return T.STRING
    return helper.np_dtype_to_tensor_dtype(array.dtype)


def is_float(dtype):
    return dtype in FLOATS


def limits(dtype):
    """The smallest and largest integer of an integer type."""
    if dtype == T.BOOL:
        return 0, 1
    info = ml_dtypes.iinfo(numpy_type(dtype))
    return int(info.min), int(info.max)


def as_wide(array):
    """As float64, or int64 and uint64 as they are: what numpy computes with."""
    if array.dtype.kind in 'biu' and array.dtype.itemsize == 8:
        return array
    with np.errstate(all='ignore'):
        return array.astype(np.float64)


def special_floats(dtype):
    info = ml_dtypes.finfo(numpy_type(dtype))
    return [np.nan, np.inf, -np.inf, 0.0, -0.0, float(info.smallest_subnormal),
            -float(info.smallest_subnormal), float(info.tiny), 1.0, -1.0]


def extreme_floats(dtype):
    info = ml_dtypes.finfo(numpy_type(dtype))
    return [float(info.max), float(info.min), float(info.max) / 2, float(info.eps)]


WORDS = ['', 'a', 'b', 'ab', 'A b', 'zebra', 'Zebra', 'na\u00efve', '\u4e2d\u6587', '0', '-1.5',
         'x,y']


def random_array(rng, dtype, shape, low=None, high=None, special=0.0, extreme=True):
    """Elements of [low, high]; `special`: the part of them that is NaN, infinite, largest, ..."""
    count = int(np.prod(shape, dtype=np.int64))
    if dtype == T.STRING:
        return np.array([WORDS[i] for i in rng.integers(0, len(WORDS), count)],
                        dtype=object).reshape(shape)
    if dtype == T.BOOL:
        return rng.integers(0, 2, shape).astype(bool)
    if dtype in FLOATS or dtype in F8 or dtype in (T.FLOAT4E2M1, T.FLOAT8E8M0):
        low, high = (-3 if low is None else low), (3 if high is None else high)
        how = rng.integers(0, 3)
        if dtype == T.FLOAT8E8M0:
            return np.asarray(2.0 ** rng.integers(-3, 4, shape)).astype(numpy_type(dtype))
        if how == 0:  # whole numbers: ties, and sums without rounding
            wide = rng.integers(int(np.ceil(low)), max(int(np.floor(high)), int(np.ceil(low))) + 1,
                                shape).astype(np.float64)
        elif how == 1:
            wide = rng.uniform(low, high, shape)
        else:
            wide = np.clip(rng.normal(0, 1, shape), low, high)
        if special and dtype in FLOATS:
            # What goes into sums of products has no subnormals: a factor that a pass moved may make
            # 0 of them, and NaN where they meet infinity.
            choices = [n for n in special_floats(dtype) if extreme or not 0 < abs(n) < 1e-4] + \
                (extreme_floats(dtype) if extreme else [])
            where = rng.random(shape) < special
            wide = np.where(where, np.array(choices)[rng.integers(0, len(choices), shape)], wide)
        with np.errstate(all='ignore'):
            return np.asarray(wide).astype(numpy_type(dtype))
    least, most = limits(dtype)
    low = max(least, -10 if low is None else int(low))
    high = min(most, 10 if high is None else int(high))
    array = rng.integers(low, high + 1, shape, dtype=np.int64) if high >= low else np.zeros(shape)
    array = np.asarray(array).astype(numpy_type(dtype))
    if special and extreme and array.size:
        ends = np.array([least, most, 0, 1], dtype=object)
        where = rng.random(shape) < special
        picks = ends[rng.integers(0, 4, shape)]
        array = np.where(where, np.asarray(picks, dtype=object), array.astype(object))
        array = np.asarray(array, dtype=object).astype(numpy_type(dtype))
    return array


def pack(array, bits):
    """Elements of 4 or 2 bits in bytes, the first in the low bits."""
    codes = array.reshape(-1).view(np.uint8) & ((1 << bits) - 1)
    per_byte = 8 // bits
    codes = np.concatenate([codes, np.zeros(-len(codes) % per_byte, np.uint8)])
    codes = codes.reshape(-1, per_byte)
    out = np.zeros(len(codes), np.uint8)
    for i in range(per_byte):
        out |= codes[:, i] << (i * bits)
    return out


def unpack(data, dtype, shape):
    bits = PACKED[dtype]
    count = int(np.prod(shape, dtype=np.int64))
    data = np.frombuffer(data, np.uint8)
    codes = np.stack([(data >> (i * bits)) & ((1 << bits) - 1) for i in range(8 // bits)], axis=1)
    codes = codes.reshape(-1)[:count].astype(np.int8)
    if dtype in (T.INT4, T.INT2):
        codes = np.where(codes >= 1 << (bits - 1), codes - (1 << bits), codes).astype(np.int8)
        return codes.astype(numpy_type(dtype)).reshape(shape)
    if dtype == T.FLOAT4E2M1:
        return codes.view(np.uint8).view(numpy_type(dtype)).reshape(shape)
    return codes.astype(numpy_type(dtype)).reshape(shape)
