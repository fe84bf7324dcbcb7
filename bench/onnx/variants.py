# SPDX-License-Identifier: Apache-2.0
"""Networks of networks.py in other precisions.

f16: weights, inputs, outputs and casts are f16 for f32, as converters of PyTorch's half models
write them. int8: ONNX Runtime's quantizer, with QuantizeLinear and DequantizeLinear around each
operator (calibrated on seeded inputs), or dynamic for what is a product of matrices.
"""

import os
import tempfile

import numpy
from onnx import TensorProto, load, numpy_helper, save


def convert(model, precision, seed):
    if precision == 'f16':
        return to_f16(model)
    with tempfile.TemporaryDirectory() as folder:
        before, after = os.path.join(folder, 'f32.onnx'), os.path.join(folder, 'int8.onnx')
        save(model, before)
        {'int8-qdq': quantize_static, 'int8-dynamic': quantize_dynamic}[precision](
            model, before, after, seed)
        return load(after)


def to_f16(model):
    for weight in model.graph.initializer:
        # The scales of Resize are f32 whatever its values are.
        if weight.data_type == TensorProto.FLOAT and not weight.name.startswith('resize_scales'):
            array = numpy_helper.to_array(weight).astype(numpy.float16)
            weight.CopyFrom(numpy_helper.from_array(array, weight.name))
    for value in [*model.graph.input, *model.graph.output]:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == 'Cast' and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
    return model


def quantize_static(model, before, after, seed):
    from networks import make_inputs
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        """Four sets of seeded inputs, which are not those that answers are compared on."""

        def __init__(self):
            self.sets = iter([make_inputs(model, 1000 * seed + i) for i in range(4)])

        def get_next(self):
            return next(self.sets, None)

    quantization.quantize_static(before, after, Reader(), per_channel=True,
                                 quant_format=quantization.QuantFormat.QDQ,
                                 activation_type=quantization.QuantType.QUInt8,
                                 weight_type=quantization.QuantType.QInt8)


def quantize_dynamic(model, before, after, seed):
    from onnxruntime import quantization
    quantization.quantize_dynamic(before, after, weight_type=quantization.QuantType.QInt8,
                                  op_types_to_quantize=['MatMul', 'Gemm', 'Gather', 'LSTM'])
