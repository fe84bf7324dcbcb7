# SPDX-License-Identifier: Apache-2.0
"""libmodelmesh in this process, through its public C interface."""

import ctypes as c
import os

import ml_dtypes  # noqa: F401 (numpy learns its types)
import numpy as np
from onnx import TensorProto as T

from values import PACKED, numpy_type, pack, type_of, unpack

NO_THREADS = 0xffffffff
TENSOR, SEQUENCE, OPTIONAL, MAP = 0, 1, 2, 3


class Error(c.Structure):
    _fields_ = [('status', c.c_int32), ('reserved', c.c_uint32), ('retry_after_ns', c.c_uint64),
                ('needed', c.c_uint64), ('available', c.c_uint64), ('text', c.c_char * 480)]


class Value(c.Structure):
    pass


Value._fields_ = [('name', c.c_char_p), ('kind', c.c_int32), ('dtype', c.c_int32),
                  ('rank', c.c_uint32), ('flags', c.c_uint32), ('shape', c.c_int64 * 8),
                  ('data', c.c_void_p), ('bytes', c.c_uint64),
                  ('offsets', c.POINTER(c.c_uint64)), ('items', c.POINTER(Value)),
                  ('item_count', c.c_uint64)]


class DeviceOptions(c.Structure):
    _fields_ = [('struct_size', c.c_uint32), ('reserved', c.c_uint32), ('name', c.c_char_p),
                ('budget_bytes', c.c_uint64), ('sim', c.c_uint64 * 4)]


class ModelSpec(c.Structure):
    _fields_ = [('struct_size', c.c_uint32), ('flags', c.c_uint32), ('name', c.c_char_p),
                ('source', c.c_char_p), ('data', c.c_char_p), ('data_bytes', c.c_uint64),
                ('format', c.c_char_p), ('backend', c.c_char_p), ('device', c.c_char_p),
                ('config', c.c_char_p), ('rest', c.c_uint64 * 16)]


class Request(c.Structure):
    _fields_ = [('struct_size', c.c_uint32), ('priority', c.c_int32), ('inputs', c.POINTER(Value)),
                ('input_count', c.c_uint32), ('output_count', c.c_uint32),
                ('outputs', c.POINTER(c.c_char_p)), ('binding', c.c_void_p),
                ('deadline_ns', c.c_uint64), ('stream', c.c_void_p),
                ('stream_location', c.c_uint32), ('reserved', c.c_uint32)]


class Response(c.Structure):
    _fields_ = [('struct_size', c.c_uint32), ('flags', c.c_uint32), ('outputs', c.POINTER(Value)),
                ('capacity', c.c_uint32), ('count', c.c_uint32), ('wait_ns', c.c_uint64),
                ('owned', c.c_void_p)]


class AbiEntry(c.Structure):
    _fields_ = [('name', c.c_char_p), ('value', c.c_uint64)]


class Failed(Exception):
    """A call of ours ended with a status; the text says why."""


def sizes(library):
    """The sizes and offsets of the library's structs."""
    library.mm_abi_table.restype = c.POINTER(AbiEntry)
    table, found, i = library.mm_abi_table(None, None), {}, 0
    while table[i].name:
        found[table[i].name.decode()] = table[i].value
        i += 1
    return found


