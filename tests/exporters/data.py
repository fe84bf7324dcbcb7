# SPDX-License-Identifier: Apache-2.0
"""Seeded data to train with, and rows to ask for: f32, so that no threshold lies between a number
and what it is in the model."""

import numpy

from case import BATCHES

FEATURES = 6


def random(seed=1):
    return numpy.random.default_rng(seed)


def features(count=240, seed=1, columns=FEATURES):
    return random(seed).normal(size=(count, columns)).astype(numpy.float32)


def score(table):
    """What the targets are made of: neither linear nor of one feature."""
    return (table[:, 0] - 2 * table[:, 1] + numpy.sin(2 * table[:, 2]) * table[:, 3] +
            numpy.abs(table[:, 4])).astype(numpy.float64)


def with_holes(table, share=0.2, seed=5):
    table = table.copy()
    table[random(seed).random(table.shape) < share] = numpy.nan
    return table


def counts(count=240, seed=2):
    return random(seed).poisson(2.0, size=(count, FEATURES)).astype(numpy.float32)


def classes(table, kinds=3):
    """Labels 0 .. kinds - 1, equally many of each."""
    its = score(table)
    return numpy.digitize(its, numpy.quantile(its, numpy.arange(1, kinds) / kinds))


def names(labels):
    return numpy.array(['low', 'middle', 'high', 'top'])[labels]


def asked(seed=77, columns=FEATURES):
    """Rows that were not trained with."""
    return features(max(BATCHES), seed, columns)
