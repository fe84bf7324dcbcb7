# SPDX-License-Identifier: Apache-2.0
"""Many seeds in child processes, so that a crash is a finding like any other."""

import json
import multiprocessing
import os
import time

import numpy as np

import compare
import shrink
from engines import ENGINES, Refused
from generate import Statistics, generate
from ours import Failed, Ours
from values import F16

BATCH = 50
PATIENCE_S = 300  # for one batch
CONFIGS = ('passes=1', 'passes=0')


def overflows(graph):
    """A value between nodes that may be infinity because it is too large for f16.

    With the passes it is not rounded to f16, so it is not infinity there, and what follows differs.
    """
    used = {name for node in graph.nodes for name in node.needs()}
    return any(v.kind == 'made' and v.name in used and v.is_tensor and v.dtype == F16
               and np.isinf(v.data.astype(np.float32)).any() for v in graph.values.values())


def check(ours, graph):
    """What is wrong; '' = nothing."""
    model = graph.model().SerializeToString()
    inputs = {v.name: v.data for v in graph.inputs()}
    results = {}
    for config in CONFIGS:
        try:
            results[config] = ours.run(model, inputs, config)
        except Failed as failed:
            return f'{config}: {failed}'
    if overflows(graph):
        results[CONFIGS[0]] = results[CONFIGS[1]]
    for config, outputs in results.items():
        for name, output in zip(graph.outputs, outputs):
            value = graph.values[name]
            wrong = compare.difference(output, value.data, value.slack)
            if wrong:
                return f'{config}: {name}: {wrong}'
    for name, a, b in zip(graph.outputs, results[CONFIGS[0]], results[CONFIGS[1]]):
        wrong = compare.difference(a, b, graph.values[name].slack)
        if wrong:
            return f'passes=1 against passes=0: {name}: {wrong}'
    return ''


def others(graph):
    """What each engine says to a graph of one node."""
    node = graph.nodes[0]
    for name, engine in ENGINES:
        try:
            answers = engine(node, graph.values, graph.opsets())(
                {n: graph.values[n].data for n in node.needs()})
            for output, answer in zip([n for n in node.outputs if n], answers):
                value = graph.values[output]
                wrong = compare.difference(answer, value.data, value.slack) or 'agrees'
                print(f'{name}: {output}: {wrong}')
        except Refused as refused:
            print(f'{name}: {refused}')


def tell(options, only):
    ours, statistics = Ours(options.build, options.cpu_features), Statistics()
    graph = generate(options.seed, statistics, only)
    print(graph.tell())
    for (op, reason), _ in statistics.refused.items():
        print(f'not run: {op}: {reason}')
    wrong = check(ours, graph)
    print(wrong or 'the same')
    if wrong:
        graph, wrong = shrink.shrink(graph, lambda g: check(ours, g))
        print('\nmade small:\n' + graph.tell() + '\n' + wrong)
        if len(graph.nodes) == 1:
            others(graph)
    return 1 if wrong else 0


def run_batch(options, first, count, only, path):
    """In a child. Lines of JSON: the seed that begins, what differs, at last the statistics."""
    ours, statistics = Ours(options.build, options.cpu_features), Statistics()
    with open(path, 'w', encoding='utf-8') as file:
        def put(**line):
            file.write(json.dumps(line) + '\n')
            file.flush()
        for seed in range(first, first + count):
            put(seed=seed)
            graph = generate(seed, statistics, only)
            put(ours=seed)  # what ends the process from here on is ours
            if not graph.nodes:
                put(done=seed)
                continue
            wrong = check(ours, graph)
            if wrong:
                graph, wrong = shrink.shrink(graph, lambda g: check(ours, g))
                put(wrong=wrong, of=seed, text=graph.tell(), ops=[n.op for n in graph.nodes])
            put(done=seed)
        put(nodes=statistics.nodes, engines=statistics.engines,
            refused=[[*k, n] for k, n in statistics.refused.items()])


class Job:
    def __init__(self, options, only, first, last, folder):
        self.last, self.end = last, min(first + BATCH, last)
        self.path = os.path.join(folder, f'{first}.json')
        self.process = multiprocessing.Process(
            target=run_batch, args=(options, first, self.end - first, only, self.path))
        self.process.start()
        self.began = time.monotonic()

    def lines(self):
        if not os.path.exists(self.path):
            return []
        with open(self.path, encoding='utf-8') as file:
            return [json.loads(line) for line in file if line.endswith('\n')]


class Totals:
    def __init__(self):
        self.graphs, self.wrong, self.died, self.theirs_died = 0, [], [], []
        self.nodes, self.engines, self.refused = {}, {}, {}

    def take(self, lines):
        """What a batch has written; the seed that it did not end, or None, and whether it was ours
        that ran then."""
        current, ours = None, False
        for line in lines:
            if 'seed' in line:
                current, ours = line['seed'], False
            elif 'ours' in line:
                ours = True
            elif 'wrong' in line:
                self.wrong.append(line)
                print(f'seed {line["of"]}: {line["wrong"]}\n{line["text"]}\n', flush=True)
            elif 'done' in line:
                self.graphs += 1
                current = None
            elif 'nodes' in line:
                current = None
                for table, new in ((self.nodes, line['nodes']), (self.engines, line['engines']),
                                   (self.refused, {(a, b): n for a, b, n in line['refused']})):
                    for key, n in new.items():
                        table[key] = table.get(key, 0) + n
        return current, ours


def finish(job, totals):
    """Where to go on after a batch: its end, or behind the seed that ended it."""
    late = job.process.is_alive()
    if late:
        job.process.kill()
    job.process.join()
    current, ours = totals.take(job.lines())
    if job.process.exitcode != 0:
        crash = job.process.exitcode < 0 and not late
        (totals.died if ours or not crash else totals.theirs_died).append(current)
        why = f'no end within {PATIENCE_S} s' if late else \
            f'the process ended with {job.process.exitcode}'
        print(f'seed {current}: {"ours" if ours else "the other engine"}: {why}', flush=True)
        if current is not None:
            return current + 1
    return job.end


def run_all(options, only):
    folder = os.path.join(os.path.dirname(os.path.abspath(options.build)), 'differential/batches')
    os.makedirs(folder, exist_ok=True)
    totals, jobs = Totals(), []
    end = options.first + options.count
    waiting = [(s, min(s + BATCH, end)) for s in range(options.first, end, BATCH)][::-1]
    while waiting or jobs:
        while waiting and len(jobs) < options.jobs:
            jobs.append(Job(options, only, *waiting.pop(), folder))
        jobs[0].process.join(0.05)
        for job in list(jobs):
            if not job.process.is_alive() or time.monotonic() - job.began > PATIENCE_S:
                jobs.remove(job)
                next_ = finish(job, totals)
                if next_ < job.last:
                    waiting.append((next_, job.last))
                os.unlink(job.path)
    return report(options, totals)


def report(options, totals):
    if options.report:
        for op, n in sorted(totals.nodes.items(), key=lambda item: item[1]):
            print(f'{n:8} {op}')
        for (op, why), n in sorted(totals.refused.items(), key=lambda item: -item[1])[:200]:
            print(f'{n:8} not run: {op}: {why}')
        print(totals.engines)
    print(f'{totals.graphs} graphs, {sum(totals.nodes.values())} nodes of {len(totals.nodes)} '
          f'operators: {len(totals.wrong)} differ, {len(totals.died)} ended the process; the other '
          f'engine ended it {len(totals.theirs_died)} times')
    return 1 if totals.wrong or totals.died else 0
