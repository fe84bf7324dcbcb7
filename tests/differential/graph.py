# SPDX-License-Identifier: Apache-2.0
"""A graph with the value that the comparison engines gave everything in it, and its ONNX model."""

import numpy as np
from onnx import TensorProto as T
from onnx import ValueInfoProto, helper, numpy_helper

from values import type_of

IR_VERSION = 10
ML_OPSET = 3
DOMAINS = {'ai.onnx.ml': ML_OPSET, 'com.microsoft': 1}


class Value:
    """kind: 'input', 'const' (an initializer), 'constant' (of a Constant node) or 'made'.

    slack: by how much the elements may differ, None: not at all.
    """

    def __init__(self, name, data, kind):
        self.name, self.data, self.kind = name, data, kind
        self.slack = None
        self.free = ()  # axes of an input that the model leaves open

    @property
    def is_tensor(self):
        return isinstance(self.data, np.ndarray)

    @property
    def dtype(self):
        return type_of(self.data) if self.is_tensor else 0

    def info(self, free=()):
        if not self.is_tensor:
            item = type_of(self.data[0]) if self.data else T.FLOAT
            return helper.make_tensor_sequence_value_info(self.name, item, None)
        shape = [f'{self.name}_{i}' if i in free else n for i, n in enumerate(self.data.shape)]
        return helper.make_tensor_value_info(self.name, self.dtype, shape)

    def loose_info(self):
        """With a type but no shape."""
        if not self.is_tensor:
            return self.info()
        return helper.make_tensor_value_info(self.name, self.dtype, None)


class Node:
    """captured: outer values that graphs among its attributes use. exact: it does not round."""

    def __init__(self, op, inputs, outputs, attributes, domain=''):
        self.op, self.domain = op, domain
        self.inputs, self.outputs, self.attributes = inputs, outputs, attributes
        self.captured, self.exact = [], False

    def needs(self):
        return list(dict.fromkeys([n for n in self.inputs if n] + self.captured))

    def proto(self):
        return helper.make_node(self.op, self.inputs, self.outputs, domain=self.domain,
                                **self.attributes)

    def attribute(self, name, otherwise=None):
        return self.attributes.get(name, otherwise)


class Graph:
    def __init__(self, opset):
        self.opset = opset
        self.values, self.nodes, self.outputs = {}, [], []
        self.engines = set()  # that gave the values

    def opsets(self):
        ids = [helper.make_opsetid('', self.opset)]
        domains = {node.domain for node in self.nodes} - {''}
        ids += [helper.make_opsetid(d, DOMAINS[d]) for d in sorted(domains)]
        return ids

    def used(self):
        return list(dict.fromkeys(name for node in self.nodes for name in node.needs()))

    def inputs(self):
        return [self.values[n] for n in self.used() if self.values[n].kind == 'input']

    def model(self):
        used = [self.values[n] for n in self.used()]
        protos = [helper.make_node('Constant', [], [v.name], value=tensor(v))
                  for v in used if v.kind == 'constant']
        protos += [node.proto() for node in self.nodes]
        graph = helper.make_graph(
            protos, 'g', [v.info(v.free) for v in used if v.kind == 'input'],
            [self.values[n].info() for n in self.outputs],
            [tensor(v) for v in used if v.kind == 'const'])
        return make_model(graph, self.opsets())

    def tell(self):
        """As text, to be read by people."""
        lines = [f'opset {self.opset}, outputs {", ".join(self.outputs)}']
        for name in self.used():
            value = self.values[name]
            if value.kind != 'made':
                free = f' free {value.free}' if value.free else ''
                lines.append(f'  {name} ({value.kind}{free}) = {tell_data(value.data)}')
        for node in self.nodes:
            shown = {k: v if not hasattr(v, 'node') else '{' + '; '.join(
                f'{",".join(n.output)}={n.op_type}({",".join(n.input)})' for n in v.node) + '}'
                for k, v in node.attributes.items()}
            attributes = ' '.join(f'{k}={v}' for k, v in shown.items())
            op = f'{node.domain}/{node.op}' if node.domain else node.op
            lines.append(f'  {", ".join(node.outputs)} = {op}({", ".join(node.inputs)}) '
                         f'{attributes}')
        return '\n'.join(lines)


def tensor(value):
    return numpy_helper.from_array(value.data, value.name)


def make_model(graph, opsets):
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def tell_data(data):
    if not isinstance(data, np.ndarray):
        return '[' + ', '.join(tell_data(item) for item in data) + ']'
    text = np.array2string(data, threshold=40, max_line_width=100000).replace('\n', '')
    return f'{T.DataType.Name(type_of(data))}{list(data.shape)} {text}'


def one_node_model(node, values, opsets):
    """The node alone, its inputs without shapes."""
    needed = [values[n].loose_info() for n in node.needs()]
    outputs = [ValueInfoProto(name=n) for n in node.outputs if n]
    return make_model(helper.make_graph([node.proto()], 'g', needed, outputs), opsets)
