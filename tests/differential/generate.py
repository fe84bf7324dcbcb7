# SPDX-License-Identifier: Apache-2.0
"""A seed to a graph. It grows node by node: each is run at once by the engine to compare with, so
that what comes next can look at shapes and elements."""

import numpy as np

import compare
import known
from draw import CODES, TABLE, Draw, NotNow, schema
from engines import ENGINES, Refused
from graph import Value
import families  # noqa: F401 (fills the table)
import images
import patterns

MOST_ELEMENTS = 40000


class Statistics:
    def __init__(self):
        self.nodes, self.refused, self.engines = {}, {}, {}

    def count(self, table, key):
        table[key] = table.get(key, 0) + 1


def run_node(d, node, statistics):
    """Give the node's outputs their values; NotNow: nobody runs it."""
    values, reasons = d.graph.values, []
    needed = {n: values[n].data for n in node.needs()}
    for name, engine in ENGINES:
        if known.is_wrong(name, node, values, d.opset):
            reasons.append(f'{name}: known')
            continue
        try:
            run = engine(node, values, d.graph.opsets() + d.extra_opsets(node))
            outputs = run(needed)
            if any(not isinstance(o, (np.ndarray, list)) for o in outputs):
                raise Refused('no tensor')
            if sum(o.size for o in outputs if not isinstance(o, list)) > MOST_ELEMENTS:
                raise NotNow('too large')
            slack = compare.slack_of(d.rng, node, values, run, outputs)
        except Refused as refused:
            reasons.append(f'{name}: {refused}')
            continue
        for output, data, s in zip([n for n in node.outputs if n], outputs, slack):
            values[output] = Value(output, data, 'made')
            values[output].slack = s
        d.graph.engines.add(name)
        statistics.count(statistics.engines, name)
        return
    statistics.count(statistics.refused, (node.op, ' / '.join(reasons)[:300]))
    raise NotNow('nobody runs it')


def check_types(d, node):
    """What the operator does not take is not for any engine to answer."""
    if node.domain == 'com.microsoft':
        return
    found, bound = schema(node.op, d.opset, node.domain), {}
    allowed = {c.type_param_str: c.allowed_type_strs for c in found.type_constraints}
    for i, name in enumerate(node.inputs):
        if not name or not d.graph.values[name].is_tensor:
            continue
        formal = found.inputs[min(i, len(found.inputs) - 1)]
        mixed = formal.option == formal.option.Variadic and not formal.is_homogeneous
        dtype = d.graph.values[name].dtype
        if dtype not in [CODES.get(t) for t in allowed.get(formal.type_str, [formal.type_str])] or \
                not mixed and bound.setdefault(formal.type_str, dtype) != dtype:
            raise NotNow('a type that the operator does not take')


def add_node(d, node, exact, statistics):
    node.exact = exact
    check_types(d, node)
    if known.is_wrong('ours', node, d.graph.values, d.opset):
        raise NotNow('ours is known to be wrong')
    run_node(d, node, statistics)
    d.graph.nodes.append(node)
    statistics.count(statistics.nodes, node.op)


def draw_node(d, operators, statistics):
    """One more node, after as many attempts as it takes."""
    for _ in range(30):
        entry = d.choice(operators)
        if entry.domain != 'com.microsoft' and \
                schema(entry.name, d.opset, entry.domain) is None:
            continue
        before = dict(d.graph.values)
        try:
            node = entry.draw(d, entry.name)
            if d.chain and not any(d.graph.values[n].kind == 'made' for n in node.needs()) \
                    and d.chance(0.9):
                raise NotNow('not connected')
            add_node(d, node, entry.exact, statistics)
            return True
        except NotNow:
            d.graph.values = before
    return False


def choose_outputs(d):
    """All that nobody uses, and some that are used."""
    graph = d.graph
    used = set(graph.used())
    made = [n for node in graph.nodes for n in node.outputs if n]
    shown = d.choice([0.0, 0.1, 0.4])
    graph.outputs = [n for n in made if n not in used or d.chance(shown)]


def generate(seed, statistics, only=None):
    """only: names of operators, or `images` for chains of images; None: all."""
    d = Draw(seed)
    entries = [e for e in TABLE.values() if only is None or e.name in only]
    operators = [e for e in entries for _ in range(max(1, round(e.weight * 2)))]
    style = 0.8 if only == {'images'} else d.rng.random()
    if style < 0.4 or only and only != {'images'}:
        draw_node(d, operators, statistics)
    elif style < 0.7:
        for _ in range(d.integer(2, 12)):
            draw_node(d, operators, statistics)
            d.chain = True
    elif style < 0.82:
        images.chain(d, lambda node, exact: add_node(d, node, exact, statistics))
    else:
        patterns.fusing(d, lambda node, exact: add_node(d, node, exact, statistics),
                        lambda: draw_node(d, operators, statistics))
    choose_outputs(d)
    return d.graph
