# SPDX-License-Identifier: Apache-2.0
"""The engines to compare with: ONNX Runtime without its optimisations, ONNX's own evaluator, and
formulas for what neither of them has."""

import warnings

import numpy as np
import formulas
import onnxruntime as ort
from onnx.reference import ReferenceEvaluator

from graph import one_node_model
from values import PLAIN
from onnx import TensorProto as T

ort.set_default_logger_severity(4)
warnings.filterwarnings('ignore')
np.seterr(all='ignore')

ORT_TYPES = set(PLAIN) | {T.STRING}


class Refused(Exception):
    """An engine does not run this."""


def ort_options():
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    return options


OPTIONS = ort_options()


def items_of(value):
    return [value.data] if value.is_tensor else value.data


def ort_takes(value):
    return value.is_tensor and value.dtype in ORT_TYPES or \
        not value.is_tensor and len(value.data) > 0 and all(i.dtype != object for i in value.data)


def onnx_runtime(node, values, opsets):
    """A function from the inputs by name to the list of outputs."""
    if not all(ort_takes(values[n]) for n in node.needs()):
        raise Refused('elements that it has no type for')
    model = one_node_model(node, values, opsets).SerializeToString()
    try:
        session = ort.InferenceSession(model, OPTIONS, providers=['CPUExecutionProvider'])
        infos = session.get_outputs()
    except Exception as error:
        raise Refused(str(error)) from error
    if any('bfloat16' in i.type or 'float8' in i.type or 'int4' in i.type or 'int2' in i.type or
           'float4' in i.type for i in infos):
        raise Refused('elements that numpy has no type for')

    def run(inputs):
        try:
            return [np.asarray(o) if not isinstance(o, (list, dict)) else o
                    for o in session.run(None, inputs)]
        except Exception as error:
            raise Refused(str(error)) from error
    return run


def reference(node, values, opsets):
    model = one_node_model(node, values, opsets)
    try:
        evaluator = ReferenceEvaluator(model)
    except Exception as error:
        raise Refused(str(error)) from error

    def run(inputs):
        try:
            outputs = evaluator.run(None, inputs)
        except Exception as error:
            raise Refused(f'{type(error).__name__}: {error}') from error
        if any(o is None for o in outputs):
            raise Refused('no result')
        return [np.asarray(o) if not isinstance(o, list) else o for o in outputs]
    return run


def by_formula(node, values, opsets):
    if node.domain != 'com.microsoft' or node.op not in formulas.TABLE:
        raise Refused('no formula')
    return lambda inputs: formulas.run(node, inputs)


ENGINES = (('ort', onnx_runtime), ('reference', reference), ('formula', by_formula))
