#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Networks of networks.py against other engines: same answers, steady time, cold penalty, memory.

Usage: run.py [--build DIR] [--rounds N] [--threads 1|2] [--engines NAME ...] [--json FILE]
              [--core N] [--only NAME ...] [--half development|held_out] [--seed N] [--batch N]
              [--precision f32|f16|int8-qdq|int8-dynamic]

DIR (build/release) is a release build with examples and benches; a Python environment, the models
and what engines convert them to are put into DIR/networks.

Answers come first. Right is what ONNX Runtime says with its optimisations off; the tolerance is
rtol 1e-3, atol 1e-5 times the largest value of the output (f16: 1e-2, 1e-2; int8: the root mean
square of the differences is within 0.1 of that of the output, since a step of a quantised value
more or less is not wrong, and ONNX Runtime with its optimisations is as far off). An engine that
is off is not timed, nor is one that cannot be installed or cannot read the model; why is said.
Another engine that is off by less than 1e-2 of the largest value is timed all the same and marked
~: to leave a fast one out would flatter ours. The exit code is 1 if an answer of ours is wrong.

Then, in interleaved rounds whose order turns around, each engine runs in its own process, which
lives as long as the network is measured and is pinned to the same core (--threads 2: to both).
Rounds in which one stood in line for its core for more than 3 % of the time are measured again, at
most three times as many; ? marks a network of which there were not enough quiet ones:
  ms       the median of many runs in a row, 20 or more in all; of the rounds, the median
  ratio    ours / the other engine's in the same round: median [range]
  fastest  ours / the fastest other engine's in the same round
  %peak    of what the core did on registers alone in the same minute (bench-onnx-peak)
  cold     ms that a model costs that is not there: opened until its first answer, less the steady
           time. Ours: evicted to NONE (mmctl bench); cached: in a process that found it prepared
           in a cache directory. Others: opened again in their process. Medians of five, three
  MB       the peak of memory. Ours: of the whole process, pages of mapped files included. Others:
           above what the process had before the model was opened
