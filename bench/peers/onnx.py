#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Public models against ONNX Runtime, one thread each: same answers, steady time, cold penalty.

Usage: onnx.py [--build DIR] [--rounds N] [MODEL ...]

DIR (build/release) is a release build with examples; a Python environment and the models are put
into DIR/peers. A model is a name of examples/zoo/models.txt; none: all.

First the answers of both on the same inputs are compared (rtol 1e-3, atol 1e-5); the exit code is 1
if any differ. That is all with --rounds 0. Then, in interleaved rounds:
  steady  the median of many runs, p50
  cold    what a model costs that is not there: until its first answer, less the steady time. Ours:
          evicted to NONE, the artifact known (mmctl bench: open + first). ONNX Runtime: an
          InferenceSession of the file, then its first run, in a process that has run others
Ratios are ours / ONNX Runtime, of each round: median [range]. ! marks a median over its target.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.append(os.path.join(ROOT, 'bench'))
from comparing import enter_environment, load_answer, mmctl, spread  # noqa: E402

ZOO = os.path.join(ROOT, 'examples/zoo')
PACKAGES = ['onnxruntime==1.31.1', 'numpy==2.4.6', 'flatbuffers==25.12.19', 'packaging==26.4',
            'protobuf==7.36.2', 'onnx==1.22.0', 'ml_dtypes==0.6.0', 'typing_extensions==4.16.0']
STEADY_TARGET, COLD_TARGET = 3, 0.3

STATE = {'state': (2, 1, 128)}
SHAPES = {  # of each kind of model: its free axes filled in
    'det': {'x': (1, 3, 640, 640)},
    'rec': {'x': (1, 3, 48, 320)},
    'cls': {'x': (1, 3, 48, 192)},
    'vad': {'input': (1, 576), 'sr': (), **STATE},
    'vadseq': {'input': (32, 576), 'h': (1, 1, 128), 'c': (1, 1, 128)},
    'filetype': {'bytes': (1, 2048)},
}


# ---- Both sides --------------------------------------------------------------------------------

def make_inputs(session, kind, folder):
    """Seeded inputs, as arrays and as options of mmctl."""
    import numpy
    random = numpy.random.default_rng(1)
    arrays, options = {}, []
    for value in session.get_inputs():
        shape = SHAPES[kind][value.name]
        if value.type == 'tensor(float)':
            array = random.random(shape, dtype=numpy.float32)
        elif value.name == 'sr':
            array = numpy.array(16000, dtype=numpy.int64)
        else:
            array = random.integers(0, 256, shape, dtype=numpy.int32)
        path = os.path.join(folder, value.name + '.npy')
        numpy.save(path, array)
        arrays[value.name] = array
        options += ['--input', f'{value.name}={path}']
    return arrays, options


def difference(ours, theirs):
    """What is wrong with our answers; '' = nothing."""
    import numpy
    for name, wanted in theirs.items():
        got = load_answer(ours, name)
        if got.shape != wanted.shape or got.dtype != wanted.dtype:
            return f'{name} is {got.dtype} {got.shape}, {wanted.dtype} {wanted.shape} wanted'
        if not numpy.allclose(got, wanted, rtol=1e-3, atol=1e-5, equal_nan=True):
            return f'{name} differs by up to {numpy.abs(got - wanted).max():.3g}'
    return ''


