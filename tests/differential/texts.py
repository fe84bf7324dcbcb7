# SPDX-License-Identifier: Apache-2.0
"""Operators of ai.onnx.ml, and those on texts."""

import numpy as np
from onnx import TensorProto as T

from draw import NotNow, operator
from values import WORDS

ML = 'ai.onnx.ml'


def rows(d, columns=None, types=(T.FLOAT, T.FLOAT, T.DOUBLE, T.INT64, T.INT32)):
    x = d.leaf(d.choice(types), [d.integer(1, 4), columns or d.integer(1, 5)], mild=True)
    if not np.isfinite(d.data(x).astype(np.float64)).all():
        raise NotNow('infinities')
    return x


def numbers(d, count, low=-2.0, high=2.0):
    return [d.number(low, high) for _ in range(count)]


@operator('StringConcat', exact=True)
def string_concat(d, op):
    a = d.value([T.STRING])
    return d.node(op, [a, d.partner(a)], 1)


@operator('RegexFullMatch', exact=True)
def regex(d, op):
    patterns = ['a', 'a*b?', '[A-Za-z]+', '.*', r'-?\d+(\.\d+)?', '[^,]*,.', '(a|b)+', r'\w+ \w']
    return d.node(op, [d.value([T.STRING])], 1, {'pattern': d.choice(patterns)})


@operator('StringSplit', exact=True)
def string_split(d, op):
    x = d.value([T.STRING], accept=lambda a: a.size > 0)
    return d.node(op, [x], 2, d.some(delimiter=[',', ' ', 'a', '-1'],
                                     maxsplit=lambda: d.integer(0, 2)))


@operator('StringNormalizer', exact=True)
def string_normalizer(d, op):
    x = d.leaf(T.STRING, [d.integer(1, 6)] if d.chance(0.5) else [1, d.integer(1, 6)])
    if not all(t.isascii() for t in d.data(x).reshape(-1)):
        raise NotNow('letters of another locale than C')
    attributes = {'locale': 'C'}
    attributes.update(d.some(case_change_action=['NONE', 'LOWER', 'UPPER'],
                             is_case_sensitive=[0, 1]))
    if d.chance(0.4):
        attributes['stopwords'] = [d.choice([w for w in WORDS if w.isascii()]) for _ in range(2)]
    return d.node(op, [x], 1, attributes)


@operator('Scaler', domain=ML, weight=0.5)
def scaler(d, op):
    x = rows(d)
    count = d.choice([1, d.shape_of(x)[1]])
    return d.node(op, [x], 1, {'offset': numbers(d, count), 'scale': numbers(d, count)}, ML)


@operator('Normalizer', domain=ML, weight=0.5)
def normalizer(d, op):
    x = rows(d)
    if (np.abs(d.data(x).astype(np.float64)).sum(axis=1) == 0).any():
        raise NotNow('a row of zeros')
    return d.node(op, [x], 1, {'norm': d.choice(['MAX', 'L1', 'L2'])}, ML)


@operator('Binarizer', exact=True, domain=ML, weight=0.5)
def binarizer(d, op):
    return d.node(op, [rows(d, types=(T.FLOAT,))], 1, {'threshold': float(d.integer(-1, 1))}, ML)


@operator('Imputer', exact=True, domain=ML, weight=0.5)
def imputer(d, op):
    x = rows(d, types=(T.FLOAT, T.INT64))
    count = d.choice([1, d.shape_of(x)[1]])
    if d.dtype(x) == T.FLOAT:
        attributes = {'imputed_value_floats': numbers(d, count),
                      'replaced_value_float': float(d.integer(-1, 1))}
    else:
        attributes = {'imputed_value_int64s': d.integers(count, -5, 5),
                      'replaced_value_int64': d.integer(-1, 1)}
    return d.node(op, [x], 1, attributes, ML)


