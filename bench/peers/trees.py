#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ensembles of trees against ONNX Runtime, one thread each: same answers, steady time.

Usage: trees.py [--build DIR] [--rounds N]

DIR (build/release) is a release build with examples; a Python environment is put into DIR/peers.
The models are made from a seed: 500 full trees of depth 8 on 28 features, the thresholds those that
leave a row about as likely on one side as on the other; a regressor and a classifier of two
classes, for 1 and 100 rows. Steady time, rounds and ratios are those of onnx.py. ! marks a median
over its target, which 1 row has alone.
"""

import argparse
import collections
import os
import sys
import tempfile

import onnx as peers

TREES, DEPTH, FEATURES = 500, 8, 28
TARGET = 0.7
Model = collections.namedtuple('Model', 'name path rows')


def attributes(random):
    """The nodes of all trees, breadth first, and their leaves with one weight each."""
    import numpy
    inner, count = 2 ** DEPTH - 1, 2 ** (DEPTH + 1) - 1
    number = numpy.tile(numpy.arange(count), TREES)
    tree = numpy.repeat(numpy.arange(TREES), count)
    leaf = number >= inner
    return tree, number, leaf, {
        'nodes_treeids': tree, 'nodes_nodeids': number,
        'nodes_featureids': numpy.where(leaf, 0, random.integers(0, FEATURES, len(number))),
        'nodes_values': numpy.where(leaf, 0, random.normal(0, 0.5, len(number))).astype('f4'),
        'nodes_modes': numpy.where(leaf, 'LEAF', 'BRANCH_LEQ'),
        'nodes_truenodeids': numpy.where(leaf, 0, 2 * number + 1),
        'nodes_falsenodeids': numpy.where(leaf, 0, 2 * number + 2)}


def make_model(kind, path):
    import numpy
    from onnx import TensorProto, helper, save
    random = numpy.random.default_rng(1)
    tree, number, leaf, its = attributes(random)
    votes = 'target' if kind == 'regressor' else 'class'
    its.update({f'{votes}_treeids': tree[leaf], f'{votes}_nodeids': number[leaf],
                f'{votes}_ids': numpy.zeros(leaf.sum(), 'i8'),
                f'{votes}_weights': random.normal(0, 0.1, leaf.sum()).astype('f4')})
    if kind == 'regressor':
        its['n_targets'] = 1
        outputs = [('y', TensorProto.FLOAT, ['n', 1])]
    else:
        its.update({'classlabels_int64s': [0, 1], 'post_transform': 'LOGISTIC'})
        outputs = [('label', TensorProto.INT64, ['n']), ('scores', TensorProto.FLOAT, ['n', 2])]
    node = helper.make_node(f'TreeEnsemble{kind.capitalize()}', ['x'],
                            [output[0] for output in outputs], domain='ai.onnx.ml',
                            **{name: value.tolist() if hasattr(value, 'tolist') else value
                               for name, value in its.items()})
    graph = helper.make_graph(
        [node], 'trees', [helper.make_tensor_value_info('x', TensorProto.FLOAT, ['n', FEATURES])],
        [helper.make_tensor_value_info(*output) for output in outputs])
    save(helper.make_model(graph, ir_version=8, opset_imports=[
        helper.make_opsetid('ai.onnx.ml', 3), helper.make_opsetid('', 17)]), path)


def compare(model, arguments, folder):
    """One line of the table; False if the answer is wrong."""
    import numpy
    rows = os.path.join(folder, 'x.npy')
    arrays = {'x': numpy.random.default_rng(2).normal(size=(model.rows, FEATURES)).astype('f4')}
    numpy.save(rows, arrays['x'])
    options = ['--input', f'x={rows}']
    peer = peers.Peer(model.path)
    peers.mmctl(arguments.build, 'infer', model.path, *options, '--output-dir', folder)
    wrong = peers.difference(folder, peer.answers(peer.open(), arrays))
    if wrong:
        print(f'{model.name:14} {model.rows:4} WRONG: {wrong}', flush=True)
        return False
    sides = [lambda: peer.measure(arrays, 2000 // model.rows + 100)[0],
             lambda: peers.measure_ours(arguments.build, model.path, options,
                                        2000 // model.rows + 100)[0]]
    rounds = []
    for i in range(arguments.rounds):
        first = i % 2
        times = {first: sides[first](), 1 - first: sides[1 - first]()}
        rounds.append((times[1], times[0]))
    if rounds:
        ours, theirs = (sorted(each[i] for each in rounds)[len(rounds) // 2] for i in (0, 1))
        ratios = [mine / its for mine, its in rounds]
        slow = model.rows == 1 and sorted(ratios)[len(ratios) // 2] > TARGET
        print(f'{model.name:14} {model.rows:4} {ours * 1e3:9.1f} {theirs * 1e3:9.1f} '
              f'{peers.spread(ratios, 2):>18}{"!" if slow else " "}', flush=True)
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--build', default=os.path.join(peers.ROOT, 'build/release'))
    parser.add_argument('--rounds', type=int, default=11)
    arguments = parser.parse_args()
    arguments.build = os.path.abspath(arguments.build)
    peers.enter_environment(os.path.join(arguments.build, 'peers'), peers.PACKAGES)
    sys.path.remove(os.path.dirname(os.path.abspath(__file__)))  # its onnx.py is not the package
    del sys.modules['onnx']
    print(f'{"model":14} {"rows":>4} {"ours us":>9} {"ORT us":>9} {"ratio":>18}')
    right = True
    with tempfile.TemporaryDirectory() as folder:
        for kind in ('regressor', 'classifier'):
            path = os.path.join(folder, kind + '.onnx')
            make_model(kind, path)
            for rows in (1, 100):
                right &= compare(Model(kind, path, rows), arguments, folder)
    return 0 if right else 1


if __name__ == '__main__':
    sys.exit(main())
