# SPDX-License-Identifier: Apache-2.0
"""Models as their exporters write them: our answers against those of what trained them.

Usage: main.py [--library FILE] [--list] [--keep FOLDER] [NAME ...]

NAME: a pipeline, or what its name begins with; none: all. Each is trained from seeded data and
exported; requests of 1 and 17 rows must be answered as its library does, in the types and shapes
that ONNX Runtime has. What ONNX Runtime says is told besides. known.txt lists what cannot pass.
"""

import argparse
import os
import sys
import time
import warnings

import boosted
import case as cases
import engine
import quantised
import sklearn_models
import sklearn_text

HERE = os.path.dirname(os.path.abspath(__file__))


def read_known():
    known = {}
    with open(os.path.join(HERE, 'known.txt'), encoding='utf-8') as file:
        for line in file:
            name, _, reason = line.partition('#')[0].strip().partition(' ')
            if name:
                known[name] = reason.strip()
    return known


def all_pipelines():
    pipelines = {}
    for module in (sklearn_models, sklearn_text, boosted, quantised):
        for name, make in module.pipelines():
            assert name not in pipelines, name
            pipelines[name] = make
    return pipelines


def judge(ours, made):
    """(what is wrong with ours, what ONNX Runtime does); '' = right."""
    try:
        runtime = engine.runtime_answers(made.content, made.requests)
        its_word = ''
    except engine.Failure as failure:
        runtime, its_word = None, f'refuses: {failure}'
    wanted = made.wanted or runtime
    if wanted is None:
        return 'there is nothing to compare with', its_word
    if runtime and made.wanted:
        wrong = cases.difference(made, runtime, wanted)
        its_word = f'differs: {wrong}' if wrong else ''
    try:
        got = ours.answers(made.content, made.requests)
    except engine.Failure as failure:
        return f'refused: {failure}', its_word
    wrong = cases.difference(made, got, wanted)
    return wrong or (cases.form_difference(got, runtime) if runtime else ''), its_word


def run(ours, name, make, keep):
    begun = time.monotonic()
    try:
        made = make()
    except Exception as failure:  # of whatever library: told, counted, and the next one
        words = ' '.join(str(failure).split())
        return f'not exported: {type(failure).__name__}: {words[:300]}', '', 0
    if keep:
        with open(os.path.join(keep, name.replace('/', '_') + '.onnx'), 'wb') as file:
            file.write(made.content)
    return *judge(ours, made), time.monotonic() - begun


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--library', default='build/release/lib/libmodelmesh.so')
    parser.add_argument('--list', action='store_true')
    parser.add_argument('--keep', help='a folder for the models')
    parser.add_argument('names', nargs='*')
    arguments = parser.parse_args()
    warnings.simplefilter('ignore')
    pipelines = {name: make for name, make in all_pipelines().items()
                 if not arguments.names or name.startswith(tuple(arguments.names))}
    if arguments.list:
        print('\n'.join(pipelines))
        return 0
    known, ours = read_known(), engine.Ours(arguments.library)
    passed = failed = 0
    for name, make in pipelines.items():
        wrong, its_word, seconds = run(ours, name, make, arguments.keep)
        expected = name in known
        good = bool(wrong) == expected
        passed, failed = passed + good, failed + (not good)
        mark = ('known' if expected else 'ok') if good else 'FAIL'
        said = wrong or ('known.txt says it cannot pass' if expected else '')
        print(f'{mark:5} {name:44} {seconds:5.2f} s{"  " + said if said else ""}'
              f'{"  [ONNX Runtime " + its_word + "]" if its_word else ""}', flush=True)
    ours.close()
    print(f'{passed} passed, {failed} failed')
    return 1 if failed or not passed else 0


if __name__ == '__main__':
    sys.exit(main())
