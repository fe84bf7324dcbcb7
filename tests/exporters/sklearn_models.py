# SPDX-License-Identifier: Apache-2.0
"""Estimators of scikit-learn on numbers, exported by skl2onnx."""

import numpy
from sklearn import (calibration, cluster, decomposition, discriminant_analysis, ensemble,
                     feature_selection, gaussian_process, linear_model, mixture, multiclass,
                     multioutput, naive_bayes, neighbors, neural_network, pipeline, preprocessing,
                     random_projection, svm, tree)
from skl2onnx import to_onnx
from skl2onnx.common import _container

import data
from case import BATCHES, Case


def make_node(*arguments, its=_container.make_node, **attributes):
    """skl2onnx has booleans where a list of integers belongs, which the newest onnx refuses."""
    for name, value in attributes.items():
        kinds = {type(each) for each in value} if isinstance(value, list) else set()
        if kinds & {bool, numpy.bool_}:
            attributes[name] = [int(each) for each in value]
    return its(*arguments, **attributes)


_container.make_node = make_node


def export(model, rows, options=None, opset=None):
    return to_onnx(model, rows[:1], options={id(model): options} if options else None,
                   target_opset=opset).SerializeToString()


def case(model, rows, answers, options=None, opset=None, **tolerances):
    """answers: from rows to the outputs."""
    batches = [rows[:count] for count in BATCHES]
    return Case(export(model, rows, options, opset), [{'X': batch} for batch in batches],
                [answers(batch) for batch in batches], **tolerances)


# ---- Regressors and transformers ---------------------------------------------------------------

def regressor(model, targets=1, positive=False, opset=None, **tolerances):
    def make():
        table = data.features()
        wanted = data.score(table)
        wanted = numpy.abs(wanted) + 0.1 if positive else wanted
        if targets > 1:
            wanted = numpy.stack([wanted * (i + 1) + table[:, i] for i in range(targets)], axis=1)
        model.fit(table, wanted)
        return case(model, data.asked(), lambda rows: [model.predict(rows)], opset=opset,
                    **tolerances)
    return make


def transformer(model, table=None, rows=None, **tolerances):
    def make():
        given = data.features() if table is None else table
        model.fit(given, data.classes(data.features(len(given))))
        asked = data.asked() if rows is None else rows
        return case(model, asked, lambda batch: [dense(model.transform(batch))], **tolerances)
    return make


def dense(answer):
    return answer.toarray() if hasattr(answer, 'toarray') else answer