"""

import argparse
import contextlib
import json
import math
import os
import platform
import select
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.append(os.path.join(ROOT, 'bench'))
import comparing  # noqa: E402

PACKAGES = ['onnxruntime==1.31.1', 'openvino==2026.4.1', 'numpy==2.4.6', 'flatbuffers==25.12.19',
            'packaging==26.4', 'protobuf==7.36.2', 'onnx==1.22.0', 'ml_dtypes==0.6.0',
            'typing_extensions==4.16.0']
# What may be missing: an engine that cannot be installed is left out. pnnx asks for PyTorch, which
# its program does not use.
OPTIONAL = {'MNN': ['MNN==3.6.1'], 'ncnn': ['ncnn==1.0.20261020', 'pnnx==20261020']}
ENGINES = ['ONNX Runtime', 'OpenVINO', 'MNN', 'ncnn']
SHORT = {'ONNX Runtime': 'ORT', 'OpenVINO': 'OpenVINO', 'MNN': 'MNN', 'ncnn': 'ncnn'}
TOLERANCES = {'f32': (1e-3, 1e-5), 'f16': (1e-2, 1e-2)}
INT8_TOLERANCE = 0.1
COARSE = 1e-2
REPETITIONS = 20
ROUND_MS = 300  # about; what is slower than this runs REPETITIONS / rounds times
QUIET = 0.03  # what of its time a process may stand in line for its core
PATIENCE_S = 300


# ---- Processes ---------------------------------------------------------------------------------

class Failure(RuntimeError):
    """Why an engine is left out."""


class Process:
    """One engine; a line in, a line of JSON out."""

    def __init__(self, command, cores):
        self.errors = tempfile.TemporaryFile('w+')  # a pipe that nobody reads would fill up
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores))

    def told(self):
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE_S)
        if not ready:
            self.process.kill()
            raise Failure(f'no answer within {PATIENCE_S} s')
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            self.errors.seek(0)
            said = self.errors.read().strip().splitlines()
            raise Failure(f'ended with {code}' + (f': {said[-1][:200]}' if said else ''))
        answer = json.loads(line)
        if 'error' in answer:
            raise Failure(answer['error'])
        return answer

    def ask(self, line):
        self.process.stdin.write(f'{line}\n')
        self.process.stdin.flush()
        return self.told()

    def peak_mb(self):
        with open(f'/proc/{self.process.pid}/status', encoding='utf-8') as file:
            return int(file.read().split('VmHWM:')[1].split()[0]) / 1e3

    def scheduled_ns(self):
        """(ran, stood in line for a core) of all its threads so far."""
        ran = waited = 0
        folder = f'/proc/{self.process.pid}/task'
        for thread in os.listdir(folder):
            with open(f'{folder}/{thread}/schedstat', encoding='utf-8') as file:
                fields = file.read().split()
            ran, waited = ran + int(fields[0]), waited + int(fields[1])
        return ran, waited

    def stop(self):
        with contextlib.suppress(OSError):  # it may have ended with a line unread
            self.process.stdin.close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.errors.close()


class Place:
    """One network with its inputs, and how it is to be run."""

    def __init__(self, arguments, path, folder, cores):
        self.build, self.threads = arguments.build, arguments.threads
        self.path, self.folder, self.cores, self.options = path, folder, cores, []
        self.inputs = os.path.join(folder, 'inputs.npz')

    def make_inputs(self):
        import networks
        import numpy
        import onnx
        arrays = networks.make_inputs(onnx.load(self.path, load_external_data=False))
        numpy.savez(self.inputs, **arrays)
        for name, array in arrays.items():
            file = os.path.join(self.folder, name + '.npy')
            numpy.save(file, array)
            self.options += ['--input', f'{name}={file}']

    def ours(self, runs, *more):
        return Process([comparing.mmctl_path(self.build), 'bench', self.path, '--json', '--again',
                        '--threads', str(self.threads), '--runs', str(runs), *self.options,
                        *more], self.cores)

    def other(self, what, engine, folder, *more):
        return Process([sys.executable, os.path.join(HERE, 'engines.py'), what, engine, self.path,
                        folder, self.inputs, *more, '--threads', str(self.threads)], self.cores)


# ---- Answers -----------------------------------------------------------------------------------

def read_npz(path):
    import numpy
    with numpy.load(path) as file:
        return dict(file)


def plain_answers(place):
    path = os.path.join(place.folder, 'plain.npz')
    process = place.other('serve', 'plain', place.folder, path)
    process.told()
    process.stop()
    return read_npz(path)


def is_close(value, right, scale, precision):
    import numpy
    if precision.startswith('int8'):
        return numpy.linalg.norm(value - right) <= INT8_TOLERANCE * numpy.linalg.norm(right)
    rtol, atol = TOLERANCES[precision]
    return numpy.allclose(value, right, rtol=rtol, atol=atol * scale)


def difference(got, wanted, precision):
    """(what is wrong, largest error over the largest value); '' = nothing is."""
    import numpy
    wrong, worst = '', 0
    for name, right in wanted.items():
        if name not in got or got[name].size != right.size:
            return f'{name}: {got[name].shape if name in got else "nothing"} for {right.shape}', 1
        scale = float(numpy.abs(right).max()) or 1
        value, right = got[name].reshape(right.shape).astype('f8'), right.astype('f8')
        error = float(numpy.nan_to_num(numpy.abs(value - right), nan=math.inf).max()) / scale
        if not is_close(value, right, scale, precision):
            wrong = f'{name} is off by {error:.2g} of its largest value'
        worst = max(worst, error)
    return wrong, worst


def our_difference(place, wanted, precision):
    comparing.mmctl(place.build, 'infer', place.path, *place.options, '--output-dir', place.folder)
    got = {name: comparing.load_answer(place.folder, name) for name in wanted}
    for name, value in wanted.items():
        if got[name].shape != value.shape or got[name].dtype != value.dtype:
            return f'{name} is {got[name].dtype} {got[name].shape}'
    return difference(got, wanted, precision)[0]


class Other:
    """Another engine on one network: open and right, or why it is left out."""

    def __init__(self, engine, place, wanted, precision):
        self.engine, self.note, self.process = engine, '', None
        try:
            if precision != 'f32' and engine in OPTIONAL:
                raise Failure('f32 alone is compared')
            self.start(place, wanted, precision)
        except (Failure, OSError, ValueError) as failure:
            self.note = str(failure)
            self.stop()

    def start(self, place, wanted, precision):
        folder = os.path.join(place.folder, SHORT[self.engine])
        os.makedirs(folder)
        converter = place.other('convert', self.engine, folder)
        converter.told()
        converter.stop()
        answers = os.path.join(folder, 'answers.npz')
        self.process = place.other('serve', self.engine, folder, answers)
        self.told = self.process.told()
        wrong, worst = difference(read_npz(answers), wanted, precision)
        if wrong and not worst < COARSE:
            raise Failure('wrong: ' + wrong)
        self.error, self.coarse = worst, bool(wrong)

    def stop(self):
        if self.process:
            self.process.stop()
            self.process = None


# ---- Measuring ---------------------------------------------------------------------------------

class Turn:
    """One engine of one round: its ms, and how long it stood in line for the core meanwhile."""

    def __init__(self, process, measure):
        before = process.scheduled_ns()
        self.ms, self.told = measure(process)
        ran, waited = (b - a for a, b in zip(before, process.scheduled_ns()))
        self.waited = waited / max(ran, 1)


def take_turn(ours, other, runs):
    if other is None:
        def measure(process):
            told = process.ask('')
            return told['hot_p50_ms'], told
    else:
        def measure(process):
            return process.ask(runs)['p50_ms'], None
    return Turn(other.process if other else ours, measure)


def measure_rounds(place, others, rounds, runs, first):
    """Of the rounds that other programs disturbed least, by engine ('' is ours), its turns.

    A round counts whole; as many as three times those wanted are tried for quiet ones.
    """
    ours, seen = place.ours(runs), []
    try:
        ours.told()  # warms up
        while len(seen) < 3 * rounds and sum(map(is_quiet, seen)) < rounds:
            order = [None, *others] if (len(seen) + first) % 2 else [*reversed(others), None]
            seen.append({other.engine if other else '': take_turn(ours, other, runs)
                         for other in order})
        return sorted(seen, key=worst_wait)[:rounds], ours.peak_mb()
    finally:
        ours.stop()


def worst_wait(turns):
    return max(turn.waited for turn in turns.values())


def is_quiet(turns):
    return worst_wait(turns) < QUIET


def cold_ms(told):
    return told['open_ms'] + told['first_ms'] - told['hot_p50_ms']


def measure_cached(place):
    """Cold penalty and peak of a process that finds the model prepared."""
    option = ['--cache-dir', os.path.join(place.folder, 'cache')]
    for _ in range(2):
        process = place.ours(5, *option)
        told = [process.told()] + [process.ask('') for _ in range(4)]
        peak = process.peak_mb()
        process.stop()
    return comparing.median(map(cold_ms, told)), peak


def count_flops(place):
    told = json.loads(comparing.mmctl(place.build, 'profile', place.path, '--json', '--runs', '1',
                                      '--warm-up', '0', *shapes(place)))
    return sum(each['flops'] for each in told['operators'])


def shapes(place):
    import numpy
    for option in place.options[1::2]:
        name, file = option.split('=', 1)
        shape = 'x'.join(map(str, numpy.load(file, mmap_mode='r').shape))
        yield from ('--shape', f'{name}={shape}')


def measure_peak(place):
    done = subprocess.run([os.path.join(place.build, 'bench/bench-onnx-peak')], check=True,
                          capture_output=True, text=True,
                          preexec_fn=lambda: os.sched_setaffinity(0, place.cores))
    return {isa: rate * place.threads for isa, rate in json.loads(done.stdout).items()}


def choose_runs(place, rounds):
    """How many runs in a row a round has."""
    probe = place.ours(3)
    alone = probe.told()['hot_p50_ms']
    probe.stop()
    return max(math.ceil(REPETITIONS / rounds), min(int(ROUND_MS / alone), 500))


def compare(network, place, arguments, first):
    """What was seen of one network, as for JSON."""
    seen = {'name': network.name, 'family': network.family, 'half': network.half, 'engines': {}}
    place.make_inputs()
    wanted = plain_answers(place)
    try:
        seen['wrong'] = our_difference(place, wanted, arguments.precision)
    except (RuntimeError, OSError) as failure:
        seen['wrong'] = str(failure)
    if seen['wrong']:
        return seen
    others = [Other(engine, place, wanted, arguments.precision) for engine in arguments.engines]
    timed = [other for other in others if other.process]
    try:
        runs = choose_runs(place, arguments.rounds)
        rounds, peak = measure_rounds(place, timed, arguments.rounds, runs, first)
    except (Failure, OSError) as failure:
        seen['wrong'] = f'not measured: {failure}'
        return seen
    finally:
        for other in timed:
            other.stop()
    cached, cached_peak = measure_cached(place)
    told = [turns[''].told for turns in rounds]
    times = {engine: [turns[engine].ms for turns in rounds] for engine in rounds[0]}
    seen.update(runs=runs, flops=count_flops(place), peak_gflops=measure_peak(place), ours={
        'ms': times[''], 'cold_ms': [cold_ms(each) for each in told], 'peak_mb': peak,
        'waited': [worst_wait(turns) for turns in rounds],
        'cached_cold_ms': cached, 'cached_peak_mb': cached_peak,
        'prepare_ms': told[0]['prepare_ms'], 'resident_bytes': told[0]['resident_bytes']})
    for other in others:
        seen['engines'][other.engine] = {'note': other.note} if other.note else {
            'ms': times[other.engine], 'coarse': other.coarse, 'error': other.error,
            'cold_ms': other.told['first_ms'] - comparing.median(times[other.engine]),
            'peak_mb': other.told['peak_mb'], 'version': other.told['version']}
    return seen


# ---- Tables ------------------------------------------------------------------------------------

def ratios(seen, engine):
    """Of each round, ours over an engine; engine None: over the fastest. [] = none was timed."""
    if 'ours' not in seen:
        return []
    chosen = [each['ms'] for name, each in seen['engines'].items() if 'ms' in each and
              engine in (None, name)]
    return [ours / min(others) for ours, *others in zip(seen['ours']['ms'], *chosen)
            if others]


def steady_head(engines):
    columns = ''.join(f' |{SHORT[engine] + " ms":>12}{"ratio":>18}' for engine in engines)
    return f'{"network":21}{"GFLOP":>7}{"ours ms":>9}{"GF/s":>7}{"%peak":>6}{columns}' \
           f' |{"fastest":>18}'


def steady_line(seen, engines, peak):
    if seen['wrong']:
        return f'{seen["name"]:21} WRONG: {seen["wrong"]}'
    ms = comparing.median(seen['ours']['ms'])
    rate = seen['flops'] / ms / 1e6
    mark = ' ' if max(seen['ours']['waited']) < QUIET else '?'
    line = f'{seen["name"] + mark:21}{seen["flops"] / 1e9:7.3f}{ms:9.3f}{rate:7.1f}' \
           f'{100 * rate / peak if peak else 0:6.1f}'
    for engine in engines:
        other = seen['engines'][engine]
        if 'ms' in other:
            mark = '~' if other['coarse'] else ' '
            line += f' |{comparing.median(other["ms"]):11.3f}{mark}' \
                    f'{comparing.spread(ratios(seen, engine), 2):>18}'
        else:
            line += f' |{"-":>12}{"":18}'
    fastest = ratios(seen, None)
    return line + (f' |{comparing.spread(fastest, 2):>18}' if fastest else '')


def cost_table(all_seen, engines):
    yield f'\n{"network":21}{"cold ms":>9}{"cached":>8}' + \
        ''.join(f'{SHORT[engine]:>10}' for engine in engines) + \
        f' |{"MB":>8}{"cached":>8}' + ''.join(f'{SHORT[engine]:>10}' for engine in engines)
    for seen in all_seen:
        if 'ours' not in seen:
            continue
        ours, others = seen['ours'], [seen['engines'][engine] for engine in engines]
        cells = [[f'{each[key]:10.1f}' if key in each else f'{"-":>10}' for each in others]
                 for key in ('cold_ms', 'peak_mb')]
        yield (f'{seen["name"]:21}{comparing.median(ours["cold_ms"]):9.2f}'
               f'{ours["cached_cold_ms"]:8.2f}{"".join(cells[0])} |{ours["peak_mb"]:8.1f}'
               f'{ours["cached_peak_mb"]:8.1f}{"".join(cells[1])}')


def mean_table(all_seen, engines):
    """Geometric means of the median ratios, and of how many networks."""
    yield f'\n{"ours over":13}' + ''.join(f'{half:>20}' for half in HALVES) + f'{"all":>20}'
    for engine in [*engines, None]:
        line = f'{engine or "the fastest":13}'
        for half in (*HALVES, None):
            values = [comparing.median(ratios(seen, engine)) for seen in all_seen
                      if half in (None, seen['half']) and ratios(seen, engine)]
            mean = math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan
            line += f'{mean:13.2f} ({len(values):2} n.)'
        yield line


def notes(all_seen):
    for seen in all_seen:
        for engine, other in seen['engines'].items():
            if other.get('note'):
                yield f'{seen["name"]}: {engine} is left out: {other["note"]}'


HALVES = ('development', 'held_out')


def machine():
    """What the numbers were seen on."""
    with open('/proc/cpuinfo', encoding='utf-8') as file:
        text = file.read()
    flags = text.split('flags')[1].split('\n')[0].split()
    names = ('avx', 'avx2', 'fma', 'avx_vnni', 'avx512f', 'avx512bw', 'avx512_vnni',
             'avx512_bf16', 'amx_tile')
    return {'cpu': text.split('model name')[1].split(':', 1)[1].split('\n')[0].strip(),
            'isa': [name for name in names if name in flags], 'cores': os.cpu_count(),
            'system': f'{platform.system()} {platform.release()}'}


# ---- The command -------------------------------------------------------------------------------

def enter(argv):
    """The build folder; go on in an environment that has what networks.py and engines need."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument('--build', default=os.path.join(ROOT, 'build/release'))
    build = os.path.abspath(parser.parse_known_args(argv)[0].build)
    comparing.enter_environment(os.path.join(build, 'networks'), PACKAGES)
    return build


