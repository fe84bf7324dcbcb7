#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Other engines, each in a process of its own that is told over a pipe what to do. For run.py.

Usage: engines.py convert ENGINE MODEL FOLDER INPUTS.npz
       engines.py serve ENGINE MODEL FOLDER INPUTS.npz ANSWERS.npz --threads N

convert turns MODEL into what the engine reads, in FOLDER, if it does not read ONNX itself. serve
writes the answers to ANSWERS.npz and one line of JSON, {"first_ms", "peak_mb", "version"}; then,
for every line of standard input, a number of runs, {"p50_ms"} of them. What fails is {"error"}.
"""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import time

import numpy


def graph_names(path):
    import onnx
    graph = onnx.load(path, load_external_data=False).graph
    return [value.name for value in graph.input], [value.name for value in graph.output]


class OnnxRuntime:
    """All optimisations; inputs and outputs are bound, so a call from Python costs least."""

    @staticmethod
    def load():
        import onnxruntime
        return onnxruntime.__version__

    @staticmethod
    def convert(path, folder, arrays):
        """Reads ONNX."""

    def __init__(self, path, folder, arrays, threads, optimise=True):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        level = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = (level.ORT_ENABLE_ALL if optimise else
                                            level.ORT_DISABLE_ALL)
        self.session = onnxruntime.InferenceSession(path, options,
                                                    providers=['CPUExecutionProvider'])
        self.binding = self.session.io_binding()
        for name, array in arrays.items():
            self.binding.bind_cpu_input(name, array)
        self.names = [value.name for value in self.session.get_outputs()]
        for name in self.names:
            self.binding.bind_output(name)

    def run(self):
        self.session.run_with_iobinding(self.binding)

    def answers(self):
        return dict(zip(self.names, self.binding.copy_outputs_to_cpu()))


class Plain(OnnxRuntime):
    """ONNX Runtime without its optimisations: what is right."""

    def __init__(self, path, folder, arrays, threads):
        super().__init__(path, folder, arrays, threads, optimise=False)


class OpenVino:
    """f32 is asked for, as it would take bfloat16 where the CPU has it."""

    @staticmethod
    def load():
        import openvino
        return openvino.__version__.split('-')[0]

    @staticmethod
    def convert(path, folder, arrays):
        """Reads ONNX."""

    def __init__(self, path, folder, arrays, threads):
        import openvino
        model = openvino.Core().compile_model(path, 'CPU', {
            'INFERENCE_NUM_THREADS': threads, 'PERFORMANCE_HINT': 'LATENCY', 'NUM_STREAMS': 1,
            'INFERENCE_PRECISION_HINT': 'f32', 'ENABLE_CPU_PINNING': False})
        self.request = model.create_infer_request()
        for value in model.inputs:
            array = arrays[value.get_any_name()]
            self.request.set_tensor(value, openvino.Tensor(array, shared_memory=True))
        self.outputs = dict(zip(graph_names(path)[1], model.outputs))  # it renames some

    def run(self):
        self.request.infer()

    def answers(self):
        return {name: self.request.get_tensor(value).data.copy()
                for name, value in self.outputs.items()}


def without_global_pools(path, folder):
    """The model with means over rows and columns for them, which MNN 3.6.1 computes right."""
    import onnx
    model = onnx.load(path)
    pools = [node for node in model.graph.node if node.op_type == 'GlobalAveragePool']
    for node in pools:
        node.op_type = 'ReduceMean'
        node.attribute.append(onnx.helper.make_attribute('axes', [2, 3]))
    if not pools:
        return path
    onnx.save(model, os.path.join(folder, 'meaned.onnx'))
    return os.path.join(folder, 'meaned.onnx')


class Mnn:
    """Its converter is called as a function: its script would send what it converts elsewhere."""

    @staticmethod
    def load():
        import MNN
        return MNN.version()

    @staticmethod
    def convert(path, folder, arrays):
        import _tools
        path = without_global_pools(path, folder)
        arguments = ['mnnconvert', '-f', 'ONNX', '--modelFile', path, '--MNNModel',
                     os.path.join(folder, 'model.mnn'), '--bizCode', 'x', '--optimizePrefer', '2',
                     '--keepInputFormat', '1']
        with open(path, 'rb') as file:
            if re.search(rb'LSTM_\d|GRU_\d', file.read()):
                arguments.append('--useOriginRNNImpl')
        _tools.mnnconvert(arguments)

    def __init__(self, path, folder, arrays, threads):
        import MNN
        expr = MNN.expr
        self.names = graph_names(path)[1]
        manager = MNN.nn.create_runtime_manager(({'backend': 'CPU', 'precision': 'high',
                                                  'numThread': threads, 'memory': 'normal'},))
        self.module = MNN.nn.load_module_from_file(
            os.path.join(folder, 'model.mnn'), list(arrays), self.names, runtime_manager=manager)
        self.inputs = [expr.const(array, list(array.shape), expr.NCHW, expr.float)
                       if array.dtype == numpy.float32 else
                       expr.const(array.astype(numpy.int32), list(array.shape), expr.NCHW,
                                  expr.int) for array in arrays.values()]
        self.expr, self.outputs = expr, None

    def run(self):
        self.outputs = self.module.forward(self.inputs)
        if not isinstance(self.outputs, (list, tuple)):
            self.outputs = [self.outputs]
        for output in self.outputs:
            output.ptr  # waits for it

    def answers(self):
        return {name: numpy.array(self.expr.convert(output, self.expr.NCHW).read())
                for name, output in zip(self.names, self.outputs)}


class Ncnn:
    """Its models have no batch axis; pnnx drops it."""

    @staticmethod
    def load():
        import ncnn
        return ncnn.__version__

    @staticmethod
    def convert(path, folder, arrays):
        import importlib.util
        tool = os.path.join(os.path.dirname(importlib.util.find_spec('pnnx').origin), 'pnnx')
        link = os.path.join(folder, 'model.onnx')
        if not os.path.lexists(link):
            os.symlink(os.path.abspath(path), link)
        kinds = {'float32': 'f32', 'int64': 'i64'}
        shapes = ','.join(f'[{",".join(map(str, array.shape))}]{kinds[array.dtype.name]}'
                          for array in arrays.values())
        done = subprocess.run([tool, 'model.onnx', 'inputshape=' + shapes, 'fp16=0'], cwd=folder,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        if done.returncode or not os.path.exists(os.path.join(folder, 'model.ncnn.param')):
            raise RuntimeError(f'pnnx ended with {done.returncode}')

    def __init__(self, path, folder, arrays, threads):
        import ncnn
        self.ncnn, self.net, self.names = ncnn, ncnn.Net(), graph_names(path)[1]
        options = self.net.opt
        options.num_threads = threads
        for name in ('use_fp16_packed', 'use_fp16_storage', 'use_fp16_arithmetic',
                     'use_bf16_storage', 'use_bf16_packed'):
            if hasattr(options, name):
                setattr(options, name, False)
        base = os.path.join(folder, 'model.ncnn')
        if self.net.load_param(base + '.param') or self.net.load_model(base + '.bin'):
            raise RuntimeError('the converted model cannot be loaded')
        self.inputs = [ncnn.Mat(array[0] if array.ndim > 1 else array)
                       if array.dtype == numpy.float32 else
                       ncnn.Mat(array[0].astype(numpy.int32) if array.ndim > 1 else
                                array.astype(numpy.int32)) for array in arrays.values()]
        self.outputs = []

    def run(self):
        extractor = self.net.create_extractor()
        for i, value in enumerate(self.inputs):
            extractor.input(f'in{i}', value)
        self.outputs = []
        for i in range(len(self.names)):
            code, value = extractor.extract(f'out{i}')
            if code:
                raise RuntimeError(f'ncnn ended with {code}')
            self.outputs.append(value)

    def answers(self):
        return {name: numpy.array(value) for name, value in zip(self.names, self.outputs)}


ENGINES = {'ONNX Runtime': OnnxRuntime, 'OpenVINO': OpenVino, 'MNN': Mnn, 'ncnn': Ncnn,
           'plain': Plain}


def status_mb(key):
    with open('/proc/self/status', encoding='utf-8') as file:
        return int(re.search(key + r':\s+(\d+)', file.read())[1]) / 1e3


def now_ms():
    return time.perf_counter() * 1e3


def begin(engine, place):
    """Opened with its first answer given, and what that took."""
    begun = now_ms()
    opened = engine(*place)
    opened.run()
    return opened, now_ms() - begun


def serve(engine, place, answers, say):
    engine.load()
    before = status_mb('VmRSS')
    with open('/proc/self/clear_refs', 'w', encoding='utf-8') as file:
        file.write('5')  # the peak begins here
    opened, _ = begin(engine, place)
    numpy.savez(answers, **opened.answers())
    peak = status_mb('VmHWM') - before
    firsts = []
    for _ in range(3):  # a process that has opened one before, as ours has
        del opened
        opened, first = begin(engine, place)
        firsts.append(first)
    say({'first_ms': sorted(firsts)[1], 'peak_mb': peak, 'version': engine.load()})
    for line in sys.stdin:
        samples = []
        for _ in range(int(line)):
            begun = now_ms()
            opened.run()
            samples.append(now_ms() - begun)
        say({'p50_ms': sorted(samples)[len(samples) // 2]})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    for name in ('what', 'engine', 'model', 'folder', 'inputs'):
        parser.add_argument(name)
    parser.add_argument('answers', nargs='?')
    parser.add_argument('--threads', type=int, default=1)
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # What an engine prints does not get between the lines of JSON.
    told = os.fdopen(os.dup(1), 'w', encoding='utf-8')
    os.dup2(2, 1)

    def say(what):
        print(json.dumps(what), file=told, flush=True)

    engine = ENGINES[arguments.engine]
    try:
        arrays = dict(numpy.load(arguments.inputs))
        if arguments.what == 'convert':
            engine.convert(arguments.model, arguments.folder, arrays)
            say({})
        else:
            place = (arguments.model, arguments.folder, arrays, arguments.threads)
            serve(engine, place, arguments.answers, say)
    except Exception as failure:  # whatever an engine raises is why it is skipped
        text = str(failure).strip().splitlines()
        say({'error': (text[0] if text else type(failure).__name__)[:200]})
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
