# SPDX-License-Identifier: Apache-2.0
"""What a pipeline is tested by: the exported model, rows, and what its library says of them."""

import dataclasses

import numpy

BATCHES = (1, 17)  # rows of a request


@dataclasses.dataclass
class Case:
    content: bytes  # the model
    requests: list  # dictionaries of arrays
    # For each request its outputs: an array, a list of dictionaries (ZipMap); None: whatever comes.
    # None for all: what ONNX Runtime says.
    wanted: list
    rtol: float = 1e-4
    atol: float = 1e-5
    # Quantised: so many elements in a thousand may be off by up to `atol_few`.
    few: int = 0
    atol_few: float = 0


def rows_of(table, count):
    return {name: array[:count] for name, array in table.items()}


# ---- Comparing ---------------------------------------------------------------------------------

def flat(value):
    """Numbers or texts of a value, in one row; of dictionaries by the order of their keys."""
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], dict):
        value = [[each[key] for key in sorted(each)] for each in value]
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], numpy.ndarray):
        value = numpy.concatenate([each.ravel() for each in value])
    array = numpy.asarray(value)
    return array.ravel()


def keys_of(value):
    maps = isinstance(value, (list, tuple)) and value and isinstance(value[0], dict)
    return [sorted(each) for each in value] if maps else None


def value_difference(case, got, wanted):
    """What is wrong with one output; '' = nothing."""
    if keys_of(got) is not None and keys_of(wanted) is not None and keys_of(got) != keys_of(wanted):
        return f'keys {keys_of(got)[:2]}, {keys_of(wanted)[:2]} wanted'
    got, wanted = flat(got), flat(wanted)
    if got.size != wanted.size:
        return f'{got.size} elements, {wanted.size} wanted'
    if got.dtype.kind in 'OUS' or wanted.dtype.kind in 'OUS':
        unequal = numpy.flatnonzero(got.astype(str) != wanted.astype(str))
        return f'{got[unequal[0]]!r}, {wanted[unequal[0]]!r} wanted' if unequal.size else ''
    got, wanted = got.astype(numpy.float64), wanted.astype(numpy.float64)
    far = ~numpy.isclose(got, wanted, rtol=case.rtol, atol=case.atol, equal_nan=True)
    if case.few and far.sum() * 1000 <= case.few * far.size:
        far &= ~(numpy.abs(got - wanted) <= case.atol_few)
    if not far.any():
        return ''
    first = numpy.flatnonzero(far)[0]
    return (f'{far.sum()} of {far.size} elements differ, the first {got[first]:.9g}, '
            f'{wanted[first]:.9g} wanted')


def difference(case, got, wanted):
    """What is wrong with the answers to all requests."""
    for outputs, expected in zip(got, wanted):
        if len(outputs) != len(expected):
            return f'{len(outputs)} outputs, {len(expected)} wanted'
        for i, (mine, theirs) in enumerate(zip(outputs, expected)):
            wrong = '' if theirs is None else value_difference(case, mine, theirs)
            if wrong:
                return f'output {i}: {wrong}'
    return ''


def form(value):
    if isinstance(value, numpy.ndarray):
        return ('text' if value.dtype.kind in 'OU' else str(value.dtype), value.shape)
    if isinstance(value, dict):
        return 'map', sorted(value)
    return 'sequence', [form(each) for each in value]


def form_difference(got, wanted):
    """Types and shapes, which ONNX Runtime says best."""
    for outputs, expected in zip(got, wanted):
        for i, (mine, theirs) in enumerate(zip(outputs, expected)):
            if form(mine) != form(theirs):
                return f'output {i} is {form(mine)}, {form(theirs)} wanted'
    return ''