BRIEF = {'max_iter': 150, 'random_state': 1}
REGRESSORS = {
    'linear': lambda: linear_model.LinearRegression(),
    'ridge': lambda: linear_model.Ridge(alpha=0.5),
    'ridge_cv': lambda: linear_model.RidgeCV(),
    'lasso': lambda: linear_model.Lasso(alpha=0.05),
    'elastic_net': lambda: linear_model.ElasticNet(alpha=0.05),
    'lars': lambda: linear_model.Lars(n_nonzero_coefs=3),
    'omp': lambda: linear_model.OrthogonalMatchingPursuit(n_nonzero_coefs=3),
    'bayesian_ridge': lambda: linear_model.BayesianRidge(),
    'ard': lambda: linear_model.ARDRegression(),
    'huber': lambda: linear_model.HuberRegressor(),
    'theil_sen': lambda: linear_model.TheilSenRegressor(random_state=1),
    'ransac': lambda: linear_model.RANSACRegressor(random_state=1),
    'quantile': lambda: linear_model.QuantileRegressor(alpha=0.01),
    'sgd': lambda: linear_model.SGDRegressor(random_state=1),
    'svr_rbf': lambda: svm.SVR(),
    'svr_linear': lambda: svm.SVR(kernel='linear'),
    'svr_poly': lambda: svm.SVR(kernel='poly', degree=3, coef0=0.5),
    'svr_sigmoid': lambda: svm.SVR(kernel='sigmoid', gamma=0.1),
    'nu_svr': lambda: svm.NuSVR(),
    'linear_svr': lambda: svm.LinearSVR(random_state=1),
    'knn': lambda: neighbors.KNeighborsRegressor(4),
    'knn_distance': lambda: neighbors.KNeighborsRegressor(5, weights='distance'),
    'knn_manhattan': lambda: neighbors.KNeighborsRegressor(3, metric='manhattan'),
    'radius': lambda: neighbors.RadiusNeighborsRegressor(radius=6.0),
    'tree': lambda: tree.DecisionTreeRegressor(max_depth=6, random_state=1),
    'extra_tree': lambda: tree.ExtraTreeRegressor(max_depth=6, random_state=1),
    'forest': lambda: ensemble.RandomForestRegressor(20, max_depth=6, random_state=1),
    'extra_trees': lambda: ensemble.ExtraTreesRegressor(20, max_depth=6, random_state=1),
    'boosting': lambda: ensemble.GradientBoostingRegressor(n_estimators=30, random_state=1),
    'hist_boosting': lambda: ensemble.HistGradientBoostingRegressor(max_iter=20, random_state=1),
    'ada_boost': lambda: ensemble.AdaBoostRegressor(n_estimators=10, random_state=1),
    'bagging': lambda: ensemble.BaggingRegressor(n_estimators=5, random_state=1),
    'voting': lambda: ensemble.VotingRegressor(
        [('a', linear_model.Ridge()), ('b', tree.DecisionTreeRegressor(max_depth=3))],
        weights=numpy.array([0.3, 0.7])),
    'stacking': lambda: ensemble.StackingRegressor(
        [('a', linear_model.Ridge()), ('b', tree.DecisionTreeRegressor(max_depth=3))]),
    'mlp': lambda: neural_network.MLPRegressor(hidden_layer_sizes=(12, 7), **BRIEF),
    'mlp_tanh': lambda: neural_network.MLPRegressor(hidden_layer_sizes=(9,), activation='tanh',
                                                    **BRIEF),
    'gaussian_process': lambda: gaussian_process.GaussianProcessRegressor(
        gaussian_process.kernels.RBF(2.0) + gaussian_process.kernels.DotProduct(1.0), alpha=1.0,
        optimizer=None),
    'gaussian_process_quadratic': lambda: gaussian_process.GaussianProcessRegressor(
        gaussian_process.kernels.RationalQuadratic(2.0, 1.5), alpha=1.0, optimizer=None),
    'pipeline': lambda: pipeline.make_pipeline(
        preprocessing.StandardScaler(), preprocessing.PolynomialFeatures(2),
        decomposition.PCA(8), linear_model.Ridge()),
}
POSITIVE_REGRESSORS = {
    'poisson': lambda: linear_model.PoissonRegressor(),
    'gamma': lambda: linear_model.GammaRegressor(),
    'tweedie': lambda: linear_model.TweedieRegressor(power=1.5),
    'hist_boosting_poisson': lambda: ensemble.HistGradientBoostingRegressor(
        loss='poisson', max_iter=15, random_state=1),
}
MANY_TARGETS = {
    'linear': lambda: linear_model.LinearRegression(),
    'multi_task_lasso': lambda: linear_model.MultiTaskLasso(alpha=0.05),
    'tree': lambda: tree.DecisionTreeRegressor(max_depth=5, random_state=1),
    'forest': lambda: ensemble.RandomForestRegressor(10, max_depth=5, random_state=1),
    'knn': lambda: neighbors.KNeighborsRegressor(4),
    'mlp': lambda: neural_network.MLPRegressor(hidden_layer_sizes=(9,), **BRIEF),
    'multi_output': lambda: multioutput.MultiOutputRegressor(linear_model.Ridge()),
}
LOOSE = {'gaussian_process': {'rtol': 1e-2, 'atol': 1e-2},
         'gaussian_process_quadratic': {'rtol': 1e-2, 'atol': 1e-2},
         'pipeline': {'rtol': 1e-3, 'atol': 1e-4}}

