# SPDX-License-Identifier: Apache-2.0
"""LightGBM and XGBoost, exported by onnxmltools, and CatBoost, which writes ONNX itself."""

import os
import tempfile

import catboost
import lightgbm
import numpy
import onnxmltools
import xgboost
from onnxmltools.convert.common.data_types import FloatTensorType

import data
from case import BATCHES, Case

OPSET = 15  # the newest that onnxmltools writes for all of them


def case(content, rows, answers, name='X', **tolerances):
    batches = [rows[:count] for count in BATCHES]
    return Case(content, [{name: batch} for batch in batches],
                [answers(batch) for batch in batches], **tolerances)


def tables(holes=False):
    """To train with, and to ask for."""
    table, rows = data.features(400), data.asked()
    return (data.with_holes(table), data.with_holes(rows, seed=9)) if holes else (table, rows)


def maps(classes, scores):
    return [dict(zip(numpy.asarray(classes).tolist(), row)) for row in scores.tolist()]


def scored(model, rows, zipmap):
    scores = model.predict_proba(rows)
    return [model.predict(rows), maps(model.classes_, scores) if zipmap else scores]


# ---- LightGBM ----------------------------------------------------------------------------------

QUIET = {'n_estimators': 25, 'verbose': -1, 'random_state': 1, 'num_threads': 1}


def from_lightgbm(model, columns=data.FEATURES, **options):
    return onnxmltools.convert_lightgbm(
        model, initial_types=[('X', FloatTensorType([None, columns]))], target_opset=OPSET,
        **options).SerializeToString()


def light_regressor(holes=False, split=None, **settings):
    def make():
        table, rows = tables(holes)
        score = data.score(tables()[0])
        score = numpy.abs(score) + 0.1 if settings.get('objective') in POSITIVE else score
        model = lightgbm.LGBMRegressor(**QUIET, **settings).fit(table, score)
        options = {'split': split} if split else {}
        return case(from_lightgbm(model, **options), rows, lambda its: [model.predict(its)])
    return make


POSITIVE = ('poisson', 'gamma', 'tweedie')


def light_classifier(kinds, zipmap=False, holes=False, text=False, **settings):
    def make():
        table, rows = tables(holes)
        labels = data.classes(tables()[0], kinds)
        model = lightgbm.LGBMClassifier(**QUIET, **settings)
        model.fit(table, data.names(labels) if text else labels)
        return case(from_lightgbm(model, zipmap=zipmap), rows,
                    lambda its: scored(model, its, zipmap))
    return make


def categories(count=400, seed=1):
    """Two columns of small integers, and numbers."""
    table = data.features(count, seed)
    random = data.random(seed + 50)
    table[:, 0], table[:, 1] = random.integers(0, 9, count), random.integers(0, 40, count)
    return table


def category_score(table):
    return numpy.isin(table[:, 0], [1, 4, 5]) * 3.0 + numpy.sin(table[:, 1] * 1.7) * 2 + table[:, 2]


def light_categories(classify):
    def make():
        table, rows = categories(), categories(17, 8)
        score = category_score(table)
        kind = lightgbm.LGBMClassifier if classify else lightgbm.LGBMRegressor
        model = kind(**QUIET, min_data_per_group=5, cat_smooth=1)
        model.fit(table, (score > 1).astype(int) if classify else score, categorical_feature=[0, 1])
        answers = ((lambda its: scored(model, its, False)) if classify else
                   (lambda its: [model.predict(its)]))
        options = {'zipmap': False} if classify else {}
        return case(from_lightgbm(model, **options), rows, answers)
    return make


def light_ranker():
    table, rows = tables()
    model = lightgbm.LGBMRanker(**QUIET)
    model.fit(table, data.classes(table, 4), group=[20] * 20)
    return case(from_lightgbm(model), rows, lambda its: [model.predict(its)])


def light_booster():
    """The booster itself, as lightgbm.train returns it."""
    table, rows = tables()
    model = lightgbm.train({'objective': 'binary', 'verbose': -1, 'num_threads': 1, 'seed': 1},
                           lightgbm.Dataset(table, data.classes(table, 2)), 15)

    def answers(its):
        second = model.predict(its)
        return [(second > 0.5).astype(int), numpy.stack([1 - second, second], axis=1)]
    return case(from_lightgbm(model, zipmap=False), rows, answers)


# ---- XGBoost -----------------------------------------------------------------------------------

FEW = {'n_estimators': 25, 'max_depth': 4, 'random_state': 1, 'n_jobs': 1}


def from_xgboost(model):
    return onnxmltools.convert_xgboost(
        model, initial_types=[('X', FloatTensorType([None, data.FEATURES]))],
        target_opset=OPSET).SerializeToString()


def extreme_regressor(holes=False, **settings):
    def make():
        table, rows = tables(holes)
        score = data.score(tables()[0])
        positive = settings.get('objective', '').split(':')[-1] in POSITIVE
        model = xgboost.XGBRegressor(**{**FEW, **settings})
        model.fit(table, numpy.abs(score) + 0.1 if positive else score)
        return case(from_xgboost(model), rows, lambda its: [model.predict(its)])
    return make


def extreme_classifier(kinds, holes=False, **settings):
    def make():
        table, rows = tables(holes)
        model = xgboost.XGBClassifier(**{**FEW, **settings})
        model.fit(table, data.classes(tables()[0], kinds))
        return case(from_xgboost(model), rows, lambda its: scored(model, its, False))
    return make


