# SPDX-License-Identifier: Apache-2.0
"""Both sides: libmodelmesh by its public C interface, and ONNX Runtime.

An answer is a list of outputs: arrays, and lists and dictionaries of what sequences and maps hold.
"""

import ctypes
import itertools

import numpy

MAX_RANK = 8
TENSOR, SEQUENCE, OPTIONAL, MAP = range(4)
STRING = 8
DTYPES = {1: numpy.float32, 2: numpy.uint8, 3: numpy.int8, 4: numpy.uint16, 5: numpy.int16,
          6: numpy.int32, 7: numpy.int64, 9: numpy.bool_, 10: numpy.float16, 11: numpy.float64,
          12: numpy.uint32, 13: numpy.uint64}
CODES = {numpy.dtype(dtype): code for code, dtype in DTYPES.items()}


class Failure(Exception):
    """An engine refuses a model, or a request."""


# ---- The structs of modelmesh/types.h and modelmesh.h -------------------------------------------

class Error(ctypes.Structure):
    _fields_ = [('status', ctypes.c_int32), ('reserved', ctypes.c_uint32),
                ('retry_after_ns', ctypes.c_uint64), ('needed_bytes', ctypes.c_uint64),
                ('available_bytes', ctypes.c_uint64), ('text', ctypes.c_char * 480)]


class Value(ctypes.Structure):
    pass


Value._fields_ = [
    ('name', ctypes.c_char_p), ('kind', ctypes.c_int32), ('dtype', ctypes.c_int32),
    ('rank', ctypes.c_uint32), ('flags', ctypes.c_uint32), ('shape', ctypes.c_int64 * MAX_RANK),
    ('data', ctypes.c_void_p), ('bytes', ctypes.c_uint64),
    ('offsets', ctypes.POINTER(ctypes.c_uint64)), ('items', ctypes.POINTER(Value)),
    ('item_count', ctypes.c_uint64)]


class Model(ctypes.Structure):
    _fields_ = [('id', ctypes.c_uint64)]


class Spec(ctypes.Structure):
    _fields_ = [
        ('struct_size', ctypes.c_uint32), ('flags', ctypes.c_uint32), ('name', ctypes.c_char_p),
        ('source', ctypes.c_char_p), ('data', ctypes.c_void_p), ('data_bytes', ctypes.c_uint64),
        ('format', ctypes.c_char_p), ('backend', ctypes.c_char_p), ('device', ctypes.c_char_p),
        ('config', ctypes.c_char_p), ('evict_class', ctypes.c_int32),
        ('replicas', ctypes.c_uint32), ('max_concurrency', ctypes.c_uint32),
        ('max_queued', ctypes.c_uint32), ('idle_ttl_ns', ctypes.c_uint64),
        ('min_residency_ns', ctypes.c_uint64), ('warm_up', ctypes.c_char_p),
        ('min_replicas', ctypes.c_uint32), ('source_changes', ctypes.c_int32)]


class Request(ctypes.Structure):
    _fields_ = [
        ('struct_size', ctypes.c_uint32), ('priority', ctypes.c_int32),
        ('inputs', ctypes.POINTER(Value)), ('input_count', ctypes.c_uint32),
        ('output_count', ctypes.c_uint32), ('outputs', ctypes.POINTER(ctypes.c_char_p)),
        ('binding', ctypes.c_void_p), ('deadline_ns', ctypes.c_uint64),
        ('stream', ctypes.c_void_p), ('stream_location', ctypes.c_uint32),
        ('reserved', ctypes.c_uint32)]


class Response(ctypes.Structure):
    _fields_ = [
        ('struct_size', ctypes.c_uint32), ('flags', ctypes.c_uint32),
        ('outputs', ctypes.POINTER(Value)), ('output_capacity', ctypes.c_uint32),
        ('output_count', ctypes.c_uint32), ('wait_ns', ctypes.c_uint64),
        ('owned', ctypes.c_void_p)]


