"""Every metric against its reference, on inputs that break metrics.

The references are packages, and the rules of SQuAD, TriviaQA, MultiRC and ReCoRD written out from their
descriptions. docs/evaluation.md lists what differs on purpose; each of these is a test here too.
"""

import collections
import fractions
import importlib.metadata
import importlib.util
import math
import re
import string
import sys
import types

import editdistance
import numpy as np
import pytest
import sacrebleu
import scipy.stats
from rouge_score import rouge_scorer

from flanlite.metrics import correlation, metrics

pytestmark = pytest.mark.filterwarnings('ignore::RuntimeWarning', 'ignore::UserWarning')

# Words that scorers stumble over: nothing, marks only, articles, quotes, other scripts, emoji, combining and
# wide letters, letters whose case changes their length, odd blanks and line ends, half a character.
WORDS = (
    *('', 'the', 'a', 'An', 'THE', 'cat', 'Cat.', 'cats', 'rock-n-roll', 'rock_n_roll', 'rock', 'n', 'roll'),
    *(
        '“cat”',
        '‘cat’',
        '`cat`',
        '´',
        '_',
        '...',
        '!?',
        "it's",
        'U.S.',
        'a.',
        'an-',
        '5',
        '5.0',
        '-5',
        '1,000',
    ),
    *('€5', '5€', '¿', '。', '，', 'старый', 'Маяк', 'المنارة', '灯台', 'が', 'ที่นี่', 'हिन्दी', '이'),
    *(
        '😀',
        '👩\u200d🚀',
        '❤️',
        'für',
        'fu\u0308r',
        'f r',
        'ﬁ',
        'İ',
        'ß',
        'ẞ',
        'Σς',
        '１２',
        '²',
        '\ud800',
        '\x00',
    ),
    *('\u00a0', '\u200b', '\u2028', '\x1c', '\x85', '\n', '\t', ' . ', '.\n', '. .'),
)
ASCII_WORDS = tuple(word for word in WORDS if word.isascii())
ROUNDS = 120


def score(name, predictions, answers, groups=None):
    metric = metrics.get_metric(name)
    return metric.scores(metric.counts(predictions, answers, groups).sum(axis=0))


def text(random, words=WORDS):
    return random.choice(['', ' ', ' ', ' ']).join(random.choice(words, random.integers(0, 8)).tolist())


def texts(seed, words=WORDS, references=None):
    """A few predictions, each with some answers; many are equal, or equal but for case and white space."""
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 6))
    answers = [
        [text(random, words) for _ in range(references or random.integers(1, 4))] for _ in range(count)
    ]
    changes = (
        str,
        str.upper,
        str.lower,
        str.strip,
        lambda right: f' {right}.',
        lambda right: text(random, words),
    )
    predictions = [changes[random.integers(len(changes))](right[0]) for right in answers]
    return predictions, answers


@pytest.fixture(scope='module')
def t5():
    """T5's metrics. Its package is not imported as a whole, since that asks for its models too."""
    pytest.importorskip('sklearn', reason='scikit-learn is not installed; flanlite[test] has it')
    try:
        version = importlib.metadata.version('t5')
    except importlib.metadata.PackageNotFoundError:
        pytest.skip('t5 is not installed: pip install --no-deps t5==0.9.4')
    assert version == '0.9.4'
    package = types.ModuleType('t5')
    package.__path__ = list(importlib.util.find_spec('t5').submodule_search_locations)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, 't5', package)
        yield importlib.import_module('t5.evaluation.metrics')
        for name in [name for name in sys.modules if name.startswith('t5.')]:
            del sys.modules[name]


# Questions: SQuAD, TriviaQA, ReCoRD, CoQA.


def squad_words(answer):
    """Lower case, no ASCII punctuation, no articles."""
    kept = ''.join(letter for letter in answer.lower() if letter not in string.punctuation)
    return re.sub(r'\b(a|an|the)\b', ' ', kept).split()


def trivia_qa_words(answer):
    """Lower case, punctuation, quotes and underscores as blanks, no articles."""
    marks = {*string.punctuation, *'‘’´`_'}
    kept = ''.join(' ' if letter in marks else letter for letter in answer.lower())
    return re.sub(r'\b(a|an|the)\b', ' ', kept).split()