class Ours:
    def __init__(self, build, cpu_features=0):
        self.library = c.CDLL(os.path.join(build, 'lib/libmodelmesh.so'))
        self.sizes = sizes(self.library)
        for name, struct in (('mm_value', Value), ('mm_request', Request),
                             ('mm_response', Response), ('mm_error', Error)):
            if self.sizes[name] != c.sizeof(struct):
                raise RuntimeError(f'{name} has {self.sizes[name]} bytes, not {c.sizeof(struct)}')
        self.mesh, self.count = c.c_void_p(), 0
        self.library.mm_status_name.restype = c.c_char_p
        # mm_mesh_options by offsets: most of it stays as it is by default.
        device = DeviceOptions(c.sizeof(DeviceOptions), 0, b'host', 1 << 30)
        size = self.sizes['mm_mesh_options']
        options = (c.c_uint8 * size)()
        self.library.mm_mesh_options_init(options, size)

        def put(field, kind, value):
            kind.from_buffer(options, self.sizes['mm_mesh_options.' + field]).value = value
        put('devices', c.c_void_p, c.addressof(device))
        put('device_count', c.c_uint32, 1)
        put('compute_threads', c.c_uint32, 1)
        for field in ('infer_threads', 'load_threads', 'prepare_threads'):
            put(field, c.c_uint32, NO_THREADS)
        put('artifact_budget_bytes', c.c_uint64, 1 << 24)
        put('cpu_features', c.c_uint64, cpu_features)
        error = Error()
        self._must(self.library.mm_mesh_create(options, c.byref(self.mesh), c.byref(error)), error)

    def _must(self, status, error):
        if status != 0:
            name = self.library.mm_status_name(status).decode()
            raise Failed(f'{name}: {error.text.decode(errors="replace")}')

    def run(self, model, inputs, config=''):
        """model: bytes; inputs: arrays, or lists of them, by name. The outputs, in order."""
        error, spec, handle = Error(), ModelSpec(), c.c_uint64()
        self.count += 1
        spec.struct_size = self.sizes['mm_model_spec']
        spec.name, spec.format = b'm%d' % self.count, b'onnx'
        spec.data, spec.data_bytes = model, len(model)
        spec.config = config.encode()
        self._must(self.library.mm_register(self.mesh, c.byref(spec), c.byref(handle),
                                            c.byref(error)), error)
        try:
            return self._infer(handle, inputs, error)
        finally:
            self.library.mm_unregister(self.mesh, handle, None)

    def _infer(self, handle, inputs, error):
        keep, values = [], (Value * max(1, len(inputs)))()
        for value, (name, data) in zip(values, inputs.items()):
            fill(value, data, keep)
            value.name = name.encode()
        request = Request(c.sizeof(Request), 0, values, len(inputs))
        response = Response(c.sizeof(Response))
        self._must(self.library.mm_infer(self.mesh, handle, c.byref(request), c.byref(response),
                                         c.byref(error)), error)
        try:
            return [read(response.outputs[i]) for i in range(response.count)]
        finally:
            self.library.mm_response_free(c.byref(response))


def fill(value, data, keep):
    """keep: holds what the value points to."""
    if not isinstance(data, np.ndarray):
        items = (Value * max(1, len(data)))()
        for item, element in zip(items, data):
            fill(item, element, keep)
        keep.append(items)
        value.kind, value.items, value.item_count = SEQUENCE, items, len(data)
        return
    value.kind, value.dtype, value.rank = TENSOR, type_of(data), data.ndim
    value.shape[:data.ndim] = data.shape
    if value.dtype == T.STRING:
        texts = [str(t).encode() for t in data.reshape(-1)]
        offsets = np.concatenate([[0], np.cumsum([len(t) for t in texts])]).astype(np.uint64)
        raw = np.frombuffer(b''.join(texts) + b'\0', np.uint8)
        value.bytes = int(offsets[-1])
        value.offsets = offsets.ctypes.data_as(c.POINTER(c.c_uint64))
        keep.append(offsets)
    elif value.dtype in PACKED:
        raw = pack(data, PACKED[value.dtype])
        value.bytes = raw.nbytes
    else:
        raw = np.ascontiguousarray(data)
        value.bytes = raw.nbytes
    keep.append(raw)
    value.data = raw.ctypes.data


def read(value):
    if value.kind in (SEQUENCE, OPTIONAL, MAP):
        return [read(value.items[i]) for i in range(value.item_count)]
    shape = tuple(value.shape[:value.rank])
    count = int(np.prod(shape, dtype=np.int64))
    raw = c.string_at(value.data, value.bytes) if value.bytes else b''
    if value.dtype == T.STRING:
        texts = [raw[value.offsets[i]:value.offsets[i + 1]].decode() for i in range(count)]
        return np.array(texts, dtype=object).reshape(shape)
    if value.dtype in PACKED:
        return unpack(raw, value.dtype, shape)
    return np.frombuffer(raw, numpy_type(value.dtype), count).reshape(shape)
