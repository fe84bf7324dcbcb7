# SPDX-License-Identifier: Apache-2.0
"""Where an engine is known to be wrong: known.txt.

A line is "engine | operators | condition | why". The condition is Python, empty: always. It knows
opset, attribute(name, otherwise), dtype(i), shape(i) and data(i) of input i (dtype 0 and None where
it is left out), count (of inputs), and T (the names of types), np.
"""

import os

import numpy as np
from onnx import TensorProto as T

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'known.txt')


def read():
    table = {}
    with open(PATH, encoding='utf-8') as file:
        for line in file:
            line = line.strip()
            if not line or line.startswith('#'):
                continue
            engine, operators, condition, _ = [part.strip() for part in line.split(' | ')]
            code = compile(condition or 'True', f'{engine} {operators}', 'eval')
            for op in operators.split():
                table.setdefault((engine, op), []).append(code)
    return table


TABLE = read()


def is_wrong(engine, node, values, opset):
    codes = TABLE.get((engine, node.op), []) + TABLE.get((engine, '*'), [])
    if not codes:
        return False

    def value(i):
        return values[node.inputs[i]] if i < len(node.inputs) and node.inputs[i] else None

    def data(i):
        return value(i).data if value(i) and value(i).is_tensor else None
    scope = {'opset': opset, 'attribute': node.attribute, 'count': len(node.inputs), 'T': T,
             'np': np, 'data': data,
             'dtype': lambda i: value(i).dtype if value(i) else 0,
             'shape': lambda i: None if data(i) is None else list(data(i).shape),
             'empty': any(data(i) is not None and data(i).size == 0
                          for i in range(len(node.inputs)))}
    return any(eval(code, scope) for code in codes)  # pylint: disable=eval-used
