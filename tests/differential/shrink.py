# SPDX-License-Identifier: Apache-2.0
"""The smallest part of a graph that still differs."""

import copy

import numpy as np


def only(graph, nodes, outputs):
    """The graph of these nodes: what others made is an input."""
    part = copy.copy(graph)
    part.nodes, part.outputs = nodes, outputs
    made = {n for node in nodes for n in node.outputs}
    part.values = dict(graph.values)
    for name in part.used():
        if graph.values[name].kind == 'made' and name not in made:
            value = copy.copy(graph.values[name])
            value.kind = 'input'
            part.values[name] = value
    return part


def candidates(graph):
    made = [n for node in graph.nodes for n in node.outputs if n]
    if len(graph.nodes) > 1:
        for node in graph.nodes:
            yield only(graph, [node], [n for n in node.outputs if n])
    for output in graph.outputs:
        if len(graph.outputs) > 1:
            yield only(graph, graph.nodes, [n for n in graph.outputs if n != output])
    if len(graph.nodes) > 1:
        for node in graph.nodes:
            rest = [n for n in graph.nodes if n is not node]
            kept = {n for other in rest for n in other.outputs}
            outputs = [n for n in graph.outputs if n in kept] or \
                [n for n in rest[-1].outputs if n]
            if all(is_plain(graph, n) for n in set(node.outputs) if n):
                yield only(graph, rest, outputs)
    for name in graph.used():
        value = graph.values[name]
        if value.kind == 'input' and value.free:
            part = copy.copy(graph)
            part.values = dict(graph.values)
            part.values[name] = copy.copy(value)
            part.values[name].free = ()
            yield part
    assert made


def is_plain(graph, name):
    """It may become an input."""
    return isinstance(graph.values[name].data, np.ndarray)


def shrink(graph, check):
    """check: what is wrong with a graph, '' = nothing. The smallest, and what is wrong with it."""
    wrong = check(graph)
    smaller = True
    while smaller:
        smaller = False
        for candidate in candidates(graph):
            found = check(candidate)
            if found:
                graph, wrong, smaller = candidate, found, True
                break
    return graph, wrong