def extreme_ranker():
    table, rows = tables()
    model = xgboost.XGBRanker(**FEW)
    model.fit(table, data.classes(table, 4), qid=numpy.arange(400) // 20)
    return case(from_xgboost(model), rows, lambda its: [model.predict(its)])


def extreme_forest(classify):
    def make():
        table, rows = tables()
        kind = xgboost.XGBRFClassifier if classify else xgboost.XGBRFRegressor
        model = kind(n_estimators=20, max_depth=5, random_state=1, n_jobs=1)
        model.fit(table, data.classes(table, 3) if classify else data.score(table))
        return case(from_xgboost(model), rows, lambda its: scored(model, its, False) if classify
                    else [model.predict(its)])
    return make


# ---- CatBoost ----------------------------------------------------------------------------------

SILENT = {'iterations': 25, 'depth': 5, 'random_seed': 1, 'verbose': False, 'thread_count': 1,
          'allow_writing_files': False}


def from_catboost(model):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'model.onnx')
        model.save_model(path, format='onnx')
        with open(path, 'rb') as file:
            return file.read()


def cat_regressor(**settings):
    def make():
        table, rows = tables()
        model = catboost.CatBoostRegressor(**{**SILENT, **settings}).fit(table, data.score(table))
        return case(from_catboost(model), rows, lambda its: [model.predict(its)], 'features')
    return make


def cat_classifier(kinds, text=False, **settings):
    def make():
        table, rows = tables()
        labels = data.classes(table, kinds)
        model = catboost.CatBoostClassifier(**{**SILENT, **settings})
        model.fit(table, data.names(labels) if text else labels)
        return case(from_catboost(model), rows,
                    lambda its: [model.predict(its), maps(model.classes_,
                                                          model.predict_proba(its))], 'features')
    return make


def cat_missing():
    table, rows = tables(True)
    model = catboost.CatBoostRegressor(**SILENT).fit(table, data.score(tables()[0]))
    return case(from_catboost(model), rows, lambda its: [model.predict(its)], 'features')


# ---- All ---------------------------------------------------------------------------------------

def pipelines():
    yield 'lightgbm/regressor', light_regressor()
    yield 'lightgbm/regressor_missing', light_regressor(holes=True)
    yield 'lightgbm/regressor_split', light_regressor(split=10)
    for objective in ('poisson', 'gamma', 'tweedie', 'quantile', 'huber', 'mae'):
        yield f'lightgbm/regressor_{objective}', light_regressor(objective=objective)
    yield 'lightgbm/regressor_dart', light_regressor(boosting_type='dart')
    yield 'lightgbm/regressor_forest', light_regressor(
        boosting_type='rf', bagging_freq=1, bagging_fraction=0.7)
    yield 'lightgbm/regressor_linear_zero', light_regressor(holes=True, zero_as_missing=True)
    for kinds in (2, 3):
        for zipmap in (False, True):
            name = f'lightgbm/classifier_{kinds}{"_zipmap" if zipmap else ""}'
            yield name, light_classifier(kinds, zipmap)
            yield name + '_text', light_classifier(kinds, zipmap, text=True)
        yield f'lightgbm/classifier_{kinds}_missing', light_classifier(kinds, holes=True)
    yield 'lightgbm/classifier_ova', light_classifier(3, objective='multiclassova')
    yield 'lightgbm/classifier_forest', light_classifier(
        2, boosting_type='rf', bagging_freq=1, bagging_fraction=0.7)
    yield 'lightgbm/regressor_categories', light_categories(False)
    yield 'lightgbm/classifier_categories', light_categories(True)
    yield 'lightgbm/ranker', light_ranker
    yield 'lightgbm/booster', light_booster
    yield 'xgboost/regressor', extreme_regressor()
    yield 'xgboost/regressor_missing', extreme_regressor(holes=True)
    yield 'xgboost/regressor_base', extreme_regressor(base_score=2.5)
    yield 'xgboost/regressor_leafwise', extreme_regressor(grow_policy='lossguide', max_leaves=12,
                                                          max_depth=0)
    for objective in ('count:poisson', 'reg:gamma', 'reg:tweedie', 'reg:absoluteerror'):
        yield (f'xgboost/regressor_{objective.split(":")[1]}',
               extreme_regressor(objective=objective))
    for kinds in (2, 3):
        yield f'xgboost/classifier_{kinds}', extreme_classifier(kinds)
        yield f'xgboost/classifier_{kinds}_missing', extreme_classifier(kinds, True)
    yield 'xgboost/classifier_softmax', extreme_classifier(3, objective='multi:softmax')
    yield 'xgboost/classifier_early', extreme_classifier(2, n_estimators=3)
    yield 'xgboost/ranker', extreme_ranker
    yield 'xgboost/forest_regressor', extreme_forest(False)
    yield 'xgboost/forest_classifier', extreme_forest(True)
    yield 'catboost/regressor', cat_regressor()
    yield 'catboost/regressor_mae', cat_regressor(loss_function='MAE')
    yield 'catboost/regressor_missing', cat_missing
    yield 'catboost/classifier_2', cat_classifier(2)
    yield 'catboost/classifier_2_text', cat_classifier(2, True)
    yield 'catboost/classifier_3', cat_classifier(3)
    yield 'catboost/classifier_3_text', cat_classifier(3, True)
    yield 'catboost/classifier_one_vs_all', cat_classifier(3, loss_function='MultiClassOneVsAll')
