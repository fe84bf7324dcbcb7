# SPDX-License-Identifier: Apache-2.0
"""What the descriptions of operators draw with: values there are, new ones, shapes, numbers."""

import numpy as np
from onnx import TensorProto as T
from onnx import defs, helper

from graph import DOMAINS, ML_OPSET, Graph, Node, Value
from values import FLOATS, MILD, random_array

CODES = {f'tensor({name})': code for name, code in {
    'float': T.FLOAT, 'double': T.DOUBLE, 'float16': T.FLOAT16, 'bfloat16': T.BFLOAT16,
    'int8': T.INT8, 'int16': T.INT16, 'int32': T.INT32, 'int64': T.INT64, 'uint8': T.UINT8,
    'uint16': T.UINT16, 'uint32': T.UINT32, 'uint64': T.UINT64, 'bool': T.BOOL,
    'string': T.STRING, 'int4': T.INT4, 'uint4': T.UINT4, 'int2': T.INT2, 'uint2': T.UINT2,
    'float8e4m3fn': T.FLOAT8E4M3FN, 'float8e4m3fnuz': T.FLOAT8E4M3FNUZ,
    'float8e5m2': T.FLOAT8E5M2, 'float8e5m2fnuz': T.FLOAT8E5M2FNUZ,
    'float4e2m1': T.FLOAT4E2M1, 'float8e8m0': T.FLOAT8E8M0}.items()}
# Named as often as they shall be drawn.
WEIGHTS = {T.FLOAT: 8, T.DOUBLE: 2, T.FLOAT16: 2, T.INT64: 2, T.INT32: 2}
SCHEMAS = {}


class NotNow(Exception):
    """The draw does not lead to a valid node; another is made."""


def schema(op, opset, domain=''):
    key = op, opset, domain
    if key not in SCHEMAS:
        try:
            found = defs.get_schema(op, opset if domain == '' else ML_OPSET, domain)
            SCHEMAS[key] = None if found.deprecated else found
        except defs.SchemaError:
            SCHEMAS[key] = None
    return SCHEMAS[key]


