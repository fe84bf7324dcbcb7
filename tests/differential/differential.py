#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random graphs in ours and in other engines: ONNX Runtime, and ONNX's own evaluator.

Usage: differential.py [--build DIR] [--count N] [--first SEED] [--jobs N] [--only OP,...]
                       [--cpu-features MASK] [--report]
       differential.py [--build DIR] [--cpu-features MASK] --seed SEED

DIR (build/release) is a build with the library. Each graph comes from its seed alone. It runs with
the passes and without, and both must give what the other engine gave, within rounding. What differs
is made small and told; --seed tells a whole graph. --only images: chains of images, all that the
passes may meet between convolutions. --report tells how often each operator was run
and who refused what. MASK is of MM_CPU_*, what kernels may use: 1 is AVX2 without AVX-512. Exit
code: 1 if anything differs, or ours ended the process; how often ONNX Runtime did is counted.
"""

import argparse
import os
import subprocess
import sys
import venv

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
HOME = os.path.join(ROOT, 'build/differential')
PACKAGES = ['onnx==1.22.0', 'onnxruntime==1.31.1', 'numpy==2.4.6', 'ml_dtypes==0.6.0',
            'flatbuffers==25.12.19', 'packaging==26.4', 'protobuf==7.36.2',
            'typing_extensions==4.16.0']


def enter_environment():
    """Go on in a Python that has the engines; it is made if it is missing."""
    folder = os.path.join(HOME, 'venv')
    python = os.path.join(folder, 'bin/python')
    if os.path.realpath(sys.prefix) == os.path.realpath(folder):
        return
    stamp = os.path.join(folder, 'packages')
    wanted = '\n'.join(PACKAGES)
    if not os.path.exists(stamp) or open(stamp, encoding='utf-8').read() != wanted:
        print('set up Python', file=sys.stderr)
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, '-m', 'pip', '--disable-pip-version-check', 'install', '--quiet',
                        '--no-deps', *PACKAGES], check=True)
        with open(stamp, 'w', encoding='utf-8') as file:
            file.write(wanted)
    os.execv(python, [python, *sys.argv])


def arguments():
    parser = argparse.ArgumentParser(usage=__doc__.split('\n\n')[1])
    parser.add_argument('--build', default=os.path.join(ROOT, 'build/release'))
    parser.add_argument('--count', type=int, default=2000)
    parser.add_argument('--first', type=int, default=0)
    parser.add_argument('--jobs', type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument('--seed', type=int)
    parser.add_argument('--only')
    parser.add_argument('--cpu-features', type=lambda text: int(text, 0), default=0)
    parser.add_argument('--report', action='store_true')
    return parser.parse_args()


def main():
    options = arguments()
    if not os.path.exists(os.path.join(options.build, 'lib/libmodelmesh.so')):
        print(f'{options.build} has no library: meson setup and ninja first')
        return 2
    enter_environment()
    import batch
    only = set(options.only.split(',')) if options.only else None
    if options.seed is not None:
        return batch.tell(options, only)
    return batch.run_all(options, only)


if __name__ == '__main__':
    sys.exit(main())