def overlap(predicted, right):
    """Twice the shared words over all words; SQuAD 2 adds: of two empty texts 1."""
    if not predicted and not right:
        return 1.0
    left = collections.Counter(predicted)
    left.subtract(right)
    shared = len(predicted) - sum(number for number in left.values() if number > 0)
    return 2 * shared / (len(predicted) + len(right))


@pytest.mark.parametrize(
    ('rule', 'words'), [('squad', squad_words), ('trivia_qa', trivia_qa_words)], ids=['squad', 'trivia_qa']
)
def test_questions_by_the_written_rules(rule, words):
    """The best answer counts, for exact match and F1 alike, which is ReCoRD's rule of several names too."""
    for seed in range(ROUNDS):
        predictions, answers = texts(seed)
        pairs = [
            (words(given), [words(answer) for answer in right])
            for given, right in zip(predictions, answers, strict=True)
        ]
        expected = {
            f'{rule}_exact_match': np.mean([given in right for given, right in pairs]),
            f'{rule}_f1': np.mean([max(overlap(given, each) for each in right) for given, right in pairs]),
        }
        found = score(f'{rule}_exact_match', predictions, answers)
        assert found == pytest.approx({name: 100 * value for name, value in expected.items()})
        if rule == 'squad':
            assert score('squad_f1', predictions, answers) == found


@pytest.mark.parametrize('rule', ['squad', 'trivia_qa', 'coqa'])
def test_questions_by_t5(t5, rule):
    ours = 'trivia_qa' if rule == 'trivia_qa' else 'squad'
    words = trivia_qa_words if rule == 'trivia_qa' else squad_words
    for seed in range(ROUNDS):
        for given, right in zip(*texts(seed), strict=True):
            found = score(f'{ours}_exact_match', [given], [right])
            expected = {'coqa': t5.coqa_f1, 'squad': t5.squad, 'trivia_qa': t5.trivia_qa}[rule](
                [right], [given]
            )
            assert found[f'{ours}_exact_match'] == expected.get('em', found[f'{ours}_exact_match'])
            # T5 follows SQuAD 1.1 and TriviaQA, where two texts of which nothing is left share no word.
            both_empty = rule != 'coqa' and not words(given) and [] in map(words, right)
            assert found[f'{ours}_f1'] == pytest.approx(100 if both_empty else expected['f1'])


# Classes: accuracy, GLUE, SuperGLUE.

SAID = ('yes', 'no', 'unclear', 'maybe', '', 'Yes', 'yes!', 'да', '👍')


def classes(seed, names):
    """Predicted and right classes, often all of one class."""
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 12))
    said, right = [SAID, names, names[:1], names[1:2]], [names, names, names[:1], names[1:2]]
    chosen = [kinds[random.integers(len(kinds))] for kinds in (said, right)]
    return [random.choice(each, count).tolist() for each in chosen]


def f1(predicted, right):
    """F1 of two lists of truths."""
    hits = sum(map(min, predicted, right))
    return 2 * hits / (sum(predicted) + sum(right)) if hits else 0.0


def says_yes(predictions, right):
    """Whether each prediction says yes; another word than yes and no is the wrong one of the two."""
    return [
        given == 'yes' or (given != 'no' and answer == 'no')
        for given, answer in zip(predictions, right, strict=True)
    ]


def test_classes_by_the_written_rules():
    names = ('yes', 'no', 'unclear')
    for seed in range(ROUNDS):
        predictions, right = classes(seed, names[:2])
        accuracy = 100 * np.mean([given == answer for given, answer in zip(predictions, right, strict=True)])
        expected = {
            'accuracy': accuracy,
            'glue_f1': 100 * f1(says_yes(predictions, right), [answer == 'yes' for answer in right]),
        }
        answers = [[answer] for answer in right]
        assert score('glue_accuracy_f1', predictions, answers) == pytest.approx(expected)
        # MultiRC: F1 of yes over the answers to all questions; a question is right if all its answers are.
        groups = np.random.default_rng(seed).integers(0, 4, len(right)).tolist()
        wrong = {
            group for given, answer, group in zip(predictions, right, groups, strict=True) if given != answer
        }
        assert score('superglue_multirc', predictions, answers, groups) == pytest.approx(
            {
                'multirc_f1a': expected['glue_f1'],
                'multirc_exact_match': 100 - 100 * len(wrong) / len(set(groups)),
                'accuracy': accuracy,
            }
        )
        predictions, right = classes(seed, names)
        each = [
            f1([given == name for given in predictions], [answer == name for answer in right])
            for name in names
        ]
        found = score('superglue_cb', predictions, [[answer] for answer in right])
        assert found['macro_f1'] == pytest.approx(100 * np.mean(each))


