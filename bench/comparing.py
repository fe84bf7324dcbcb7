# SPDX-License-Identifier: Apache-2.0
"""What benchmarks beside other engines share: environment, mmctl, and how numbers are told."""

import os
import subprocess
import sys
import venv


def enter_environment(folder, packages):
    """Go on in an environment of folder that has the packages; it is made if it is missing."""
    python = os.path.join(folder, 'venv/bin/python')
    if os.path.realpath(sys.prefix) == os.path.realpath(os.path.join(folder, 'venv')):
        return
    stamp = os.path.join(folder, 'venv/packages')
    wanted = '\n'.join(packages)
    if not os.path.exists(stamp) or open(stamp, encoding='utf-8').read() != wanted:
        print('set up Python', file=sys.stderr)
        venv.create(os.path.join(folder, 'venv'), clear=True, with_pip=True)
        install(python, packages)
        with open(stamp, 'w', encoding='utf-8') as file:
            file.write(wanted)
    os.execv(python, [python, *sys.argv])


def install(python, packages):
    subprocess.run([python, '-m', 'pip', '--disable-pip-version-check', 'install', '--quiet',
                    '--no-deps', *packages], check=True)


def mmctl_path(build):
    return os.path.join(build, 'examples/mmctl/mmctl')


def mmctl(build, *arguments):
    result = subprocess.run([mmctl_path(build), *arguments], capture_output=True, text=True,
                            check=False)
    if result.returncode != 0:
        raise RuntimeError(result.stderr.strip() or f'mmctl ended with {result.returncode}')
    return result.stdout


def load_answer(folder, name):
    """What `mmctl infer --output-dir` wrote."""
    import numpy
    return numpy.load(os.path.join(folder, name.replace('/', '_') + '.npy'))


def median(values):
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def spread(values, digits):
    """The median [range]."""
    return f'{median(values):.{digits}f} [{min(values):.{digits}f}-{max(values):.{digits}f}]'