TRANSFORMERS = {
    'standard_scaler': lambda: preprocessing.StandardScaler(),
    'min_max_scaler': lambda: preprocessing.MinMaxScaler(),
    'min_max_clip': lambda: preprocessing.MinMaxScaler(clip=True),
    'max_abs_scaler': lambda: preprocessing.MaxAbsScaler(),
    'robust_scaler': lambda: preprocessing.RobustScaler(),
    'normalizer_l1': lambda: preprocessing.Normalizer('l1'),
    'normalizer_l2': lambda: preprocessing.Normalizer('l2'),
    'normalizer_max': lambda: preprocessing.Normalizer('max'),
    'binarizer': lambda: preprocessing.Binarizer(threshold=0.25),
    'bins_onehot': lambda: preprocessing.KBinsDiscretizer(4, encode='onehot-dense'),
    'bins_ordinal': lambda: preprocessing.KBinsDiscretizer(4, encode='ordinal'),
    'polynomial': lambda: preprocessing.PolynomialFeatures(3),
    'polynomial_interaction': lambda: preprocessing.PolynomialFeatures(
        2, interaction_only=True, include_bias=False),
    'power_yeo_johnson': lambda: preprocessing.PowerTransformer(),
    'quantile_uniform': lambda: preprocessing.QuantileTransformer(n_quantiles=50),
    'pca': lambda: decomposition.PCA(3),
    'pca_whiten': lambda: decomposition.PCA(3, whiten=True),
    'incremental_pca': lambda: decomposition.IncrementalPCA(3),
    'truncated_svd': lambda: decomposition.TruncatedSVD(3, random_state=1),
    'kernel_pca': lambda: decomposition.KernelPCA(3, kernel='rbf', random_state=1),
    'select_k_best': lambda: feature_selection.SelectKBest(k=3),
    'variance_threshold': lambda: feature_selection.VarianceThreshold(0.5),
    'select_from_model': lambda: feature_selection.SelectFromModel(linear_model.Ridge()),
    'gaussian_projection': lambda: random_projection.GaussianRandomProjection(3, random_state=1),
    'feature_union': lambda: pipeline.make_union(
        preprocessing.StandardScaler(), decomposition.PCA(2)),
    'lda_transform': lambda: pipeline.make_pipeline(preprocessing.StandardScaler(),
                                                    decomposition.PCA(4)),
}


# ---- Classifiers -------------------------------------------------------------------------------

def scores_of(model, rows, raw):
    return model.decision_function(rows) if raw else model.predict_proba(rows)


def maps(model, scores):
    return [dict(zip(model.classes_.tolist(), row)) for row in scores.tolist()]


def classifier(model, kinds=3, form='', table=None, **tolerances):
    """form: words of zipmap (maps come out), columns (a column each), raw (decision_function), text
    (the labels), scoreless (it has no scores)."""
    def make():
        given = data.features() if table is None else table()
        labels = data.classes(given, kinds)
        model.fit(given, data.names(labels) if 'text' in form else labels)
        rows = data.asked() if table is None else table()[-17:]
        raw = 'raw' in form

        def answers(batch):
            label = model.predict(batch)
            if 'scoreless' in form:
                return [label, None]
            scores = scores_of(model, batch, raw)
            if 'zipmap' in form:
                return [label, maps(model, scores)]
            if 'columns' in form:
                return [label, *scores.T]
            if raw and scores.ndim == 1:
                scores = numpy.stack([-scores, scores], axis=1)
            return [label, scores]
        options = {'zipmap': 'columns' if 'columns' in form else 'zipmap' in form}
        if isinstance(model, svm.LinearSVC):  # it has none
            options = {}
        if raw:
            options['raw_scores'] = True
        return case(model, rows, answers, options, **tolerances)
    return make


