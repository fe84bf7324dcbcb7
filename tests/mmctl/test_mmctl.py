#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""mmctl as a person or a script uses it: each command on small models, its exit code and output.

Usage: test_mmctl.py MMCTL DATA        DATA: tests/backends/onnx/data
"""

import ast
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

MMCTL, DATA = (os.path.abspath(path) for path in sys.argv[1:3])
REPLAY_KEYS = ['requests', 'failed', 'hit_rate', 'loads', 'evictions', 'hit_p50_ms', 'hit_p99_ms',
               'miss_p50_ms', 'miss_p99_ms', 'peak_bytes', 'budget_bytes', 'seconds']
BENCH_KEYS = ['prepare_ms', 'open_ms', 'first_ms', 'hot_p50_ms', 'hot_p99_ms', 'file_bytes',
              'resident_bytes']


def model(name):
    return os.path.join(DATA, name + '.onnx')


def read_npy(path):
    """dtype, shape, bytes of a file of format 1.0."""
    with open(path, 'rb') as file:
        data = file.read()
    assert data[:8] == b'\x93NUMPY\x01\x00', data[:8]
    length = struct.unpack('<H', data[8:10])[0]
    assert (10 + length) % 64 == 0
    header = ast.literal_eval(data[10:10 + length].decode())
    assert header['fortran_order'] is False
    return header['descr'], header['shape'], data[10 + length:]


def field(number, value):
    """One of a protobuf message: a number, a text or the bytes of a message."""
    def varint(n):
        return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def graph_bytes(nodes, inputs, outputs):
    """nodes: (type, [input], [output], bytes of more fields); inputs, outputs: {name: bytes of a
    TypeProto}."""
    graph = b''
    for kind, takes, makes, *more in nodes:
        graph += field(1, b''.join(field(1, name) for name in takes) +
                       b''.join(field(2, name) for name in makes) + field(4, kind) +
                       b''.join(more))
    for number, values in ((11, inputs), (12, outputs)):
        for name, kind in values.items():
            graph += field(number, field(1, name) + field(2, kind))
    return graph


def write_model(path, nodes, inputs, outputs, *more):
    """more: bytes of further fields of the graph."""
    graph = graph_bytes(nodes, inputs, outputs) + b''.join(more)
    with open(path, 'wb') as file:
        file.write(field(1, 9) + field(7, graph) + field(8, field(2, 17)))


F32, TEXTS = (field(1, field(1, dtype)) for dtype in (1, 8))  # of any shape
LIST, MAYBE = field(4, field(1, F32)), field(9, field(1, F32))


class Mmctl(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def run_it(self, code, *arguments):
        """Standard output; in a pipe nothing is on stderr unless something failed."""
        result = subprocess.run([MMCTL, *arguments], capture_output=True, text=True, check=False,
                                cwd=self.folder)
        self.assertEqual(result.returncode, code, result.stderr)
        if code == 0:
            self.assertEqual(result.stderr, '')
            return result.stdout
        self.assertRegex(result.stderr, r'(?m)^mmctl: .+')
        return result.stderr

    def test_inspect(self):
        text = self.run_it(0, 'inspect', model('rate'))
        for line in ('x                        f32 [N, 8]', 'sr                       i64 []',
                     'onnx.opset   17', 'If 1'):
            self.assertIn(line, text)
        told = json.loads(self.run_it(0, 'inspect', model('mlp'), '--json'))
        self.assertEqual(told['inputs'], [{'name': 'x', 'dtype': 'f32', 'shape': [-1, 24]}])
        self.assertEqual(told['outputs'], [{'name': 'y', 'dtype': 'f32', 'shape': [-1, 10]}])
        self.assertEqual(told['file_bytes'], os.path.getsize(model('mlp')))
        self.assertGreaterEqual(told['weights_bytes'], 4 * (40 * 24 + 40 + 40 * 10 + 10))
        self.assertNotIn('plan', told)

    def test_inspect_says_what_became_of_nodes(self):
        told = json.loads(self.run_it(0, 'inspect', model('image'), '--json'))['metadata']
        self.assertEqual(told['onnx.passes'],
                         '7 nodes, 6 left: folded into weights -1, transposes added +2, '
                         'activations fused -2')
        self.assertEqual(told['onnx.weights'], 'f32 4 tensors 3456 bytes')
        self.assertIn('Conv 2', told['onnx.operators'])

    def test_inspect_for_shapes(self):
        text = self.run_it(0, 'inspect', model('image'))
        self.assertIn('with --shape NAME=1x3x224x224: x is f32 [N, 3, H, W]', text)
        text = self.run_it(0, 'inspect', model('image'), '--shape', 'x=2x3x16x16')
        self.assertIn('for          x=2x3x16x16', text)
        self.assertRegex(text, r'fused +HardSwish 1, Relu 1 into the step before')
        self.assertRegex(text, r'(?m)^  ChannelsLastConv +2 +2 +0 +0 ')
        told = json.loads(self.run_it(0, 'inspect', model('image'), '--shape', 'x=2x3x16x16',
                                      '--json'))['plan']
        self.assertEqual([(one['operator'], one['count'], one['fast'] + one['plain'])
                          for one in told['operators']],
                         [('ChannelsLastConv', 2, 2), ('ChannelsLastGlobalAveragePool', 1, 1),
                          ('Transpose', 1, 1)])
        report = told['report']
        self.assertTrue(report['whole'])
        self.assertEqual(report['later'], [])
        self.assertGreater(report['activation_bytes'], 0)
        first = report['steps'][1]  # behind the Transpose of the image
        self.assertEqual(first['inputs'][:2], ['f32 [2, 16, 16, 3]', 'f32 [27, 16]'])
        self.assertEqual(first['outputs'], ['f32 [2, 8, 8, 16]'])
        elements = 2 * 16 * 8 * 8
        self.assertEqual(first['flops'], elements * (2 * 3 * 3 * 3 + 1))
        self.assertEqual(sum(one['flops'] for one in report['steps']),
                         sum(one['flops'] for one in told['operators']))

    def test_inspect_with_shapes_that_do_not_fit(self):
        self.assertIn('got f32[1, 4, 16, 16]', self.run_it(1, 'inspect', model('image'), '--shape',
                                                           'x=1x4x16x16'))
        self.assertIn('no such input', self.run_it(2, 'inspect', model('image'), '--shape',
                                                   'x=1x3x16x16', '--shape', 'z=1'))
        self.assertIn('state is f32 [N, 8]: its shape is open',
                      self.run_it(2, 'inspect', model('rate'), '--shape', 'x=1x8'))

    def test_everything_that_is_missing(self):
        write_model(self.path('m.onnx'), [
            ('MatMulBnb4', ['x'], ['a'], field(7, 'com.microsoft')), ('Neg', ['a'], ['b']),
            ('Gelato', ['b'], ['c']), ('MatMulBnb4', ['c'], ['y'], field(7, 'com.microsoft'))],
            {'x': F32}, {'y': F32})
        text = self.run_it(1, 'inspect', 'm.onnx')
        self.assertRegex(text, r'no operator MatMulBnb4 .*which 2 of the nodes want.*'
                         r'DequantizeLinear')
        self.assertRegex(text, r'no operator Gelato .*which 1 of the nodes want')
        result = subprocess.run([MMCTL, 'inspect', 'm.onnx', '--json'], capture_output=True,
                                text=True, check=False, cwd=self.folder)
        self.assertEqual(result.returncode, 1)
        told = json.loads(result.stdout)
        self.assertEqual(told['error'], 'MM_UNSUPPORTED')
        self.assertEqual(len(told['problems']), 2)

    def test_what_cannot_be_inspected(self):
        self.assertIn('absent.onnx', self.run_it(1, 'inspect', 'absent.onnx'))
        with open(self.path('cut.onnx'), 'wb') as cut, open(model('mlp'), 'rb') as whole:
            cut.write(whole.read()[:1000])
        self.assertIn('MM_INVALID_MODEL', self.run_it(1, 'inspect', 'cut.onnx'))
        self.run_it(2, 'inspect')
        self.run_it(2, 'inspect', model('mlp'), '--what')
        self.assertIn('no such command', self.run_it(2, 'expect', model('mlp')))

    def test_infer_gives_the_same_from_saved_inputs(self):
        self.run_it(0, 'infer', model('rate'), '--random', '7', '--shape', 'x=3x8', '--shape',
                    'state=3x8', '--save-inputs', 'in', '--output-dir', 'out')
        self.assertEqual(read_npy(self.path('in', 'x.npy'))[:2], ('<f4', (3, 8)))
        self.assertEqual(read_npy(self.path('in', 'sr.npy'))[:2], ('<i8', ()))
        self.assertEqual(read_npy(self.path('out', 'y.npy'))[:2], ('<f4', (3,)))
        inputs = []
        for name in ('x', 'state', 'sr'):
            inputs += ['--input', f'{name}={self.path("in", name + ".npy")}']
        self.run_it(0, 'infer', model('rate'), *inputs, '--output-dir', 'again')
        for name in ('y.npy', 'stateN.npy'):
            self.assertEqual(read_npy(self.path('out', name)), read_npy(self.path('again', name)))

    def test_infer_computes(self):
        """rate: state + 3 x, for any sr but 16000."""
        self.run_it(0, 'infer', model('rate'), '--random', '1', '--save-inputs', 'in',
                    '--output-dir', 'out')
        read = [struct.unpack('<8f', read_npy(self.path(name))[2])
                for name in ('in/x.npy', 'in/state.npy', 'out/stateN.npy')]
        for x, state, result in zip(*read):
            self.assertTrue(0 <= x < 1)
            self.assertAlmostEqual(result, state + 3 * x, places=5)

    def test_infer_with_a_wrong_input(self):
        self.run_it(0, 'infer', model('mlp'), '--random', '1', '--save-inputs', 'in',
                    '--output-dir', 'out')
        wrong = self.run_it(1, 'infer', model('image'), '--input', 'x=' + self.path('in', 'x.npy'))
        self.assertIn('x', wrong)
        self.run_it(2, 'infer', model('mlp'), '--input', 'z=' + self.path('in', 'x.npy'))

    def test_names_of_files(self):
        """What would be one file is several; nothing is written over."""
        names = ['a/b', 'a_b', 'a_b_2', 'a/b_2']
        write_model(self.path('m.onnx'), [('Neg', ['x'], [name]) for name in names], {'x': F32},
                    {name: F32 for name in names})
        self.run_it(0, 'infer', 'm.onnx', '--shape', 'x=2', '--output-dir', 'out')
        self.assertEqual(sorted(os.listdir(self.path('out'))),
                         ['a_b.npy', 'a_b_2.npy', 'a_b_2_2.npy', 'a_b_3.npy'])

    def test_many_inputs(self):
        names = [f'x{i}' for i in range(100)]
        write_model(self.path('m.onnx'), [('Sum', names, ['y'])], {name: F32 for name in names},
                    {'y': F32})
        self.run_it(0, 'infer', 'm.onnx', '--save-inputs', 'in')
        self.assertEqual(len(os.listdir(self.path('in'))), 100)

    def test_shape_of_no_input(self):
        for command in ('infer', 'bench'):
            self.assertIn('typo=3x8: the model has no such input',
                          self.run_it(2, command, model('mlp'), '--shape', 'typo=3x8'))

    def test_full_disk(self):
        for arguments in (['inspect', model('mlp')], ['version'], ['help']):
            with open('/dev/full', 'wb') as full:
                result = subprocess.run([MMCTL, *arguments], stdout=full, check=False,
                                        stderr=subprocess.PIPE)
            self.assertEqual(result.returncode, 1)
            self.assertIn(b'No space left', result.stderr)

    def test_json_of_odd_models(self):
        name = b'a\xff\xc3\xa9"\x01'
        write_model(self.path('m.onnx'), [('Neg', ['x'], [name])], {'x': F32}, {name: F32})
        told = json.loads(self.run_it(0, 'inspect', 'm.onnx', '--json'))
        self.assertEqual(told['outputs'], [{'name': 'a\ufffd\xe9"\x01', 'dtype': 'f32',
                                            'shape': None}])

    def test_formats(self):
        for name in ('M.ONNX', 'm.pb', 'm', 'onnx'):
            shutil.copy(model('mlp'), self.path(name))
            self.assertIn('format       onnx', self.run_it(0, 'inspect', name))
        with open(self.path('odd'), 'wb') as odd, open(model('mlp'), 'rb') as whole:
            odd.write(field(31, 1) + whole.read())
        self.assertIn('MM_NOT_FOUND', self.run_it(1, 'inspect', 'odd'))
        self.run_it(0, 'inspect', 'odd', '--format', 'onnx')
        self.run_it(0, 'infer', 'odd', '--format=onnx')
        self.run_it(0, 'bench', 'odd', '--format', 'onnx', '--runs', '1')
        self.assertIn('format pt', self.run_it(1, 'inspect', 'odd', '--format', 'pt'))

    def write(self, name, value):
        with open(self.path(name), 'w', encoding='utf-8') as file:
            file.write(value if isinstance(value, str) else json.dumps(value))

    def read(self, *names):
        with open(self.path(*names), encoding='utf-8') as file:
            return json.load(file)

    def test_values_that_are_no_tensors(self):
        write_model(self.path('list.onnx'), [('Identity', ['x'], ['y'])], {'x': LIST}, {'y': LIST})
        write_model(self.path('maybe.onnx'), [('Identity', ['x'], ['y'])], {'x': MAYBE},
                    {'y': MAYBE})
        item = {'dtype': 'f32', 'shape': [1, 4], 'data': [1.5, 'nan', '-inf', 3e-41]}
        empty = {'dtype': 'f32', 'shape': [0], 'data': []}
        for name, value in (('list', {'sequence': [item, empty]}), ('list', {'sequence': []}),
                            ('maybe', {'optional': item}), ('maybe', {'optional': None})):
            self.write('x.json', value)
            self.run_it(0, 'infer', name + '.onnx', '--input', 'x=x.json', '--output-dir', 'out')
            told = self.read('out', 'y.json')
            for read in told.get('sequence', []) + [told.get('optional')]:
                if read and read['data']:
                    self.assertAlmostEqual(read['data'].pop(), 3e-41, places=44)
                    read['data'].append(3e-41)
            self.assertEqual(told, value)

    def test_texts(self):
        """As JSON and as .npy; bytes that are no UTF-8 stay what they are."""
        write_model(self.path('m.onnx'), [('Identity', ['x'], ['y']),
                                          ('SequenceConstruct', ['x'], ['z'])],
                    {'x': TEXTS}, {'y': TEXTS, 'z': field(4, field(1, TEXTS))})
        texts = {'dtype': 'string', 'shape': [3], 'data': ['a\u00e9\n\0"', '', '\U0001f600\udcff']}
        self.write('x.json', texts)
        self.run_it(0, 'infer', 'm.onnx', '--input', 'x=x.json', '--output-dir', 'out')
        self.assertEqual(self.read('out', 'z.json'), {'sequence': [texts]})
        self.assertEqual(read_npy(self.path('out', 'y.npy'))[:2], ('<U5', (3,)))

    def test_bad_json(self):
        write_model(self.path('m.onnx'), [('Identity', ['x'], ['y'])], {'x': LIST}, {'y': LIST})
        for text, why in (('', 'a value expected'), ('[]', 'a value expected'),
                          ('{"list": []}', '"dtype", "sequence"'),
                          ('{"dtype": "f99"}', 'a dtype such as'),
                          ('{"dtype": "f32", "shape": [2], "data": [1]}', 'than its shape'),
                          ('{"dtype": "f32", "shape": [-1], "data": []}', 'axes from 0'),
                          ('{"dtype": "f32", "shape": [9999999999, 9999999999, 9], "data": []}',
                           'than its shape'),
                          ('{"dtype": "string", "shape": [1], "data": ["a', 'without an end'),
                          ('{"optional": null} x', 'nothing behind'),
                          ('{"sequence": [' * 100, 'at most 64 deep')):
            self.write('x.json', text)
            self.assertIn(why, self.run_it(2, 'infer', 'm.onnx', '--input', 'x=x.json'))
        self.assertIn('absent.json', self.run_it(2, 'infer', 'm.onnx', '--input', 'x=absent.json'))

    def test_bench(self):
        told = json.loads(self.run_it(0, 'bench', model('image'), '--threads', '1', '--runs', '5',
                                      '--shape', 'x=1x3x16x16', '--json'))
        self.assertEqual(list(told), BENCH_KEYS)
        self.assertEqual(told['file_bytes'], os.path.getsize(model('image')))
        self.assertGreater(told['resident_bytes'], 0)
        self.assertIn('hot p50', self.run_it(0, 'bench', model('mlp'), '--runs', '3'))

    def check_nested(self, events):
        """Any two of one track are apart, or one is inside of the other."""
        open_until = []
        for event in sorted(events, key=lambda event: (event['ts'], -event['dur'])):
            end = event['ts'] + event['dur']
            while open_until and open_until[-1] <= event['ts'] + 1e-6:
                open_until.pop()
            if open_until:
                self.assertLessEqual(end, open_until[-1] + 1e-6)
            open_until.append(end)

    def test_profile(self):
        arguments = ['profile', model('image'), '--shape', 'x=1x3x16x16', '--runs', '4',
                     '--warm-up', '1', '--threads', '1']
        told = json.loads(self.run_it(0, *arguments, '--json', '--trace', 'trace.json'))
        self.assertEqual((told['inputs'], told['runs']), ('x=1x3x16x16', 4))
        plan = json.loads(self.run_it(0, 'inspect', model('image'), '--shape', 'x=1x3x16x16',
                                      '--json'))['plan']['report']
        self.assertEqual(sorted((one['node'], one['operator'], one['flops'], one['bytes'])
                                for one in told['nodes']),
                         sorted((step['node'], step['operator'], step['flops'], step['bytes'])
                                for step in plan['steps']))
        self.assertEqual({one['calls'] for one in told['nodes']}, {1})
        self.assertEqual({one['operator']: one['calls'] for one in told['operators']},
                         {'ChannelsLastConv': 2, 'ChannelsLastGlobalAveragePool': 1,
                          'Transpose': 1})
        for key in ('ms', 'percent', 'flops', 'bytes'):
            self.assertAlmostEqual(sum(one[key] for one in told['nodes']),
                                   sum(one[key] for one in told['operators']), places=2)
        with open(self.path('trace.json'), encoding='utf-8') as file:
            events = [event for event in json.load(file)['traceEvents'] if event['ph'] == 'X']
        self.check_nested(events)
        self.assertEqual([event['name'] for event in events if event['cat'] == 'run'],
                         ['run 1', 'run 2', 'run 3', 'run 4'])
        steps = [event for event in events if event['cat'] == 'step']
        self.assertEqual([event['args']['node'] for event in steps],
                         4 * [step['node'] for step in plan['steps']])
        masked = json.loads(self.run_it(0, *arguments, '--cpu-features', '256', '--json'))
        self.assertEqual(len(masked['nodes']), len(told['nodes']))
        text = self.run_it(0, *arguments, '--nodes', '1')
        self.assertRegex(text, r'(?m)^ChannelsLastConv +2 \w+ ')
        self.assertIn('Conv+', text)
        self.assertIn('... and 3 more', text)

    def test_profile_of_what_only_the_run_knows(self):
        """NonZero ends the plan: it and what comes after it are timed all the same."""
        write_model(self.path('m.onnx'), [('Relu', ['x'], ['r']), ('NonZero', ['r'], ['n']),
                                          ('Cast', ['n'], ['c'], field(5, field(1, 'to') +
                                                                       field(3, 1) +
                                                                       field(20, 2))),
                                          ('Sqrt', ['c'], ['y'])], {'x': F32}, {'y': F32})
        told = json.loads(self.run_it(0, 'profile', 'm.onnx', '--shape', 'x=8x8', '--json'))
        self.assertEqual({one['operator'] for one in told['operators']},
                         {'Fused', 'NonZero', 'Cast'})
        text = self.run_it(0, 'inspect', 'm.onnx', '--shape', 'x=8x8')
        self.assertRegex(text, r'(?m)^  NonZero +1 +0 +0 +1 ')
        self.assertIn('only the run plans', text)

    def test_profile_of_a_loop(self):
        """Five turns: what is inside of the loop lies inside of its time, and is not in its own."""
        number, flag = field(1, field(1, 7)), field(1, field(1, 9))
        body = graph_bytes([('Identity', ['c'], ['d']), ('NonZero', ['v'], ['n']),
                            ('Exp', ['v'], ['w'])],
                           {'i': number, 'c': flag, 'v': F32}, {'d': flag, 'w': F32, 'n': number})
        write_model(self.path('m.onnx'), [
            ('Loop', ['m', '', 'x'], ['y', 's'],
             field(5, field(1, 'body') + field(6, body) + field(20, 5)))],
            {'x': F32}, {'y': F32}, field(5, field(2, 7) + field(7, 5) + field(8, 'm')))
        told = json.loads(self.run_it(0, 'profile', 'm.onnx', '--shape', 'x=4', '--runs', '2',
                                      '--json', '--trace', 'trace.json'))
        calls = {one['operator']: one['calls'] for one in told['operators']}
        self.assertEqual((calls['Loop'], calls['NonZero']), (1, 5))
        with open(self.path('trace.json'), encoding='utf-8') as file:
            events = [event for event in json.load(file)['traceEvents'] if event['ph'] == 'X']
        self.check_nested(events)
        loops = [event for event in events if event['name'] == 'Loop']
        self.assertEqual(len(loops), 2)
        for event in events:
            if event['name'] == 'NonZero':
                self.assertTrue(any(loop['ts'] <= event['ts'] and
                                    event['ts'] + event['dur'] <= loop['ts'] + loop['dur'] + 1e-6
                                    for loop in loops))

    def test_profile_that_cannot_be(self):
        self.assertIn('x is f32 [N, 24]: its shape is open',
                      self.run_it(2, 'profile', model('mlp')))
        self.run_it(2, 'profile')
        self.run_it(2, 'profile', model('mlp'), '--runs', '0')
        self.run_it(1, 'profile', 'absent.onnx')
        self.assertIn('/absent/t.json', self.run_it(1, 'profile', model('mlp'), '--shape',
                                                    'x=1x24', '--trace', '/absent/t.json'))

    def write_trace(self, *names):
        with open(self.path('trace.csv'), 'w', encoding='utf-8') as file:
            file.write('seq,model\n')
            file.writelines(f'{i},{name}\n' for i, name in enumerate(names))

    def test_replay_and_verify(self):
        self.write_trace(*['mlp', 'image', 'rate', 'outputs'] * 25)
        told = json.loads(self.run_it(
            0, 'replay', 'trace.csv', '--models', DATA, '--device', 'host:4m,sim:4m', '--policy',
            'lru', '--clients', '3', '--shape', 'image:x=1x3x9x9', '--cache-dir', 'cache',
            '--json'))
        self.assertEqual(list(told), REPLAY_KEYS)
        self.assertEqual((told['requests'], told['failed'], told['loads']), (100, 0, 4))
        self.assertEqual(told['budget_bytes'], 8 << 20)
        self.assertTrue(0 < told['peak_bytes'] <= told['budget_bytes'])
        self.assertRegex(self.run_it(0, 'verify', 'cache'), r'^4 entries, .* 0 damaged')
        entry = next(name for name in sorted(os.listdir(self.path('cache')))
                     if name.endswith('.mma'))
        with open(self.path('cache', entry), 'r+b') as file:
            file.seek(-1, os.SEEK_END)
            last = file.read(1)
            file.seek(-1, os.SEEK_END)
            file.write(bytes([last[0] ^ 1]))
        result = subprocess.run([MMCTL, 'verify', self.path('cache')], capture_output=True,
                                text=True, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn('1 damaged, 1 removed', result.stdout)
        self.assertRegex(self.run_it(0, 'verify', 'cache'), r'^3 entries, .* 0 damaged')

    def test_replay_that_fails(self):
        self.write_trace('mlp', 'nobody')
        wrong = self.run_it(1, 'replay', 'trace.csv', '--models', DATA, '--device', 'host:4m')
        self.assertIn('nobody', wrong)
        self.run_it(2, 'replay', 'trace.csv', '--models', DATA, '--device', 'moon:4m')
        self.run_it(2, 'replay', 'trace.csv', '--models', DATA, '--policy', 'coin')


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1])
