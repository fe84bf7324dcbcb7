# SPDX-License-Identifier: Apache-2.0
"""RNN, GRU and LSTM."""

import numpy as np
from onnx import TensorProto as T

from draw import NotNow, operator

GATES = {'RNN': 1, 'GRU': 3, 'LSTM': 4}
ACTIVATIONS = {'RNN': 1, 'GRU': 2, 'LSTM': 3}
FUNCTIONS = ['Relu', 'Tanh', 'Sigmoid', 'Softsign', 'Softplus']


@operator('RNN', 'GRU', 'LSTM')
def recurrent(d, op):
    length, batch, size, hidden = d.integer(1, 4), d.integer(1, 3), d.integer(1, 5), d.integer(1, 5)
    direction = d.choice(['forward', 'reverse', 'bidirectional'])
    ways = 2 if direction == 'bidirectional' else 1
    dtype = d.type([T.FLOAT, T.FLOAT, T.DOUBLE] if d.chance(0.3) else [T.FLOAT])
    attributes = {'hidden_size': hidden}
    if direction != 'forward' or d.chance(0.5):
        attributes['direction'] = direction
    layout = d.integer(0, 1) if d.since(op) >= 14 and d.chance(0.2) else 0
    if layout:
        attributes['layout'] = 1
    if d.chance(0.3):
        attributes['activations'] = [d.choice(FUNCTIONS) for _ in range(ways * ACTIVATIONS[op])]
    if d.chance(0.2):
        attributes['clip'] = d.number(0.3, 3)
    if op == 'GRU':
        attributes.update(d.some(linear_before_reset=[0, 1]))
    if op == 'LSTM' and d.chance(0.2):
        attributes['input_forget'] = d.integer(0, 1)
    if attributes.get('activations') and 'clip' not in attributes:
        length = min(length, 2)  # what is not bounded grows from step to step, and so does rounding
        if 'Softplus' in attributes['activations']:
            raise NotNow('it overflows in other engines')
    names = optional_inputs(d, op, dtype, (length, batch, size, hidden, ways, layout))
    if not all(np.isfinite(d.data(n).astype(np.float64)).all() for n in names if n):
        raise NotNow('infinities in a recurrence')
    node = d.node(op, names, d.choice([1, 2, 3]) if op == 'LSTM' else d.choice([1, 2]), attributes)
    if len(node.outputs) > 1 and d.chance(0.3):
        node.outputs[0] = ''
    return node


def optional_inputs(d, op, dtype, sizes):
    length, batch, size, hidden, ways, layout = sizes
    gates = GATES[op]

    def tensor(shape, kind=None):
        return d.leaf(dtype, shape, kind, low=-1, high=1, mild=True)

    def state():
        shape = [batch, ways, hidden] if layout else [ways, batch, hidden]
        return tensor(shape) if d.chance(0.4) else ''
    x = [batch, length, size] if layout else [length, batch, size]
    constant = 'const' if d.chance(0.7) else None
    names = [d.like(dtype, x, mild=True), tensor([ways, gates * hidden, size], constant),
             tensor([ways, gates * hidden, hidden], constant),
             tensor([ways, 2 * gates * hidden], constant) if d.chance(0.6) else '',
             d.ints(d.integers(batch, 1, length), T.INT32) if d.chance(0.3) else '', state()]
    if op == 'LSTM':
        names += [state(), tensor([ways, 3 * hidden], constant) if d.chance(0.3) else '']
    while not names[-1]:
        names.pop()
    return names
