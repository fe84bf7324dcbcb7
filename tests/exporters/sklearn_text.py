# SPDX-License-Identifier: Apache-2.0
"""Pipelines of scikit-learn on texts and tables of several types, exported by skl2onnx."""

import numpy
import pandas
from sklearn import (compose, ensemble, feature_extraction, impute, linear_model, naive_bayes,
                     pipeline, preprocessing)
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType

import data
from case import BATCHES, Case, rows_of

WORDS = ('river stone light winter Garden paper quiet engine harbor copper violet meadow signal '
         'window thunder basket ladder mirror pepper saddle 42 co-op').split()
COLORS = ['red', 'green', 'blue', 'grün']
SIZES = ['S', 'M', 'L']


def texts(count=120, seed=3):
    random = data.random(seed)
    return numpy.array([' '.join(random.choice(WORDS, random.integers(1, 9)))
                        for _ in range(count)])


def choices(kinds, count=120, seed=4):
    return data.random(seed).choice(kinds, count)


# ---- One input ---------------------------------------------------------------------------------

def column_case(model, rows, kind, answers, options=None, **tolerances):
    """rows: [n, columns] or [n]; kind: its type for the exporter."""
    shape = [None, 1 if rows.ndim == 1 else rows.shape[1]]
    onnx = to_onnx(model, initial_types=[('X', kind(shape))],
                   options={id(model): options} if options else None)
    batches = [rows[:count] for count in BATCHES]
    # Vectorisers take texts in a row, and their models columns.
    requests = [{'X': batch.reshape(-1, shape[1]).astype(
        object if rows.dtype.kind == 'U' else rows.dtype)} for batch in batches]
    return Case(onnx.SerializeToString(), requests, [answers(batch) for batch in batches],
                **tolerances)


def dense(answer):
    return answer.toarray() if hasattr(answer, 'toarray') else answer


def vectoriser(model, asked=None):
    def make():
        model.fit(texts())
        rows = texts(17, 8) if asked is None else asked
        return column_case(model, rows, StringTensorType, lambda its: [dense(model.transform(its))])
    return make


def encoder(model, table, rows, kind):
    def make():
        model.fit(table)
        return column_case(model, rows, kind, lambda its: [dense(model.transform(its))])
    return make


def text_table(count=120, seed=4):
    return numpy.stack([choices(COLORS, count, seed), choices(SIZES, count, seed + 1)], axis=1)


def int_table(count=120, seed=4):
    return numpy.stack([choices([3, 7, -2, 90], count, seed), choices([1, 2], count, seed + 1)],
                       axis=1).astype(numpy.int64)


def strange_texts():
    rows = text_table(17, 9)
    rows[3, 0] = rows[8, 1] = 'odd'
    return rows


def strange_ints():
    rows = int_table(17, 9)
    rows[3, 0] = rows[8, 1] = 1000
    return rows


def label_encoder(labels, rows, kind):
    def make():
        model = preprocessing.LabelEncoder().fit(labels)
        return column_case(model, rows, kind, lambda its: [model.transform(its)])
    return make


def label_binarizer():
    model = preprocessing.LabelBinarizer().fit(choices([3, 7, -2]))
    return column_case(model, choices([3, 7, -2], 17, 5), Int64TensorType,
                       lambda its: [model.transform(its)])


def text_classifier(vectorizer, classifier):
    def make():
        model = pipeline.make_pipeline(vectorizer, classifier)
        trained = texts()
        model.fit(trained, numpy.array(['river' in text or 'light' in text for text in trained])
                  .astype(int))
        return column_case(model, texts(17, 8), StringTensorType,
                           lambda its: [model.predict(its), model.predict_proba(its)],
                           {'zipmap': False})
    return make


def hasher(**settings):
    def make():
        model = feature_extraction.FeatureHasher(16, input_type='string', **settings)
        rows = choices(WORDS, 17, 8)
        return column_case(model, rows, StringTensorType,
                           lambda its: [dense(model.transform([[text] for text in its]))])
    return make