CLASSIFIERS = {
    'logistic': lambda: linear_model.LogisticRegression(),
    'logistic_cv': lambda: linear_model.LogisticRegressionCV(cv=3, Cs=3, max_iter=300),
    'sgd_log': lambda: linear_model.SGDClassifier(loss='log_loss', random_state=1),
    'sgd_huber': lambda: linear_model.SGDClassifier(loss='modified_huber', random_state=1),
    'lda': lambda: discriminant_analysis.LinearDiscriminantAnalysis(),
    'qda': lambda: discriminant_analysis.QuadraticDiscriminantAnalysis(),
    'knn': lambda: neighbors.KNeighborsClassifier(5),
    'gaussian_nb': lambda: naive_bayes.GaussianNB(),
    'bernoulli_nb': lambda: naive_bayes.BernoulliNB(binarize=0.1),
    'tree': lambda: tree.DecisionTreeClassifier(max_depth=5, random_state=1),
    'extra_tree': lambda: tree.ExtraTreeClassifier(max_depth=5, random_state=1),
    'forest': lambda: ensemble.RandomForestClassifier(20, max_depth=6, random_state=1),
    'extra_trees': lambda: ensemble.ExtraTreesClassifier(20, max_depth=6, random_state=1),
    'boosting': lambda: ensemble.GradientBoostingClassifier(n_estimators=15, random_state=1),
    'hist_boosting': lambda: ensemble.HistGradientBoostingClassifier(max_iter=10, random_state=1),
    'ada_boost': lambda: ensemble.AdaBoostClassifier(n_estimators=10, random_state=1),
    'bagging': lambda: ensemble.BaggingClassifier(n_estimators=5, random_state=1),
    'voting_soft': lambda: ensemble.VotingClassifier(
        [('a', linear_model.LogisticRegression()), ('b', naive_bayes.GaussianNB())],
        voting='soft', flatten_transform=False),
    'stacking': lambda: ensemble.StackingClassifier(
        [('a', linear_model.LogisticRegression()), ('b', naive_bayes.GaussianNB())]),
    'mlp': lambda: neural_network.MLPClassifier(hidden_layer_sizes=(12, 7), **BRIEF),
    'mlp_logistic': lambda: neural_network.MLPClassifier(
        hidden_layer_sizes=(9,), activation='logistic', **BRIEF),
    'calibrated_sigmoid': lambda: calibration.CalibratedClassifierCV(
        linear_model.LogisticRegression(), cv=3),
    'calibrated_isotonic': lambda: calibration.CalibratedClassifierCV(
        naive_bayes.GaussianNB(), method='isotonic', cv=3),
    'one_vs_rest': lambda: multiclass.OneVsRestClassifier(linear_model.LogisticRegression()),
    'pipeline': lambda: pipeline.make_pipeline(
        preprocessing.RobustScaler(), linear_model.LogisticRegression()),
    'gaussian_process': lambda: gaussian_process.GaussianProcessClassifier(
        gaussian_process.kernels.RBF(2.0), optimizer=None),
}
COUNT_CLASSIFIERS = {
    'multinomial_nb': lambda: naive_bayes.MultinomialNB(),
    'complement_nb': lambda: naive_bayes.ComplementNB(),
    'categorical_nb': lambda: naive_bayes.CategoricalNB(min_categories=20),
}
RAW_CLASSIFIERS = {
    'logistic': lambda: linear_model.LogisticRegression(),
    'ridge': lambda: linear_model.RidgeClassifier(),
    'perceptron': lambda: linear_model.Perceptron(random_state=1),
    'passive_aggressive': lambda: linear_model.SGDClassifier(
        loss='hinge', penalty=None, learning_rate='pa1', eta0=1.0, random_state=1),
    'linear_svc': lambda: svm.LinearSVC(random_state=1),
    'sgd_hinge': lambda: linear_model.SGDClassifier(random_state=1),
    'svc_rbf': lambda: svm.SVC(),
    'svc_linear': lambda: svm.SVC(kernel='linear'),
    'svc_poly': lambda: svm.SVC(kernel='poly', coef0=0.5),
    'nu_svc': lambda: svm.NuSVC(nu=0.3),
    'boosting': lambda: ensemble.GradientBoostingClassifier(n_estimators=10, random_state=1),
}
PROBABLE = {
    'svc_probability': lambda: svm.SVC(probability=True, random_state=1),
    'nu_svc_probability': lambda: svm.NuSVC(nu=0.3, probability=True, random_state=1),
}


# ---- What is neither ---------------------------------------------------------------------------

def clusters(model, answers, **tolerances):
    def make():
        model.fit(data.features())
        return case(model, data.asked(), lambda rows: answers(model, rows),
                    opset={'': 15, 'ai.onnx.ml': 3}, **tolerances)
    return make


def outliers(model):
    return clusters(model, lambda its, rows: [its.predict(rows), its.decision_function(rows)],
                    rtol=1e-3)