class Peer:
    """ONNX Runtime, one thread."""

    def __init__(self, path):
        import onnxruntime
        self.path = path
        self.options = onnxruntime.SessionOptions()
        self.options.log_severity_level = 3
        self.options.intra_op_num_threads = self.options.inter_op_num_threads = 1
        self.open = lambda: onnxruntime.InferenceSession(path, self.options)

    def answers(self, session, arrays):
        names = [value.name for value in session.get_outputs()]
        return dict(zip(names, session.run(names, arrays)))

    def measure(self, arrays, runs):
        """(steady, cold) in ms."""
        begun = time.perf_counter()
        session = self.open()
        session.run(None, arrays)
        first = time.perf_counter() - begun
        binding = session.io_binding()  # the least that a call from Python costs
        for name, array in arrays.items():
            binding.bind_cpu_input(name, array)
        for value in session.get_outputs():
            binding.bind_output(value.name)
        samples = []
        for _ in range(runs):
            begun = time.perf_counter()
            session.run_with_iobinding(binding)
            samples.append(time.perf_counter() - begun)
        steady = sorted(samples)[runs // 2]
        return steady * 1e3, (first - steady) * 1e3


def measure_ours(build, path, options, runs):
    """(steady, cold) in ms, and all that mmctl told."""
    told = json.loads(mmctl(build, 'bench', path, '--json', '--threads', '1', '--runs', str(runs),
                            *options))
    steady = told['hot_p50_ms']
    return steady, told['open_ms'] + told['first_ms'] - steady, told


# ---- The table ---------------------------------------------------------------------------------

HEAD = (f'{"":13}{"steady ms":>19} {"":>18}{"cold ms":>20}{"":>21}{"prepare":>9} {"MB":>15}\n'
        f'{"model":13}{"ours":>9} {"ORT":>9} {"ratio":>17} {"ours":>9} {"ORT":>9} {"ratio":>20} '
        f'{"ms":>9} {"resident":>8} {"file":>6}')


def compare(model, path, arguments):
    """One line of the table; False if the answer is wrong."""
    peer = Peer(path)
    session = peer.open()
    with tempfile.TemporaryDirectory() as folder:
        arrays, options = make_inputs(session, model.kind, folder)
        wanted = peer.answers(session, arrays)
        try:
            mmctl(arguments.build, 'infer', path, *options, '--output-dir', folder)
            wrong = difference(folder, wanted)
        except (RuntimeError, OSError) as failure:
            wrong = str(failure)
        if wrong:
            print(f'{model.name:13} WRONG: {wrong}', flush=True)
            return False
        if arguments.rounds == 0:
            print(f'{model.name:13} the same answers', flush=True)
            return True
        begun = time.perf_counter()
        peer.answers(session, arrays)
        runs = int(min(max(0.5 / (time.perf_counter() - begun), 10), 500))
        rounds = []
        for i in range(arguments.rounds):
            if i % 2:
                theirs = peer.measure(arrays, runs)
            ours = measure_ours(arguments.build, path, options, runs)
            if not i % 2:
                theirs = peer.measure(arrays, runs)
            rounds.append((ours, theirs))
    show(model, rounds)
    return True


def show(model, rounds):
    middle = len(rounds) // 2
    ours = [sorted(ours[i] for ours, _ in rounds)[middle] for i in (0, 1)]
    theirs = [sorted(theirs[i] for _, theirs in rounds)[middle] for i in (0, 1)]
    ratios = [[ours[i] / theirs[i] for ours, theirs in rounds] for i in (0, 1)]
    marks = ['!' if sorted(ratio)[middle] > target else ' '
             for ratio, target in zip(ratios, (STEADY_TARGET, COLD_TARGET))]
    told = [ours[2] for ours, _ in rounds]
    prepare = sorted(each['prepare_ms'] for each in told)[middle]
    print(f'{model.name:13}{ours[0]:9.3f} {theirs[0]:9.3f} {spread(ratios[0], 2):>17}{marks[0]}'
          f'{ours[1]:9.2f} {theirs[1]:9.1f} {spread(ratios[1], 3):>20}{marks[1]}{prepare:9.1f}'
          f' {told[0]["resident_bytes"] / 1e6:8.2f} {told[0]["file_bytes"] / 1e6:6.2f}', flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--build', default=os.path.join(ROOT, 'build/release'))
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('models', nargs='*')
    arguments = parser.parse_args()
    arguments.build = os.path.abspath(arguments.build)
    folder = os.path.join(arguments.build, 'peers')
    enter_environment(folder, PACKAGES)
    subprocess.run([sys.executable, os.path.join(ZOO, 'fetch.py'), folder], check=True,
                   stdout=subprocess.DEVNULL)
    sys.path.insert(0, ZOO)
    import models
    chosen = [model for model in models.listed() if model.kind in SHAPES and
              (not arguments.models or model.name in arguments.models)]
    if arguments.rounds > 0:
        print(HEAD, flush=True)
    right = [compare(model, os.path.join(folder, 'models', models.file_name(model.name)),
                     arguments) for model in chosen]
    return 0 if right and all(right) else 1


if __name__ == '__main__':
    sys.exit(main())