def read_arguments(build):
    import networks
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--build', help='a release build with examples and benches')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--core', type=int, help='the first one used; none: the last there is')
    parser.add_argument('--engines', nargs='+', choices=ENGINES, default=ENGINES)
    parser.add_argument('--json', metavar='FILE')
    networks.add_choices(parser)
    arguments = parser.parse_args()
    arguments.build = build
    return arguments


def install_engines(engines):
    """Those that are there."""
    import importlib.util
    there = []
    for engine in engines:
        try:
            if engine in OPTIONAL and not importlib.util.find_spec(engine):
                comparing.install(sys.executable, OPTIONAL[engine])
            there.append(engine)
        except subprocess.CalledProcessError as failure:
            print(f'{engine} is left out: it cannot be installed ({failure})', flush=True)
    return there


def cores(arguments):
    allowed = sorted(os.sched_getaffinity(0))
    if arguments.core is not None:
        allowed = allowed[allowed.index(arguments.core):]
        return set(allowed[:arguments.threads])
    return set(allowed[-arguments.threads:])


def write_json(arguments, all_seen):
    told = {'machine': machine(), 'ours': comparing.mmctl(arguments.build, 'version').strip(),
            'threads': arguments.threads, 'rounds': arguments.rounds, 'batch': arguments.batch,
            'precision': arguments.precision, 'seed': arguments.seed, 'networks': all_seen}
    with open(arguments.json, 'w', encoding='utf-8') as file:
        json.dump(told, file, indent=1)