# ---- Tables ------------------------------------------------------------------------------------

KINDS = {'f': FloatTensorType, 'i': Int64TensorType, 'O': StringTensorType}


def frame(count=160, seed=6, holes=False):
    random = data.random(seed)
    age = random.normal(40, 12, count).astype(numpy.float32)
    if holes:
        age[random.random(count) < 0.2] = numpy.nan
    return pandas.DataFrame({
        'age': age, 'income': random.gamma(2, 20, count).astype(numpy.float32),
        'rooms': random.integers(1, 6, count), 'color': random.choice(COLORS, count),
        'size': random.choice(SIZES, count)}).astype({'color': object, 'size': object})


def table_case(model, rows, answers, options=None):
    types, columns = [], {}
    for name in rows.columns:
        column = rows[name].to_numpy().reshape(-1, 1)
        columns[name] = column
        types.append((name, KINDS[column.dtype.kind]([None, 1])))
    onnx = to_onnx(model, initial_types=types,
                   options={id(model): options} if options else None)
    return Case(onnx.SerializeToString(), [rows_of(columns, count) for count in BATCHES],
                [answers(rows[:count]) for count in BATCHES])


def columns_of(holes=False):
    numeric = pipeline.make_pipeline(impute.SimpleImputer(strategy='median'),
                                     preprocessing.StandardScaler())
    return compose.ColumnTransformer([
        ('numbers', numeric if holes else preprocessing.StandardScaler(), ['age', 'income']),
        ('kept', 'passthrough', ['rooms']),
        ('kinds', preprocessing.OneHotEncoder(handle_unknown='ignore'), ['color', 'size'])])


def table_transformer(holes):
    def make():
        model = columns_of(holes).fit(frame(holes=holes))
        return table_case(model, frame(17, 7, holes), lambda its: [dense(model.transform(its))])
    return make


def table_classifier(estimator, zipmap, holes=False):
    def make():
        trained = frame(holes=holes)
        model = pipeline.make_pipeline(columns_of(holes), estimator)
        rich = trained.income + 9 * (trained.color == 'red') + trained.rooms > 50
        model.fit(trained, numpy.where(rich, 'yes', 'no'))

        def answers(rows):
            scores = model.predict_proba(rows)
            maps = [dict(zip(model.classes_.tolist(), row)) for row in scores.tolist()]
            return [model.predict(rows), maps if zipmap else scores]
        return table_case(model, frame(17, 7, holes), answers, {'zipmap': zipmap})
    return make


def table_regressor():
    trained = frame()
    ordered = preprocessing.OrdinalEncoder(categories=[SIZES])
    model = pipeline.make_pipeline(
        compose.ColumnTransformer([('size', ordered, ['size'])], remainder='drop'),
        ensemble.GradientBoostingRegressor(n_estimators=10, random_state=1))
    model.fit(trained, trained.income)
    return table_case(model, frame(17, 7), lambda rows: [model.predict(rows)])


def imputed_texts():
    table = text_table().astype(object)
    table[::5, 0] = ''
    rows = text_table(17, 9).astype(object)
    rows[::4, 0] = ''
    model = impute.SimpleImputer(missing_values='', strategy='most_frequent').fit(table)
    onnx = to_onnx(model, initial_types=[('X', StringTensorType([None, 2]))])
    return Case(onnx.SerializeToString(), [{'X': rows[:count]} for count in BATCHES],
                [[model.transform(rows[:count])] for count in BATCHES])


# ---- All ---------------------------------------------------------------------------------------