class Draw:
    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.graph = Graph(int(self.rng.integers(7, 27)))
        self.opset = self.graph.opset
        self.special = 0.15 if self.chance(0.2) else 0.0
        self.chain = False  # prefer values that nodes made
        self.narrow_types = self.chance(0.5)
        self.count = 0

    # ---- Numbers --------------------------------------------------------------------------------

    def chance(self, part):
        return bool(self.rng.random() < part)

    def integer(self, low, high):
        return int(self.rng.integers(low, high + 1))

    def choice(self, options):
        options = list(options)
        if not options:
            raise NotNow('nothing to choose from')
        return options[int(self.rng.integers(0, len(options)))]

    def integers(self, count, low, high):
        return [self.integer(low, high) for _ in range(count)]

    def some(self, **attributes):
        """Each attribute, or not: a function, or the options for it."""
        return {k: v() if callable(v) else self.choice(v)
                for k, v in attributes.items() if self.chance(0.6)}

    def number(self, low, high):
        """A float that f32 holds."""
        return float(np.float32(self.rng.uniform(low, high)))

    def size(self):
        return self.choice([0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 7, 8, 9, 17]) if self.chance(0.3) \
            else self.choice([1, 2, 3, 4, 5])

    def shape(self, rank=None, most=4):
        rank = self.choice([0, 1, 2, 2, 3, 3, 4, 5]) if rank is None else rank
        return [self.size() for _ in range(min(rank, most) if rank is None else rank)]

    def axis(self, rank, negative=True):
        if rank == 0:
            raise NotNow('no axes')
        return self.integer(-rank if negative and self.chance(0.4) else 0, rank - 1)

    def axes(self, rank, negative=True):
        """Some axes, each once; none is an answer too."""
        chosen = [a for a in range(rank) if self.chance(0.5)]
        self.rng.shuffle(chosen)
        return [a - rank if negative and self.chance(0.3) else a for a in map(int, chosen)]

    # ---- Types and values -----------------------------------------------------------------------

    def since(self, op, domain=''):
        found = schema(op, self.opset, domain)
        return found.since_version if found else 0

    def types(self, op, parameter='T', domain=''):
        for constraint in schema(op, self.opset, domain).type_constraints:
            if constraint.type_param_str == parameter:
                return [CODES[t] for t in constraint.allowed_type_strs if t in CODES]
        raise KeyError(f'{op} has no {parameter}')

    def type(self, types):
        types = [t for t in types if self.narrow_types or t in WEIGHTS] or types
        return self.choice([t for t in types for _ in range(WEIGHTS.get(t, 1))])

    def data(self, name):
        return self.graph.values[name].data

    def dtype(self, name):
        return self.graph.values[name].dtype

    def shape_of(self, name):
        return list(self.graph.values[name].data.shape)

    def rank(self, name):
        return self.graph.values[name].data.ndim

    def name(self, prefix):
        self.count += 1
        return f'{prefix}{self.count}'

    def add(self, data, kind=None, free=True):
        """A new input or constant."""
        if kind is None:
            kind = self.choice(['input', 'input', 'input', 'const', 'constant'])
        if data.dtype == object and kind == 'constant':
            kind = 'const'
        value = Value(self.name('v'), data, kind)
        if kind == 'input' and free and self.chance(0.3):
            value.free = tuple(a for a in range(data.ndim) if self.chance(0.6))
        self.graph.values[value.name] = value
        return value.name

    def leaf(self, dtype, shape, kind=None, low=None, high=None, mild=False):
        return self.add(random_array(self.rng, dtype, shape, low, high, self.special, not mild),
                        kind)

    def ints(self, numbers, dtype=T.INT64, kind=None):
        """A list that tells sizes, axes or places: mostly constant."""
        data = np.array(numbers, dtype=np.int64 if dtype == T.INT64 else np.int32)
        return self.add(data, kind or self.choice(['const', 'const', 'constant', 'input']),
                        free=False)

    def scalar(self, number, dtype, kind=None):
        data = np.array(number)
        from values import numpy_type
        return self.add(data.astype(numpy_type(dtype)), kind, free=False)

    def suits(self, value, types, accept, mild):
        if not value.is_tensor or value.dtype not in types or value.data.ndim > 6 \
                or value.data.size > 20000 or not accept(value.data):
            return False
        if mild and value.dtype in MILD:
            wide = np.abs(value.data.astype(np.float64))
            return not (wide[np.isfinite(wide)] > MILD[value.dtype]).any()
        return True

    def existing(self, types, accept=lambda data: True, mild=False):
        """A value there is, rather a late one; None: there is none."""
        found = [v for v in self.graph.values.values() if self.suits(v, types, accept, mild)]
        made = [v for v in found if v.kind == 'made']
        if made and self.chance(0.9):
            found = made[-3:] if self.chance(0.8) else made
        return self.choice(found).name if found else None

    def value(self, types, rank=None, accept=lambda data: True, mild=False, **limits):
        """A value there is, or a new one. rank: a number, or a range of them."""
        ranks = (rank,) if isinstance(rank, int) else rank
        if self.chance(0.92 if self.chain else 0.3):
            found = self.existing(types, lambda d: (ranks is None or d.ndim in ranks) and accept(d),
                                  mild)
            if found:
                return found
        shape = self.shape(None if ranks is None else self.choice(ranks))
        for _ in range(4):
            name = self.leaf(self.type(types), shape, mild=mild, **limits)
            if accept(self.data(name)):
                return name
            del self.graph.values[name]
            shape = self.shape(None if ranks is None else self.choice(ranks))
        raise NotNow('no such value')

    def like(self, dtype, shape, mild=False, kind=None, **limits):
        """A value of this type and shape."""
        if kind is None and self.chance(0.5):
            found = self.existing([dtype], lambda d: list(d.shape) == list(shape), mild)
            if found:
                return found
        return self.leaf(dtype, shape, kind, mild=mild, **limits)

    def partner(self, name, grow=True, **limits):
        """A value of the same type that it can be broadcast with.

        grow: the result may be larger than the first.
        """
        shape, dtype = self.shape_of(name), self.dtype(name)
        if self.chance(0.3):
            found = self.existing([dtype], lambda d: fits(shape, d.shape, grow))
            if found:
                return found
        how = self.integer(0, 5)
        if how == 0:
            return self.leaf(dtype, [], **limits)
        if how == 1:
            return self.leaf(dtype, shape, **limits)
        other = [1 if self.chance(0.3) else n for n in shape[self.integer(0, len(shape)):]]
        if how == 2 and len(shape) > 1:  # by channel
            other = [1] * (len(shape) - 1)
            other[self.integer(0, len(shape) - 2)] = shape[1]
            if not fits(shape, other, grow):
                other = []
        if grow and how == 3:
            other = [self.size() if n == 1 else n for n in other]
            if len(other) == len(shape) and len(shape) < 5:
                other = self.shape(self.integer(0, 1)) + other
        if not fits(shape, other, grow):
            other = []
        return self.leaf(dtype, other, **limits)

    def extra_opsets(self, node):
        """The opset of the node's domain, where the graph does not name it yet."""
        if not node.domain or any(n.domain == node.domain for n in self.graph.nodes):
            return []
        return [helper.make_opsetid(node.domain, DOMAINS[node.domain])]

    def node(self, op, inputs, count, attributes=None, domain=''):
        return Node(op, list(inputs), [self.name('t') for _ in range(count)], attributes or {},
                    domain)


def fits(shape, other, grow=True):
    try:
        result = np.broadcast_shapes(tuple(shape), tuple(other))
    except ValueError:
        return False
    return int(np.prod(result)) < 20000 and (grow or list(result) == list(shape))


# ---- The table ---------------------------------------------------------------------------------

class Operator:
    """draw(d, name): a node. exact: it moves, compares or counts, and does not round."""

    def __init__(self, name, draw, exact, weight, domain):
        self.name, self.draw, self.exact = name, draw, exact
        self.weight, self.domain = weight, domain


TABLE = {}


def operator(*names, exact=False, weight=1.0, domain=''):
    def add(draw):
        for name in names:
            TABLE[name] = Operator(name, draw, exact, weight, domain)
        return draw
    return add


def only_floats(types):
    return [t for t in types if t in FLOATS]