# ---- Values ------------------------------------------------------------------------------------

def to_value(name, array):
    """A value, and what must live as long as it does."""
    array = numpy.asarray(array)
    value = Value(name=name.encode(), kind=TENSOR, rank=array.ndim)
    value.shape[:array.ndim] = array.shape
    if array.dtype.kind in 'OU':
        texts = [str(text).encode() for text in array.ravel()]
        data = ctypes.create_string_buffer(b''.join(texts), sum(map(len, texts)) + 1)
        offsets = (ctypes.c_uint64 * (len(texts) + 1))(
            *itertools.accumulate(map(len, texts), initial=0))
        value.dtype, value.bytes, value.offsets = STRING, offsets[len(texts)], offsets
        value.data = ctypes.addressof(data)
        return value, (data, offsets)
    array = numpy.ascontiguousarray(array)
    value.dtype, value.bytes, value.data = CODES[array.dtype], array.nbytes, array.ctypes.data
    return value, array


def from_tensor(value):
    shape = tuple(value.shape[:value.rank])
    data = ctypes.string_at(value.data, value.bytes) if value.bytes else b''
    if value.dtype == STRING:
        count = int(numpy.prod(shape, dtype=int))
        texts = [data[value.offsets[i]:value.offsets[i + 1]].decode() for i in range(count)]
        return numpy.array(texts, dtype=object).reshape(shape)
    return numpy.frombuffer(data, DTYPES[value.dtype]).reshape(shape).copy()


def from_value(value):
    if value.kind == TENSOR:
        return from_tensor(value)
    items = [from_value(value.items[i]) for i in range(value.item_count)]
    if value.kind == MAP:
        return dict(zip(items[0].tolist(), list(items[1])))
    return items


# ---- Ours --------------------------------------------------------------------------------------

class Ours:
    """One mesh; a model is loaded for each answer, and leaves again."""

    def __init__(self, library):
        self.lib = ctypes.CDLL(library)
        for name in ('mm_unregister', 'mm_infer'):
            getattr(self.lib, name).restype = ctypes.c_int
        self.mesh = ctypes.c_void_p()
        self.check('mm_mesh_create', None, ctypes.byref(self.mesh))

    def check(self, name, *arguments):
        err = Error()
        if getattr(self.lib, name)(*arguments, ctypes.byref(err)) != 0:
            raise Failure(err.text.decode())

    def close(self):
        self.lib.mm_mesh_free(ctypes.byref(self.mesh))

    def answers(self, content, requests):
        """The answer to each request, a dictionary of arrays."""
        spec = Spec(struct_size=ctypes.sizeof(Spec), name=b'model', format=b'onnx',
                    data=ctypes.cast(content, ctypes.c_void_p), data_bytes=len(content))
        model = Model()
        self.check('mm_register', self.mesh, ctypes.byref(spec), ctypes.byref(model))
        try:
            return [self.answer(model, request) for request in requests]
        finally:
            self.check('mm_unregister', self.mesh, model)

    def answer(self, model, arrays):
        made = [to_value(name, array) for name, array in arrays.items()]
        inputs = (Value * len(made))(*(value for value, _ in made))
        request = Request(struct_size=ctypes.sizeof(Request), inputs=inputs,
                          input_count=len(made))
        response = Response(struct_size=ctypes.sizeof(Response))
        self.check('mm_infer', self.mesh, model, ctypes.byref(request), ctypes.byref(response))
        try:
            return [from_value(response.outputs[i]) for i in range(response.output_count)]
        finally:
            self.lib.mm_response_free(ctypes.byref(response))


# ---- ONNX Runtime ------------------------------------------------------------------------------

def runtime_answers(content, requests, optimise=True):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(content, options,
                                               providers=['CPUExecutionProvider'])
        return [session.run(None, request) for request in requests]
    except Exception as failure:  # its own classes, one for each status
        raise Failure(str(failure).split('\n', 1)[0]) from failure
