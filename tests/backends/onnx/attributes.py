#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes data/attributes.txt: which attributes each operator of operators.def has in which opsets.

    operator first-opset last-opset inputs name=value ...

Needs the package onnx, whose schemas say it; the file is checked in, so that the tests do not.
"""

import os
import re

import onnx.defs

HERE = os.path.dirname(os.path.abspath(__file__))
OPERATORS = os.path.join(HERE, '../../../lib/backends/onnx/operators/operators.def')
FIRST, LAST = 1, 27
OLD = {'Scatter', 'Upsample'}  # renamed by graph/upgrade.c
SKIPPED = {'If', 'Loop', 'Scan', 'SequenceMap',  # their attributes are graphs
           'StringSplit', 'TfIdfVectorizer'}  # two outputs; attributes that depend on each other
WANT_CONSTANTS = {('Tile', 1)}  # in these opsets, which a test of attributes alone does not have

VALUES = {  # where 1, 0.5 and [1] are none
    'activations': None, 'activation_alpha': None, 'activation_beta': None,
    'approximate': 'none', 'pattern': 'a', 'case_change_action': 'NONE', 'auto_pad': 'NOTSET',
    'coordinate_transformation_mode': 'half_pixel',
    'direction': {'BitShift': 'LEFT', None: 'forward'}, 'keep_aspect_ratio_policy': 'stretch',
    'kernel_shape': '[2]', 'nearest_mode': 'floor', 'output_shape': None, 'pads': '[0,0]',
    'pixel_format': 'RGB', 'reduction': 'none', 'round_mode': 'up', 'spatial': '1',
    'training_mode': '0', 'value': None,
    'mode': {'Pad': 'constant', 'DepthToSpace': 'DCR', 'RoiAlign': 'avg',
             'TensorScatter': 'linear', None: 'nearest'},
    'equation': 'ab,b', 'pooled_shape': '[1,1]', 'dtype': {'Multinomial': '6', None: '1'},
    'p': {'FLOAT': '1.0', None: '1'}, 'to': {'STRING': 'FLOAT', None: '1'},
    'output_dtype': {'QuantizeLinear': '2', None: '1'}, 'rotary_embedding_dim': '2',
    'time_axis': '0', 'scales': '[1.0,2.0]',
}
DEFAULTS = {'INT': '1', 'FLOAT': '0.5', 'INTS': '[1]', 'FLOATS': '[0.5]'}


def write_value(operator, attribute):
    value = VALUES.get(attribute.name, DEFAULTS.get(attribute.type.name))
    if not isinstance(value, dict):
        return value
    return value.get(operator, value.get(attribute.type.name, value.get(None)))


def main():
    with open(OPERATORS, encoding='utf-8') as file:
        ours = set(re.findall(r'ONNX_OPERATOR\((\w+)\)', file.read())) | OLD
    history = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == '' and schema.name in ours - SKIPPED:
            history.setdefault(schema.name, []).append(schema)
    rows = []
    for name in sorted(history):
        versions = sorted(history[name], key=lambda schema: schema.since_version)
        for i, schema in enumerate(versions):
            last = versions[i + 1].since_version - 1 if i + 1 < len(versions) else LAST
            wants = (name, schema.since_version) in WANT_CONSTANTS
            if schema.deprecated or wants or last < FIRST:
                continue
            values = [(attribute.name, write_value(name, attribute))
                      for _, attribute in sorted(schema.attributes.items())]
            row = [name, max(FIRST, schema.since_version), last, schema.min_input,
                   *[f'{key}={value}' for key, value in values if value is not None]]
            if rows and rows[-1][0] == name and rows[-1][3:] == row[3:]:
                rows[-1][2] = last
            else:
                rows.append(row)
    lines = [' '.join(str(part) for part in row) for row in rows]
    with open(os.path.join(HERE, 'data/attributes.txt'), 'w', encoding='utf-8') as file:
        file.write('\n'.join(lines) + '\n')


main()