@operator('ArrayFeatureExtractor', exact=True, domain=ML, weight=0.5)
def array_feature_extractor(d, op):
    x = rows(d)
    picks = d.integers(d.integer(1, 4), 0, d.shape_of(x)[1] - 1)
    return d.node(op, [x, d.ints(picks)], 1, {}, ML)


@operator('LinearRegressor', domain=ML, weight=0.5)
def linear_regressor(d, op):
    x = rows(d, types=(T.FLOAT,))
    targets = d.integer(1, 3)
    attributes = {'coefficients': numbers(d, targets * d.shape_of(x)[1]), 'targets': targets}
    if d.chance(0.6):
        attributes['intercepts'] = numbers(d, targets)
    return d.node(op, [x], 1, attributes, ML)


@operator('LinearClassifier', domain=ML, weight=0.5)
def linear_classifier(d, op):
    x = rows(d, types=(T.FLOAT,))
    classes = d.integer(2, 4)
    return d.node(op, [x], 2, {
        'coefficients': numbers(d, classes * d.shape_of(x)[1]), 'intercepts': numbers(d, classes),
        'classlabels_ints': list(range(3, 3 + classes)), 'multi_class': d.integer(0, 1),
        'post_transform': d.choice(['NONE', 'SOFTMAX', 'LOGISTIC'])}, ML)


@operator('LabelEncoder', exact=True, domain=ML, weight=0.5)
def label_encoder(d, op):
    if d.chance(0.5):
        x = d.value([T.STRING])
        return d.node(op, [x], 1, {'keys_strings': ['a', 'b', '0'], 'values_int64s': [5, -1, 7],
                                   'default_int64': d.integer(-3, 3)}, ML)
    x = d.value([T.INT64])
    return d.node(op, [x], 1, {'keys_int64s': [-1, 0, 1, 2], 'values_strings': WORDS[:4],
                               'default_string': 'none'}, ML)


@operator('OneHotEncoder', exact=True, domain=ML, weight=0.5)
def one_hot_encoder(d, op):
    x = d.value([T.INT64], rank=range(1, 3))
    return d.node(op, [x], 1, {'cats_int64s': [-1, 0, 2, 3], 'zeros': 1}, ML)


@operator('TreeEnsembleRegressor', domain=ML, weight=0.5)
def tree_ensemble_regressor(d, op):
    """Trees of one decision each."""
    x = rows(d, types=(T.FLOAT,))
    count, columns = d.integer(1, 3), d.shape_of(x)[1]
    ids = [0, 1, 2]
    modes = ['BRANCH_LEQ', 'BRANCH_LT', 'BRANCH_GTE', 'BRANCH_GT', 'BRANCH_EQ', 'BRANCH_NEQ']
    attributes = {
        'n_targets': 1,
        'nodes_treeids': [t for t in range(count) for _ in ids], 'nodes_nodeids': ids * count,
        'nodes_featureids': [d.integer(0, columns - 1) if i == 0 else 0
                             for _ in range(count) for i in ids],
        'nodes_modes': [d.choice(modes) if i == 0 else 'LEAF' for _ in range(count) for i in ids],
        'nodes_values': [float(d.integer(-1, 1)) for _ in range(3 * count)],
        'nodes_truenodeids': [1, 0, 0] * count, 'nodes_falsenodeids': [2, 0, 0] * count,
        'nodes_hitrates': [1.0] * 3 * count, 'nodes_missing_value_tracks_true': [0] * 3 * count,
        'target_treeids': [t for t in range(count) for _ in (1, 2)],
        'target_nodeids': [1, 2] * count, 'target_ids': [0] * 2 * count,
        'target_weights': numbers(d, 2 * count),
        'aggregate_function': d.choice(['SUM', 'AVERAGE', 'MIN', 'MAX'])}
    if d.chance(0.5):
        attributes['base_values'] = numbers(d, 1)
    return d.node(op, [x], 1, attributes, ML)