def imputed():
    from sklearn.impute import KNNImputer, SimpleImputer
    holes = data.with_holes(data.features())
    rows = data.with_holes(data.asked(), seed=9)
    for strategy in ('mean', 'median', 'most_frequent', 'constant'):
        yield (f'sklearn/imputer_{strategy}',
               transformer(SimpleImputer(strategy=strategy), holes, rows))
    yield 'sklearn/imputer_knn', transformer(KNNImputer(n_neighbors=3), holes, rows)
    yield 'sklearn/imputer_value', transformer(
        SimpleImputer(missing_values=2.0, strategy='mean'), data.counts(), data.counts(20, 6)[:17])
    for kind in ('regressor', 'classifier'):
        yield f'sklearn/hist_boosting_missing_{kind}', hist_missing(kind == 'classifier')


def hist_missing(is_classifier):
    def make():
        table = data.features()
        holes, rows = data.with_holes(table), data.with_holes(data.asked(), seed=9)
        if is_classifier:
            model = ensemble.HistGradientBoostingClassifier(max_iter=10, random_state=1)
            model.fit(holes, data.classes(table))
            return case(model, rows, lambda its: [model.predict(its), model.predict_proba(its)],
                        {'zipmap': False})
        model = ensemble.HistGradientBoostingRegressor(max_iter=20, random_state=1)
        model.fit(holes, data.score(table))
        return case(model, rows, lambda its: [model.predict(its)])
    return make


def multi_output_classifier():
    table = data.features()
    labels = numpy.stack([data.classes(table), data.classes(table[:, ::-1], 2)], axis=1)
    model = multioutput.MultiOutputClassifier(linear_model.LogisticRegression()).fit(table, labels)
    return case(model, data.asked(), lambda rows: [model.predict(rows), model.predict_proba(rows)],
                {'zipmap': False})


def multi_label(model):
    def make():
        table = data.features()
        labels = numpy.stack([table[:, 0] > 0, table[:, 1] + table[:, 2] > 0.3], axis=1).astype(int)
        model.fit(table, labels)
        return case(model, data.asked(), lambda rows: [model.predict(rows), None],
                    {'zipmap': False})
    return make


def gaussian_process_deviation():
    table = data.features(60)
    model = gaussian_process.GaussianProcessRegressor(
        gaussian_process.kernels.RBF(2.0), alpha=1.0, optimizer=None).fit(table, data.score(table))
    return case(model, data.asked(), lambda rows: list(model.predict(rows, return_std=True)),
                {'return_std': True}, rtol=1e-2, atol=1e-2)


def tree_with(answer, option):
    """Paths and leaves as outputs besides."""
    def make():
        table = data.features()
        model = ensemble.RandomForestClassifier(4, max_depth=4, random_state=1)
        model.fit(table, data.classes(table))
        return case(model, data.asked(),
                    lambda rows: [model.predict(rows), model.predict_proba(rows),
                                  answer(model, rows)], {'zipmap': False, option: True})
    return make


def f64(model):
    """The same with rows of f64, which TreeEnsemble and others then compute in."""
    def make():
        table = data.features().astype(numpy.float64)
        model.fit(table, data.score(table))
        return case(model, data.asked().astype(numpy.float64), lambda rows: [model.predict(rows)],
                    rtol=1e-5)
    return make


