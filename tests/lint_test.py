#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The lint's own test: each rule refuses a bad sample, and good code passes."""

import importlib.machinery
import importlib.util
import os
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
LINT = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'lint')
loader = importlib.machinery.SourceFileLoader('lint', LINT)
lint = importlib.util.module_from_spec(importlib.util.spec_from_loader('lint', loader))
loader.exec_module(lint)

SPDX = '/* ' + lint.SPDX + ' */\n'
RULES = lint.Rules('''
| module | may include | job |
|---|---|---|
| `lib/base` | `types.h` | a |
| `lib/policy` | `lib/base` `types.h` | b |
| `lib/api` | `lib/base` `lib/policy` `types.h` `modelmesh.h` | c |
| `lib/residency` | `lib/base` `types.h` | core |
| `lib/backends/*` | `lib/base` `types.h` `backend.h` | d |
| `tests` | everything | e |

## Inside `lib/residency`

| layer | files | job |
|---|---|---|
| ground | `lease` `lock` | a |
| top | `request` | b |

## Excuses

- `excused` (7): a reason
''')


def faults(text, path='lib/policy/sample.c', spdx=SPDX):
    return [message for _, message in lint.check_text(path, spdx + text, RULES)]


class Lint(unittest.TestCase):
    def refuses(self, part, text, **options):
        messages = faults(text, **options)
        self.assertEqual(len(messages), 1, messages)
        self.assertIn(part, messages[0])

    def accepts(self, text, **options):
        self.assertEqual(faults(text, **options), [])

    def test_modules(self):
        self.accepts('#include <base/list.h>\n#include <policy/plan.h>\n#include <linux/futex.h>\n')
        self.refuses('may not include <api/mesh.h>', '#include <api/mesh.h>\n')
        self.refuses('<modelmesh/modelmesh.h>', '#include <modelmesh/modelmesh.h>\n')
        self.accepts('#include <modelmesh/modelmesh.h>\n', path='lib/api/mesh.c')
        self.accepts('#include <modelmesh/version.h>\n')
        self.refuses('write <module/file.h>', '#include "plan.h"\n')
        self.refuses('in no module', 'int x;\n', path='lib/attic/sample.c')
        self.accepts('#include <api/mesh.h>\n', path='tests/api/test_mesh.c')
        self.accepts('/* #include <api/mesh.h> */\n')

    def test_order_inside_the_core(self):
        lock = 'lib/residency/lock.c'
        self.accepts('#include <residency/lock.h>\n#include <residency/lease.h>\n', path=lock)
        self.refuses('which is above it', '#include <residency/request.h>\n', path=lock)
        self.accepts('#include <residency/lock.h>\n', path='lib/residency/request.c')
        self.refuses('has no place in the order', 'int x;\n', path='lib/residency/stray.c')

    def test_backends(self):
        onnx = 'lib/backends/onnx/graph/sample.c'
        self.accepts('#include <backends/onnx/format/wire.h>\n', path=onnx)
        self.accepts('#include <base/list.h>\n#include <modelmesh/backend.h>\n', path=onnx)
        self.refuses('<backends/null/x.h>', '#include <backends/null/x.h>\n', path=onnx)
        self.refuses('may not include <policy/plan.h>', '#include <policy/plan.h>\n', path=onnx)

    def test_a_table_that_names_no_such_module(self):
        with self.assertRaises(ValueError):
            lint.read_modules('| `lib/base` | `lib/cellar` | a |')

    def test_length(self):
        self.accepts('\n' * 999)
        self.refuses('1001 lines', '\n' * 1000)
        self.refuses('101 columns', 'int ' + 'x' * 96 + ';\n')
        self.assertTrue(list(lint.warnings('lib/a.c', '\n' * 601)))

    def test_spdx(self):
        self.refuses('the first line', 'int x;\n', spdx='')
        self.refuses('the second after #!', '#!/bin/sh\ntrue\n', path='tests/x.sh', spdx='')
        self.accepts('#!/bin/sh\n# ' + lint.SPDX + '\n', path='tests/x', spdx='')
        self.accepts('prose\n', path='README.md', spdx='')

    def test_white_space(self):
        self.refuses('a tab', 'int\tx;\n')
        self.refuses('trailing blanks', 'int x; \n')
        self.refuses('no newline', 'int x;')
        self.refuses('U+200B', 'int x; /* a\u200bb */\n')
        self.refuses('U+202E', '\u202e\n', path='docs/x.md', spdx='')

    def test_left_overs(self):
        for word in ('TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX'):
            self.refuses('do it or file it', f'/* {word} later */\n')

    def test_comments(self):
        self.refuses('// comment', 'int x; // why\n')
        self.accepts('const char *address = "http://x"; /* see http://x */\n')

    def test_function_length(self):
        body = '    x++;\n' * 78
        self.accepts('static void f(void) {\n' + body + '}\n')
        self.refuses('f has 81 lines', 'static void f(void) {\n' + body + '    x++;\n}\n')
        self.accepts('static const int table[] = {\n' + '    1,\n' * 100 + '};\n')
        self.refuses('h has 83 lines', 'int h(int a)\n{\n' + body + '    if (a) {\n    }\n}\n')

    def test_macros_do_not_fool_it(self):
        body = '    x++;\n' * 60
        both = '#if A\nvoid f(int a) {\n#else\nvoid f(void) {\n#endif\n' + body + '}\n'
        self.accepts(both + 'void g(void) {\n' + body + '}\n')
        self.accepts('#define OPEN {\n#define LONG(x) do { \\\n    if (x) y(); } while (0)\n')
        self.refuses('g has 81', '#ifdef A\nint a;\n#else\nvoid g(void) {\n' + '    x++;\n' * 79 +
                     '}\n#endif\n')
        self.accepts('static const char *text = "}{";\nstatic char c = \'{\';\n')

    def test_parameters(self):
        six = 'int a, int b, int c, int d, int e, int f'
        self.accepts(f'void f({six});\nvoid g(int a, ...);\nvoid h(void);\n')
        self.refuses('f has 7 parameters', f'void f({six}, int g);\n')
        attribute = '__attribute__((format(printf, 3, 4)))'
        self.refuses('f has 7', f'{attribute} void f({six}, int g) {{\n}}\n')
        self.accepts(f'void excused({six}, int g);\n')
        self.accepts('void f(int a, int (*g)(int, int, int, int, int, int, int));\n')
        self.accepts(f'typedef int (*g)({six}, int g);\nstruct s {{\n    int (*f)({six});\n}};\n')
        self.accepts('static struct s all = {f(1, 2, 3, 4, 5, 6, 7)};\n')

    def test_braces(self):
        good = '''
void f(int a) {
    if (a) {
        g();
    } else if (h(a)) {
        g();
    } else {
        for (;;) {
        }
    }
    do {
        g();
    } while (a);
    while (a) {
    }
}
'''
        self.accepts(good)
        for bad in ('if (a) g();', 'for (;;) g();', 'while (a) g();', 'while (g());',
                    'do g(); while (a);'):
            self.assertTrue(any('without braces' in fault for fault in
                                faults('void f(int a) {\n    ' + bad + '\n}\n')), bad)
        self.refuses('`else`', 'void f(int a) {\n    if (a) {\n    } else g();\n}\n')

    @unittest.skipUnless(lint.shutil.which('clang-format'), 'no clang-format')
    def test_format(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'sample.c')
            for text, count in (('int  x ;\n', 1), ('int x;\n', 0)):
                with open(path, 'w', encoding='utf-8') as file:
                    file.write(text)
                self.assertEqual(len(lint.check_format([path])), count)


if __name__ == '__main__':
    unittest.main()
