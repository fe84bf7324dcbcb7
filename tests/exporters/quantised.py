# SPDX-License-Identifier: Apache-2.0
"""Models as onnxruntime.quantization makes them from small seeded ones; ONNX Runtime is what they
are held against. Where a sum lies between two steps, a rounding may fall either way: few elements
in a thousand may be off by a step. int8 weights have 7 bits (reduce_range): with 8 of them sums in
ONNX Runtime overflow on many processors, and its answers are others."""

import os
import tempfile

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType

import data
from case import BATCHES, Case


def weights(random, **shapes):
    return [numpy_helper.from_array((random.normal(size=shape) / numpy.sqrt(numpy.prod(shape[1:])))
                                    .astype(numpy.float32), name)
            for name, shape in shapes.items()]


def model_of(nodes, shape, constants):
    graph = helper.make_graph(
        nodes, 'small', [helper.make_tensor_value_info('x', TensorProto.FLOAT, ['n', *shape])],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, ['n', 10])], constants)
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid('', 21)])
    return onnx.shape_inference.infer_shapes(model)


def dense():
    """MatMul, Gemm, activations."""
    constants = weights(data.random(4), a=(32, 64), b=(64,), c=(64, 48), d=(10, 48), e=(10,))
    return model_of([
        helper.make_node('MatMul', ['x', 'a'], ['p']), helper.make_node('Add', ['p', 'b'], ['q']),
        helper.make_node('Relu', ['q'], ['r']), helper.make_node('MatMul', ['r', 'c'], ['s']),
        helper.make_node('Sigmoid', ['s'], ['t']),
        helper.make_node('Gemm', ['t', 'd', 'e'], ['y'], transB=1)], (32,), constants)


def image():
    """Conv, also depthwise, pooling, a sum."""
    constants = weights(data.random(4), a=(8, 3, 3, 3), b=(8,), c=(8, 1, 3, 3), d=(8, 8, 1, 1),
                        e=(10, 8), f=(10,))
    return model_of([
        helper.make_node('Conv', ['x', 'a', 'b'], ['p'], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node('Relu', ['p'], ['q']), helper.make_node('MaxPool', ['q'], ['r'],
                                                                 kernel_shape=[2, 2]),
        helper.make_node('Conv', ['r', 'c'], ['s'], pads=[1, 1, 1, 1], group=8),
        helper.make_node('Conv', ['s', 'd'], ['t']), helper.make_node('Add', ['t', 'r'], ['u']),
        helper.make_node('GlobalAveragePool', ['u'], ['v']),
        helper.make_node('Flatten', ['v'], ['w']),
        helper.make_node('Gemm', ['w', 'e', 'f'], ['y'], transB=1)], (3, 16, 16), constants)


MODELS = {'dense': (dense, (32,)), 'image': (image, (3, 16, 16))}


def rows_of(shape, seed):
    return data.random(seed).normal(size=(max(BATCHES), *shape)).astype(numpy.float32)


class Reader(CalibrationDataReader):
    """What static quantisation measures with."""

    def __init__(self, shape):
        self.rows = iter([{'x': rows_of(shape, seed)} for seed in range(10, 14)])

    def get_next(self):
        return next(self.rows, None)


def case_of(model, shape):
    rows = rows_of(shape, 77)
    return Case(model.SerializeToString(), [{'x': rows[:count]} for count in BATCHES], None,
                rtol=1e-3, atol=1e-3, few=100, atol_few=0.05)


def through_files(make, quantise):
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ('from.onnx', 'to.onnx')]
        onnx.save(make(), paths[0])
        quantise(*paths)
        return onnx.load(paths[1])


def static(name, form, activations, kind, per_channel):
    make, shape = MODELS[name]
    return lambda: case_of(through_files(make, lambda source, target: quantization.quantize_static(
        source, target, Reader(shape), quant_format=form, activation_type=activations,
        weight_type=kind, per_channel=per_channel,
        reduce_range=kind == QuantType.QInt8)), shape)


def dynamic(name, kind, per_channel):
    make, shape = MODELS[name]
    return lambda: case_of(through_files(make, lambda source, target: quantization.quantize_dynamic(
        source, target, weight_type=kind, per_channel=per_channel,
        reduce_range=kind == QuantType.QInt8)), shape)


def blocks(bits, form, symmetric, block):
    """Weights alone, in blocks of so many rows."""
    def make():
        from onnxruntime.quantization import matmul_nbits_quantizer as nbits
        settings = nbits.DefaultWeightOnlyQuantConfig(
            block_size=block, is_symmetric=symmetric, quant_format=form, bits=bits)
        quantizer = nbits.MatMulNBitsQuantizer(dense(), algo_config=settings)
        quantizer.process()
        return case_of(quantizer.model.model, (32,))
    return make


def pipelines():
    int8, uint8 = QuantType.QInt8, QuantType.QUInt8
    for name in MODELS:
        for form, said in ((QuantFormat.QDQ, 'qdq'), (QuantFormat.QOperator, 'qoperator')):
            for per_channel in (False, True):
                channel = '_channel' if per_channel else ''
                for activations, kind, types in ((uint8, int8, 'u8_i8'), (int8, int8, 'i8_i8'),
                                                 (uint8, uint8, 'u8_u8')):
                    yield (f'quantised/{name}_{said}_{types}{channel}',
                           static(name, form, activations, kind, per_channel))
        yield f'quantised/{name}_qdq_16', static(name, QuantFormat.QDQ, QuantType.QUInt16, int8,
                                                 False)
        for kind, said in ((int8, 'i8'), (uint8, 'u8')):
            yield f'quantised/{name}_dynamic_{said}', dynamic(name, kind, False)
            yield f'quantised/{name}_dynamic_{said}_channel', dynamic(name, kind, True)
    yield 'quantised/dense_qdq_int4', static('dense', QuantFormat.QDQ, uint8, QuantType.QInt4,
                                             False)
    for symmetric in (False, True):
        said = 'symmetric' if symmetric else 'zero_points'
        for block in (16, 32):
            yield f'quantised/blocks_qdq_{block}_{said}', blocks(4, QuantFormat.QDQ, symmetric,
                                                                 block)
            yield f'quantised/blocks_nbits_{block}_{said}', blocks(4, QuantFormat.QOperator,
                                                                   symmetric, block)
        yield f'quantised/blocks_nbits_8_{said}', blocks(8, QuantFormat.QOperator, symmetric, 32)