def pipelines():
    for name, make in REGRESSORS.items():
        yield f'sklearn/{name}_regressor', regressor(make(), **LOOSE.get(name, {}))
    for name, make in POSITIVE_REGRESSORS.items():
        yield f'sklearn/{name}_regressor', regressor(make(), positive=True)
    for name, make in MANY_TARGETS.items():
        yield f'sklearn/{name}_3_targets', regressor(make(), targets=3)
    for name, make in TRANSFORMERS.items():
        yield f'sklearn/{name}', transformer(make())
    yield 'sklearn/power_box_cox', transformer(
        preprocessing.PowerTransformer('box-cox'), data.counts() + 1, data.counts(20, 6)[:17] + 1)
    yield from imputed()
    for name, make in CLASSIFIERS.items():
        tolerances = {'rtol': 1e-2, 'atol': 1e-2} if name == 'gaussian_process' else {}
        yield f'sklearn/{name}_2', classifier(make(), 2, **tolerances)
        yield f'sklearn/{name}_3', classifier(make(), 3, **tolerances)
    for name in ('logistic', 'forest', 'knn', 'boosting', 'pipeline'):
        yield f'sklearn/{name}_zipmap', classifier(CLASSIFIERS[name](), 3, 'zipmap')
        yield f'sklearn/{name}_zipmap_text', classifier(CLASSIFIERS[name](), 3, 'zipmap text')
        yield f'sklearn/{name}_text', classifier(CLASSIFIERS[name](), 2, 'text')
        yield f'sklearn/{name}_columns', classifier(CLASSIFIERS[name](), 3, 'columns')
    for name, make in COUNT_CLASSIFIERS.items():
        yield f'sklearn/{name}', classifier(make(), 3, table=data.counts)
    for name, make in RAW_CLASSIFIERS.items():
        yield f'sklearn/{name}_raw_2', classifier(make(), 2, 'raw')
        yield f'sklearn/{name}_raw_3', classifier(make(), 3, 'raw')
    for name, make in PROBABLE.items():
        yield f'sklearn/{name}_2', classifier(make(), 2)
        yield f'sklearn/{name}_3', classifier(make(), 3)
    yield 'sklearn/voting_hard', classifier(ensemble.VotingClassifier(
        [('a', linear_model.LogisticRegression()), ('b', naive_bayes.GaussianNB()),
         ('c', tree.DecisionTreeClassifier(max_depth=3))], flatten_transform=False), 3, 'scoreless')
    yield 'sklearn/one_vs_one', classifier(
        multiclass.OneVsOneClassifier(linear_model.LogisticRegression()), 3, 'scoreless')
    yield 'sklearn/multi_output_classifier', multi_output_classifier
    yield 'sklearn/multi_label_one_vs_rest', multi_label(
        multiclass.OneVsRestClassifier(linear_model.LogisticRegression()))
    yield 'sklearn/multi_label_mlp', multi_label(
        neural_network.MLPClassifier(hidden_layer_sizes=(9,), **BRIEF))
    yield 'sklearn/multi_label_knn', multi_label(neighbors.KNeighborsClassifier(5))
    yield 'sklearn/kmeans', clusters(
        cluster.KMeans(4, n_init=2, random_state=1),
        lambda its, rows: [its.predict(rows), its.transform(rows)])
    yield 'sklearn/mini_batch_kmeans', clusters(
        cluster.MiniBatchKMeans(4, n_init=2, random_state=1),
        lambda its, rows: [its.predict(rows), its.transform(rows)])
    yield 'sklearn/gaussian_mixture', clusters(
        mixture.GaussianMixture(3, random_state=1),
        lambda its, rows: [its.predict(rows), its.predict_proba(rows)], rtol=1e-3, atol=1e-4)
    yield 'sklearn/isolation_forest', outliers(
        ensemble.IsolationForest(n_estimators=20, random_state=1))
    yield 'sklearn/one_class_svm', outliers(svm.OneClassSVM(nu=0.3))
    yield 'sklearn/one_class_svm_linear', outliers(svm.OneClassSVM(kernel='linear', nu=0.3))
    yield 'sklearn/local_outlier_factor', outliers(
        neighbors.LocalOutlierFactor(n_neighbors=10, novelty=True))
    yield 'sklearn/gaussian_process_deviation', gaussian_process_deviation
    yield 'sklearn/forest_leaves', tree_with(lambda its, rows: its.apply(rows), 'decision_leaf')
    yield 'sklearn/forest_paths', tree_with(lambda its, rows: None, 'decision_path')
    for name in ('linear', 'svr_rbf', 'tree', 'forest', 'boosting', 'knn', 'mlp', 'pipeline'):
        yield f'sklearn/{name}_regressor_f64', f64(REGRESSORS[name]())
    for opset in (9, 12, 15):
        for name in ('forest', 'pipeline', 'mlp', 'knn'):
            yield (f'sklearn/{name}_regressor_opset_{opset}',
                   regressor(REGRESSORS[name](), opset={'': opset, 'ai.onnx.ml': 1}, rtol=1e-3,
                             atol=1e-4))
