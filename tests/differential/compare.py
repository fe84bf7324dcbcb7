# SPDX-License-Identifier: Apache-2.0
"""How far results may lie apart, and whether they do."""

import numpy as np

from engines import Refused
from values import BF16, F16, F32, FLOATS, RELATIVE, STEP, as_wide, is_float, type_of

# What engines may be off by anywhere, in parts of the largest result or of 1: f32 approximations
# with a bound that is absolute (Sigmoid, Tanh, Erf), sums by factors that were rounded (DFT, STFT).
ABSOLUTE = dict.fromkeys((
    'Sigmoid Tanh Erf Gelu FastGelu BiasGelu QuickGelu Swish Selu Elu Celu Mish HardSwish '
    'LogSoftmax SoftmaxCrossEntropyLoss DFT STFT HannWindow HammingWindow BlackmanWindow '
    'RNN GRU LSTM DynamicQuantizeLSTM FusedConv FusedGemm GemmFastGelu BatchNormalization If Loop '
    'Scan').split(), 1e-6)
ABSOLUTE.update(dict.fromkeys((
    'Resize GridSample RoiAlign InstanceNormalization GroupNormalization GroupNorm '
    'SkipGroupNorm').split(), 1e-5))
# Whose arithmetic is that of f32 whatever the elements are: by stash_type, or as the engines do it.
SINGLE = {'GroupNormalization', 'LayerNormalization', 'RMSNormalization', 'HannWindow',
          'HammingWindow', 'Shrink', 'BlackmanWindow', 'MelWeightMatrix'}
WINOGRAD = 1e-5  # in the same parts: ours makes results of all that a tile of them sees
SAFETY = 4  # two runs nearby show a part of what rounding can do
TINY = 1e-36


def by_winograd(node, needed):
    """A convolution that ours may do by Winograd's algorithm, or a graph with some."""
    graphs = [a for a in node.attributes.values() if hasattr(a, 'node')]
    if any(inner.op_type == 'Conv' for graph in graphs for inner in graph.node):
        return True
    if node.op != 'Conv' or needed[1].data.shape[2:] != (3, 3):
        return False
    plain = all(n == 1 for k in ('strides', 'dilations') for n in node.attribute(k, [1]))
    return plain and node.attribute('group', 1) == 1 and min(needed[1].data.shape[:2]) >= 16


def nearby(rng, value, direction, relative):
    """The value as far off as it may be, and by the rounding of its own elements.

    direction: 1 or -1 for all elements, 0: drawn for each from between, 2: to 0 where that is
    near.
    """
    if value.data.dtype == object:
        raise Refused('a text that depends on rounding')
    if value.data.dtype == bool:
        return np.logical_xor(value.data, value.slack > 0)
    wide = as_wide(value.data)
    sign = direction or rng.uniform(-1.0, 1.0, wide.shape)
    with np.errstate(all='ignore'):
        off = (np.abs(wide) * relative if relative else 0) + (
            value.slack if value.slack is not None else 0)
        off = np.where(np.isfinite(off), off, np.where(np.isfinite(wide), np.abs(wide), 0) + 1)
        moved = wide + sign * off
        if value.kind == 'made' and direction < 0:
            moved = np.where(moved == 0, -moved, moved)  # whose sign is nobody's promise
        if value.slack is not None:
            if direction > 1:
                moved = np.where(np.abs(wide) <= off, 0, wide)
            anything = np.nan if direction == 1 and value.dtype in FLOATS else sign
            moved = np.where(np.isinf(value.slack), anything, moved)
        return np.asarray(moved).astype(value.data.dtype)


def apart(a, b):
    """|a - b|, 0 where both are the same or no number; infinite where one is."""
    with np.errstate(all='ignore'):
        if a.dtype == object or b.dtype == object:
            return np.where(a == b, 0.0, np.inf)
        a, b = as_wide(a), as_wide(b)
        same = (a == b) | ((a != a) & (b != b))
        gap = np.abs(a.astype(np.float64) - b.astype(np.float64))
        return np.where(same, 0.0, np.where(np.isnan(gap), np.inf, gap))


def slack_of(rng, node, values, run, outputs):
    """For each output how far another engine's may lie from it; None: it must be the same.

    The node runs again on inputs nearby: as far off as they may be themselves and, of a node that
    rounds, by a few units in the last place. So sums that cancel, functions that are steep and
    steps that the input is close to are allowed what they need, and no more.
    """
    needed = [values[n] for n in node.needs()]
    floats = [v for v in needed if v.is_tensor and is_float(v.dtype)]
    slack = []
    for output in outputs:
        if isinstance(output, list) or not is_float(type_of(output)) or node.exact:
            slack.append(None)
        else:
            wide = np.abs(as_wide(output))
            finite = np.isfinite(wide)
            relative = RELATIVE[type_of(output)]
            rough = WINOGRAD if by_winograd(node, needed) else ABSOLUTE.get(node.op, 0)
            if rough and type_of(output) in (F16, BF16):
                rough = max(rough, relative / 8)  # each step was rounded to it
            rough *= np.max(wide, where=finite, initial=1.0)
            if node.op in SINGLE:
                relative = max(relative, RELATIVE[F32])
            slack.append(np.where(finite, wide * relative + TINY + rough, 0))
    moves = [v for v in needed if v.slack is not None] if node.exact else \
        floats + [v for v in needed if v.slack is not None and v not in floats]
    if not moves:
        return slack
    narrow = max((RELATIVE[type_of(o)] for o in outputs
                  if not isinstance(o, list) and is_float(type_of(o))), default=0)
    narrow = max(narrow, RELATIVE[F32]) if node.op in SINGLE else narrow
    whole = node.op == 'Hardmax' or \
        any(not isinstance(o, list) and not is_float(type_of(o)) for o in outputs)
    for direction in (1, -1, 0, 0, 2) + (0,) * 16 * whole:  # a choice among equals is easily missed
        inputs = {v.name: v.data for v in needed}
        for value in moves:
            step = 0 if node.exact or not is_float(value.dtype) else \
                max(STEP[value.dtype], narrow / 10)
            inputs[value.name] = nearby(rng, value, direction, step)
        for i, (output, other) in enumerate(zip(outputs, run(inputs))):
            if isinstance(output, list):
                raise Refused('a sequence that depends on rounding')
            if output.shape != other.shape:
                raise Refused('a shape that depends on rounding')
            gap = apart(output, other)
            if slack[i] is not None or gap.any():
                slack[i] = np.maximum(0 if slack[i] is None else slack[i], SAFETY * gap)
    return slack


def difference(ours, theirs, slack):
    """What is wrong with ours; '' = nothing."""
    if isinstance(theirs, list):
        if not isinstance(ours, list) or len(ours) != len(theirs):
            return f'{len(ours)} items, {len(theirs)} wanted'
        return next((d for d in (difference(a, b, slack) for a, b in zip(ours, theirs)) if d), '')
    if isinstance(ours, list):
        return 'a list, a tensor wanted'
    if ours.shape != theirs.shape or type_of(ours) != type_of(theirs):
        return f'{ours.dtype} {list(ours.shape)}, {theirs.dtype} {list(theirs.shape)} wanted'
    gap = apart(theirs, ours)
    bad = gap > (0 if slack is None else slack)
    if not bad.any():
        return ''
    at = tuple(int(i) for i in np.argwhere(bad)[0])
    allowed = 0 if slack is None else float(np.asarray(slack)[at])
    return (f'{int(bad.sum())} of {bad.size} differ; at {list(at)} {ours[at]}, {theirs[at]} wanted'
            f' (within {allowed:.3g})')