def main():
    arguments = read_arguments(enter(sys.argv[1:]))
    import networks
    arguments.engines = install_engines(arguments.engines)
    its = machine()
    print(f'{its["cpu"]}, {" ".join(its["isa"])}; {arguments.threads} thread(s), '
          f'{arguments.precision}, batch {arguments.batch}\n')
    print(steady_head(arguments.engines), flush=True)
    all_seen, peak = [], 0
    models = os.path.join(arguments.build, 'networks/models')
    for number, network in enumerate(networks.chosen(arguments)):
        path = networks.write(network, models, arguments)
        folder = tempfile.mkdtemp(dir=models)
        try:
            place = Place(arguments, path, folder, cores(arguments))
            seen = compare(network, place, arguments, number)
        finally:
            shutil.rmtree(folder)
        all_seen.append(seen)
        peak = max([peak, *seen.get('peak_gflops', {}).values()])
        print(steady_line(seen, arguments.engines, peak), flush=True)
        if arguments.json:
            write_json(arguments, all_seen)
    for lines in (cost_table(all_seen, arguments.engines), mean_table(all_seen, arguments.engines),
                  [f'\nThe core\'s peak: {peak:.0f} GFLOP/s'], notes(all_seen)):
        print('\n'.join(lines), flush=True)
    return 1 if any(seen['wrong'] for seen in all_seen) else 0


if __name__ == '__main__':
    sys.exit(main())
