#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The tool that fetches the public models takes only the very bytes that the list names."""

import hashlib
import os
import sys
import tempfile
import unittest
import zipfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../examples/zoo'))

import fetch  # noqa: E402
import models  # noqa: E402

BYTES = b'not really a model'
GOOD = models.Model('a/b', 'det', 2, 'some-thing==1.0', 'inside/it.onnx',
                    hashlib.sha256(BYTES).hexdigest(), len(BYTES), 'MIT')


class Fetch(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.wheel = os.path.join(self.folder.name, 'some_thing-1.0-py3-none-any.whl')
        with zipfile.ZipFile(self.wheel, 'w') as wheel:
            wheel.writestr('inside/it.onnx', BYTES)

    def test_good(self):
        self.assertEqual(fetch.extract(GOOD, self.folder.name), BYTES)

    def test_other_bytes(self):
        for wrong in (GOOD._replace(sha256='0' * 64), GOOD._replace(size=3)):
            with self.assertRaisesRegex(SystemExit, 'inside/it.onnx is not the file'):
                fetch.extract(wrong, self.folder.name)

    def test_missing_member(self):
        with self.assertRaisesRegex(SystemExit, 'inside/other'):
            fetch.extract(GOOD._replace(member='inside/other'), self.folder.name)

    def test_damaged_wheel(self):
        with open(self.wheel, 'wb') as wheel:
            wheel.write(b'no zip')
        with self.assertRaises(SystemExit):
            fetch.extract(GOOD, self.folder.name)

    def test_labels(self):
        path = os.path.join(self.folder.name, 'filetypes.txt')
        fetch.write_labels(b'{"medium_confidence_threshold": 0.5, "thresholds": {"b": 0.9},'
                           b' "target_labels_space": ["a", "b"]}', path)
        with open(path, encoding='utf-8') as file:
            self.assertEqual(file.read(), 'a 0.5\nb 0.9\n')

    def test_list(self):
        listed = models.listed()
        self.assertEqual(sum(model.count for model in listed), 100)
        self.assertEqual(len({model.name for model in listed}), len(listed))
        for model in listed:
            self.assertRegex(model.sha256, '^[0-9a-f]{64}$')
            self.assertRegex(model.package, r'^[\w-]+==[\w.]+$')


if __name__ == '__main__':
    unittest.main()