COUNT, TFIDF = (feature_extraction.text.CountVectorizer, feature_extraction.text.TfidfVectorizer)
VECTORISERS = {
    'count': lambda: COUNT(),
    'count_binary': lambda: COUNT(binary=True),
    'count_cased': lambda: COUNT(lowercase=False),
    'count_words_1_2': lambda: COUNT(ngram_range=(1, 2)),
    'count_words_2_3': lambda: COUNT(ngram_range=(2, 3)),
    'count_chars': lambda: COUNT(analyzer='char', ngram_range=(1, 3)),
    'count_vocabulary': lambda: COUNT(vocabulary=['stone', 'light', 'harbor']),
    'count_stop_words': lambda: COUNT(stop_words=['river', 'light']),
    'count_pattern': lambda: COUNT(token_pattern='[a-z]+'),
    'count_long_words': lambda: COUNT(token_pattern='[a-zA-Z0-9]{5,}'),
    'tfidf': lambda: TFIDF(),
    'tfidf_l1': lambda: TFIDF(norm='l1'),
    'tfidf_no_norm': lambda: TFIDF(norm=None, smooth_idf=False),
    'tfidf_sublinear': lambda: TFIDF(sublinear_tf=True),
    'tfidf_words_1_2': lambda: TFIDF(ngram_range=(1, 2)),
    'tfidf_chars': lambda: TFIDF(analyzer='char', ngram_range=(2, 3)),
}


def pipelines():
    for name, make in VECTORISERS.items():
        yield f'text/{name}', vectoriser(make())
    empty = texts(17, 8)
    empty[0], empty[5] = '', 'nothing of it known'
    yield 'text/count_empty', vectoriser(COUNT(), empty)
    yield 'text/tfidf_empty', vectoriser(TFIDF(), empty)
    yield 'text/hasher', hasher()
    yield 'text/hasher_unsigned', hasher(alternate_sign=False)
    yield 'text/logistic', text_classifier(TFIDF(), linear_model.LogisticRegression())
    yield 'text/multinomial_nb', text_classifier(COUNT(), naive_bayes.MultinomialNB())
    yield 'text/forest', text_classifier(COUNT(), ensemble.RandomForestClassifier(
        10, max_depth=5, random_state=1))
    one_hot, ordinal = preprocessing.OneHotEncoder, preprocessing.OrdinalEncoder
    both = {'texts': (text_table(), text_table(17, 9), strange_texts(), StringTensorType),
            'ints': (int_table(), int_table(17, 9), strange_ints(), Int64TensorType)}
    for name, (table, rows, strange, kind) in both.items():
        yield f'encode/one_hot_{name}', encoder(one_hot(), table, rows, kind)
        yield f'encode/one_hot_{name}_unknown', encoder(one_hot(handle_unknown='ignore'), table,
                                                        strange, kind)
        yield f'encode/one_hot_{name}_drop', encoder(one_hot(drop='first'), table, rows, kind)
        yield f'encode/ordinal_{name}', encoder(ordinal(), table, rows, kind)
        yield f'encode/ordinal_{name}_unknown', encoder(
            ordinal(handle_unknown='use_encoded_value', unknown_value=-1), table, strange, kind)
    yield 'encode/labels_texts', label_encoder(COLORS, choices(COLORS, 17, 5), StringTensorType)
    yield 'encode/labels_ints', label_encoder([3, 7, -2], choices([3, 7, -2], 17, 5),
                                              Int64TensorType)
    yield 'encode/label_binarizer', label_binarizer
    yield 'encode/imputed_texts', imputed_texts
    yield 'table/columns', table_transformer(False)
    yield 'table/columns_missing', table_transformer(True)
    for name, make in {'logistic': lambda: linear_model.LogisticRegression(max_iter=500),
                       'forest': lambda: ensemble.RandomForestClassifier(
                           10, max_depth=5, random_state=1)}.items():
        yield f'table/{name}', table_classifier(make(), False)
        yield f'table/{name}_zipmap', table_classifier(make(), True)
        yield f'table/{name}_missing', table_classifier(make(), False, True)
    yield 'table/ordinal_boosting', table_regressor