def numbers(labels, names):
    """Classes as T5 numbers them; -1 is none of them."""
    return [names.index(label) if label in names else -1 for label in labels]


def test_classes_by_scikit_learn():
    measures = pytest.importorskip(
        'sklearn.metrics', reason='scikit-learn is not installed; flanlite[test] has it'
    )
    for seed in range(ROUNDS):
        predictions, right = classes(seed, ('no', 'yes'))
        found = score('glue_accuracy_f1', predictions, [[answer] for answer in right])
        assert found['accuracy'] == pytest.approx(100 * measures.accuracy_score(right, predictions))
        truths = [answer == 'yes' for answer in right]
        assert found['glue_f1'] == pytest.approx(
            100 * measures.f1_score(truths, says_yes(predictions, right))
        )
        names = ('yes', 'no', 'unclear')
        predictions, right = classes(seed, names)
        found = score('superglue_cb', predictions, [[answer] for answer in right])
        expected = measures.f1_score(
            numbers(right, names), numbers(predictions, names), labels=range(3), average='macro'
        )
        assert found['macro_f1'] == pytest.approx(100 * expected)


def test_classes_by_t5(t5):
    for seed in range(ROUNDS // 3):
        predictions, right = classes(seed, ('no', 'yes'))
        answers, groups = (
            [[answer] for answer in right],
            np.random.default_rng(seed).integers(0, 4, len(right)).tolist(),
        )
        given, gold = numbers(predictions, ('no', 'yes')), numbers(right, ('no', 'yes'))
        expected = t5.f1_score_with_invalid(gold, given)['f1']
        assert score('glue_accuracy_f1', predictions, answers)['glue_f1'] == pytest.approx(expected)
        grouped = [[{'group': group, 'value': value} for group, value in zip(groups, each, strict=True)]
                   for each in (gold, given)]  # fmt: skip
        found = score('superglue_multirc', predictions, answers, groups)
        assert found['multirc_f1a'] == pytest.approx(t5.multirc_f1_over_all_answers(*grouped)['f1'])
        assert found['multirc_exact_match'] == pytest.approx(
            t5.mean_group_metric(t5.all_match)(*grouped)['exact_match']
        )
        names = ('yes', 'no', 'unclear')
        predictions, right = classes(seed, names)
        expected = t5.mean_multiclass_f1(3)(numbers(right, names), numbers(predictions, names))
        found = score('superglue_cb', predictions, [[answer] for answer in right])
        assert found['macro_f1'] == pytest.approx(expected['mean_3class_f1'])


def test_accuracy_by_t5(t5):
    for seed in range(ROUNDS):
        predictions, answers = texts(seed, references=1)
        bare = [given.strip() for given in predictions], [right.strip() for (right,) in answers]
        found = score('accuracy', predictions, answers)['accuracy']
        assert found == pytest.approx(t5.accuracy(bare[1], bare[0])['accuracy'])
        assert found == pytest.approx(t5.sequence_accuracy(bare[1], bare[0])['sequence_accuracy'])


# Numbers: STS-B.

NUMBERS = {
    'ratings': [0, 1, 2, 3, 4, 5],
    'one number': [3],
    'two numbers': [0, 5],
    'ties': [1, 1, 1, 2],
    'far from 0': [1e6, 1e6 + 1, 1e6 + 2.5],
    'farther': [-1e15, -1e15 + 1, -1e15 + 2],
    'close to 0': [1e-6, 2e-6, 4e-6],
    'smallest': [5e-324, 1e-323, 0, 1e-310],
    'largest': [1.7e308, -1.7e308, 1e308, 3],
    'both': [1e-300, 1e300, 1],
    'an outlier': [1e300, 1, 2, 3],
    'signs': [-0.0, 0.0, -1, 1],
}


def pearson(x, y):
    """Pearson's correlation in percent from fractions, which are exact; None where a side does not vary."""
    x, y = ([fractions.Fraction(value) for value in values] for values in (x, y))
    x, y = ([value - sum(values) / len(values) for value in values] for values in (x, y))
    products = [sum(map(lambda a, b: a * b, *pair)) for pair in ((x, y), (x, x), (y, y))]
    if 0 in products[1:]:
        return None
    return 100 * (1 if products[0] > 0 else -1) * math.sqrt(products[0] ** 2 / (products[1] * products[2]))


def ranks(values):
    return [(sum(a < b for a in values) + sum(a <= b for a in values)) / 2 for b in values]


@pytest.mark.parametrize('kind', NUMBERS)
@pytest.mark.parametrize('other', ['ratings', 'ties', 'one number', 'same'])
def test_correlations(kind, other):
    for seed in range(8):
        random = np.random.default_rng(seed)
        count = int(random.integers(1, 12))
        x = random.choice(NUMBERS[kind], count).tolist()
        y = x if other == 'same' else random.choice(NUMBERS[other], count).tolist()
        for given, right in ((x, y), (y, x)):
            predictions, answers = list(map(repr, given)), [[repr(value)] for value in right]
            expected = pearson(given, right)
            found = score('pearson', predictions, answers)['pearson']
            assert found == pytest.approx(expected or 0.0, abs=1e-6) and abs(found) <= 100
            rounded = [[min(max(round(value), -1), 5) for value in values] for values in (given, right)]
            both = score('glue_stsb', predictions, answers)
            assert both['pearson'] == found
            assert both['spearman'] == pytest.approx(pearson(*map(ranks, rounded)) or 0.0, abs=1e-6)
            if expected is None or kind == 'farther':  # SciPy is off by up to 0.8 there
                continue
            theirs = 100 * scipy.stats.pearsonr(given, right).statistic
            assert np.isnan(theirs) or theirs == pytest.approx(found, abs=1e-5)
            if rounded == [given, right]:
                assert both['spearman'] == pytest.approx(100 * scipy.stats.spearmanr(given, right).statistic)


@pytest.mark.parametrize(
    'said', ['nan', 'NaN', 'inf', '-inf', 'Infinity', '1e400', '-1e400', '', 'four', '3,5', '👍']
)
def test_what_is_no_finite_number_is_minus_one(said):
    """T5 reads texts that are no numbers as -1; some of these it reads as numbers, and its score is nan."""
    for name in ('pearson', 'glue_stsb'):
        assert score(name, [said, '3', '4'], [['1'], ['2'], ['5']]) == score(
            name, ['-1', '3', '4'], [['1'], ['2'], ['5']]
        )
        assert score(name, ['1', '3', '4'], [[said], ['2'], ['5']]) == score(
            name, ['1', '3', '4'], [['-1'], ['2'], ['5']]
        )


# Texts: BLEU, ROUGE, edits.


def test_bleu_by_sacrebleu():
    for seed in range(ROUNDS):
        predictions, answers = texts(seed)
        most = max(map(len, answers))
        streams = [
            [right[place] if place < len(right) else None for right in answers] for place in range(most)
        ]
        expected = sacrebleu.corpus_bleu(predictions, streams, tokenize='intl').score
        assert score('sacrebleu_intl', predictions, answers)['sacrebleu_intl'] == pytest.approx(
            expected, abs=1e-9
        )


def test_bleu_by_t5(t5):
    for seed in range(ROUNDS):
        predictions, answers = texts(seed, references=2)
        expected = t5.bleu([list(stream) for stream in zip(*answers, strict=True)], predictions)['bleu']
        assert score('sacrebleu_intl', predictions, answers)['sacrebleu_intl'] == pytest.approx(
            expected, abs=1e-9
        )


def test_rouge_by_rouge_score():
    scorer = rouge_scorer.RougeScorer(['rougeLsum', 'rougeL', 'rouge1', 'rouge2'])
    for seed in range(ROUNDS):
        predictions, answers = texts(seed, ASCII_WORDS)
        lines = [
            (given.replace(' . ', ' .\n'), [each.replace(' . ', ' .\n') for each in right])
            for given, right in zip(predictions, answers, strict=True)
        ]
        measured = [[scorer.score(each, given) for each in right] for given, right in lines]
        expected = {
            name: 100 * np.mean([max(each[name].fmeasure for each in several) for several in measured])
            for name in scorer.rouge_types
        }
        assert score('t5_rouge', predictions, answers) == pytest.approx(expected)


def test_rouge_by_t5(t5):
    """Of one example, since T5's score of several is the median of random draws of them."""
    for seed in range(ROUNDS // 20):
        for given, right in zip(*texts(seed, ASCII_WORDS, references=1), strict=True):
            expected = t5.rouge(right, [given])
            found = score('t5_rouge', [given], [right])
            assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_edits_by_editdistance():
    for seed in range(ROUNDS):
        predictions, answers = texts(seed)
        similar = [
            max(1 - editdistance.distance(given, each) / max(len(given), len(each), 1) for each in right)
            for given, right in zip(predictions, answers, strict=True)
        ]
        assert score('edit_similarity', predictions, answers)['edit_similarity'] == pytest.approx(
            100 * np.mean(similar)
        )


@pytest.mark.parametrize('name', metrics.METRICS)
def test_any_text_gets_a_score_from_0_to_100(name):
    """And a text with itself the best, if it holds anything to compare; no examples get none."""
    correlates = name in ('pearson', 'glue_stsb')
    for seed in range(ROUNDS // 4):
        predictions, answers = texts(seed)
        groups = list(range(len(predictions)))
        for found in score(name, predictions, answers, groups).values():
            assert -100 * correlates <= found <= 100 + 1e-9
    assert np.isnan(list(score(name, [], []).values())).all()


def test_what_differs_on_purpose(t5):
    """docs/evaluation.md gives the reasons."""
    assert score('squad_f1', ['the'], [['a']])['squad_f1'] == 100 and t5.squad([['a']], ['the'])['f1'] == 0
    assert (
        score('accuracy', ['a '], [['a']])['accuracy'] == 100 and t5.accuracy(['a'], ['a '])['accuracy'] == 0
    )
    assert score('pearson', ['1', '1'], [['2'], ['3']])['pearson'] == 0
    assert np.isnan(t5.pearson_corrcoef([2, 3], [1, 1])['pearson_corrcoef'])
    ratings, right = ['2.6', '3.4', '4'], [['3'], ['4'], ['5']]
    assert score('glue_stsb', ratings, right)['spearman'] == pytest.approx(50 * math.sqrt(3))
    assert t5.spearman_corrcoef([3, 4, 5], [2.6, 3.4, 4])['spearman_corrcoef'] == pytest.approx(100)
    assert (
        score('t5_rouge', ['маяк'], [['маяк']])['rouge1'] == 100
        and t5.rouge(['маяк'], ['маяк'])['rouge1'] == 0
    )
    assert (
        score('t5_rouge', ['f r'], [['für']])['rouge1'] == 0 and t5.rouge(['für'], ['f r'])['rouge1'] == 100
    )
    assert score('edit_similarity', ['paris'], [['Paris']])['edit_similarity'] == 80
    assert t5.edit_distance(['Paris'], ['paris'])['mean_edit'] == 0


def test_weighted_correlations_are_those_of_repeated_pairs():
    """SciPy's of each pair as many times as its weight says; ties among them."""
    random = np.random.default_rng(0)
    x, y = random.integers(0, 5, 12) + 1e6, random.normal(size=12)
    weights = random.multinomial(12, np.full(12, 1 / 12), size=20)
    found = correlation.weighted_correlations(x, y, np.concatenate([np.ones((1, 12)), weights]))
    for got, times in zip(found, [np.ones(12, int), *weights], strict=True):
        pairs = np.repeat(x, times), np.repeat(y, times)
        expected = scipy.stats.pearsonr(*pairs).statistic, scipy.stats.spearmanr(*pairs).statistic
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-9)
    assert correlation.weighted_correlations(x, np.ones(12), np.ones((1, 12))).tolist() == [[0.0, 0.0]]
