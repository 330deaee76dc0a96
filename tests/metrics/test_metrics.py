import numpy as np
import pytest
import sacrebleu

from flanlite.metrics import metrics, span_sets, text_overlap
from flanlite.metrics.metric import Metric

pytestmark = pytest.mark.smoke


def score(name, predictions, answers):
    metric = metrics.get_metric(name)
    return metric.scores(metric.counts(predictions, answers).sum(axis=0))


def test_accuracy_counts_any_acceptable_answer():
    assert score('accuracy', ['yes', ' no ', 'maybe'], [['yes'], ['No', 'no'], ['yes']]) == {
        'accuracy': pytest.approx(200 / 3)
    }


def test_f1_of_yes():
    # yes: 1 hit, 3 predicted (a word that is neither class is wrong), 2 right
    found = score(
        'glue_accuracy_f1', ['yes', 'yes', 'no', 'no', 'yellow'], [['yes'], ['no'], ['yes'], ['no'], ['no']]
    )
    assert found == pytest.approx({'accuracy': 40, 'glue_f1': 40})
    assert list(found) == ['accuracy', 'glue_f1']
    assert score('glue_accuracy_f1', ['no'], [['no']]) == {'accuracy': 100, 'glue_f1': 0}


def test_f1a_leads_with_f1():
    found = score('superglue_multirc', ['yes', 'yes', ' yes', 'no'], [['yes'], ['no'], ['yes'], ['no']])
    assert (found['multirc_f1a'], found['accuracy']) == pytest.approx((80, 75))
    assert next(iter(found)) == 'multirc_f1a'


def test_mean_f1_over_classes():
    # yes: 2 of 2 and 2; no: 1 of 2 and 1; unclear: 0 of 0 and 1
    found = score('superglue_cb', ['yes', 'yes', 'no', 'no'], [['yes'], ['yes'], ['no'], ['unclear']])
    assert found == pytest.approx({'accuracy': 75, 'macro_f1': (100 + 200 / 3 + 0) / 3})


@pytest.mark.parametrize(
    ('text', 'squad', 'trivia_qa'),
    [
        ('The  "Cat", an old one!', 'cat old one', 'cat old one'),
        ('rock-n-roll', 'rocknroll', 'rock n roll'),
        ('Rock_n_Roll', 'rocknroll', 'rock n roll'),
        ('the ‘Cat’s´', '‘cat’s´', 'cat s'),
        ('“Cat” a—b', '“cat” —b', '“cat” —b'),
    ],
)
def test_texts_are_normalised_as_the_scripts_of_the_data_sets_do(text, squad, trivia_qa):
    assert text_overlap.normalize_squad(text) == squad
    assert text_overlap.normalize_trivia_qa(text) == trivia_qa


def test_exact_match_by_whose_rule():
    assert score('squad_exact_match', ['The cat.'], [['a CAT']])['squad_exact_match'] == 100
    found = score(
        'trivia_qa_exact_match', ['Rock-n-Roll!', 'rock'], [['jazz', 'rock n roll'], ['rock-n-roll']]
    )
    assert found == {'trivia_qa_exact_match': 50, 'trivia_qa_f1': 75}
    found = score('squad_exact_match', ['Rock-n-Roll!', '“cat”'], [['rock n roll'], ['cat']])
    assert found == {'squad_exact_match': 0, 'squad_f1': 0}
    for said, right in (('A', ''), ('-5', '5'), ('} )', '] ]'), ('the end', 'end')):
        assert score('accuracy', [said], [[right]])['accuracy'] == 0
        assert score('squad_exact_match', [said], [[right]])['squad_exact_match'] == 100


@pytest.mark.parametrize(
    ('prediction', 'answers', 'f1'),
    [
        ('the black cat', ['black cat'], 100),
        ('black cat', ['the cat sat'], 100 * 2 * 1 / 4),  # one shared word of two and two
        ('dog', ['cat', 'a big dog'], 100 * 2 * 1 / 3),  # the best of the answers
        ('', ['cat'], 0),
        ('the', ['a'], 100),  # nothing is left of either
    ],
)
def test_token_f1(prediction, answers, f1):
    assert score('squad_f1', [prediction], [answers])['squad_f1'] == pytest.approx(f1)


def test_rouge_takes_the_best_reference():
    # against 'the cat sat': 2 of 3 words, in order; rouge2: 1 of 2 pairs
    found = score('t5_rouge', ['the cat'], [['a dog', 'the cat sat']])
    assert found == pytest.approx(
        {'rougeLsum': 80, 'rougeL': 80, 'rouge1': 80, 'rouge2': 100 * 2 * 1 * 0.5 / 1.5}
    )


@pytest.mark.parametrize('end', [' . ', ' .\n', '\n'])
def test_rouge_leads_with_sentences_in_any_order(end):
    first, second = 'the old keeper lit the lamp', 'a ship came home at last'
    found = score('t5_rouge', [f'{second}{end}{first} .'], [[f'{first}{end}{second} .']])
    assert next(iter(found)) == 'rougeLsum'
    assert found['rougeLsum'] == found['rouge1'] == 100
    assert found['rougeL'] == 50


@pytest.mark.parametrize(
    ('text', 'tokens'),
    [
        ('Старый маяк.', ['старый', 'маяк']),
        ('المنارة القديمة', ['المنارة', 'القديمة']),
        ('灯台が古い。abc 1', ['灯', '台', 'が', '古', 'い', 'abc', '1']),
        ('이 등대는', ['이', '등대는']),
        ('हिन्दी में', ['हिन्दी', 'में']),
        ('ที่นี่', ['ที่', 'นี่']),
        ('😀❤️!', ['😀', '❤']),
        ('Für_Cafe\u0301', ['für', 'café']),
        ('“it’s” – 5°', ['it', 's', '5']),
    ],
)
def test_rouge_reads_any_script(text, tokens):
    assert text_overlap.RougeTokenizer().tokenize(text) == tokens
    found = score('t5_rouge', [text], [[text]])
    assert (found['rougeLsum'], found['rougeL'], found['rouge1']) == pytest.approx((100, 100, 100))


def test_rouge_does_not_take_a_letter_for_a_blank():
    assert score('t5_rouge', ['f r'], [['für']])['rouge1'] == 0


def test_bleu_of_nothing_shared_is_zero():
    assert score('sacrebleu_intl', ['x y z'], [['a b c']])['sacrebleu_intl'] == 0
    assert score('sacrebleu_intl', ['x y', ''], [[''], ['']])['sacrebleu_intl'] == 0, (
        'as sacrebleu scores empty references'
    )


def test_bleu_counts_the_tokens_of_t5():
    prediction, answer = (
        'Er sagte: „Das Café–Haus kostet 5€“, oder?',
        'Er sagte: „Das Café–Haus kostet 7€“, nicht?',
    )
    found = score('sacrebleu_intl', [prediction], [[answer]])['sacrebleu_intl']
    by_tokens = {
        name: sacrebleu.corpus_bleu([prediction], [[answer]], tokenize=name).score for name in ('intl', '13a')
    }
    assert found == pytest.approx(by_tokens['intl'])
    assert abs(by_tokens['intl'] - by_tokens['13a']) > 10


@pytest.mark.parametrize(
    ('scale', 'offset'), [(1, 1e6), (1e-6, 0), (1e-6, 1), (1e-200, 0), (1e200, 0), (1, -1e9)]
)
@pytest.mark.parametrize('name', ['pearson', 'glue_stsb'])
def test_pearson_of_large_and_small_numbers(name, scale, offset):
    random = np.random.default_rng(0)
    x = random.normal(size=60)
    x, y = offset + scale * x, offset + scale * (x + random.normal(size=60))
    texts, answers = [repr(float(value)) for value in x], [[repr(float(value))] for value in y]
    expected = np.corrcoef((x - offset) / scale, (y - offset) / scale)[0, 1]
    assert score(name, texts, answers)['pearson'] == pytest.approx(100 * expected, abs=1e-6)
    # so are the sums of any examples drawn from them
    metric, drawn = metrics.get_metric(name), random.integers(0, 60, size=60)
    found = metric.scores(metric.counts(texts, answers)[drawn].sum(axis=0))['pearson']
    expected = np.corrcoef((x[drawn] - offset) / scale, (y[drawn] - offset) / scale)[0, 1]
    assert found == pytest.approx(100 * expected, abs=1e-6)
    assert metric.scores(metric.counts(texts, answers)[[3] * 7].sum(axis=0))['pearson'] == 0
    assert score(name, ['0.1'] * 7, answers[:7])['pearson'] == 0


def test_edit_distance():
    assert text_overlap.edit_distance('kitten', 'sitting') == 3
    assert text_overlap.edit_distance('', 'abc') == text_overlap.edit_distance('abc', '') == 3
    assert score('edit_similarity', ['abcd'], [['abxd', 'zzzz']]) == {'edit_similarity': 75.0, 'copied': 0.0}
    assert score('edit_similarity', ['ab', ''], [['ab'], ['cd']]) == {'edit_similarity': 50.0, 'copied': 50.0}


def test_scores_of_subsets_follow_from_sums():
    for metric in metrics.METRICS.values():
        counts = metric.counts(['2', 'the cat sat on it', '5'], [['2'], ['a cat sat on it'], ['4']])
        whole = metric.score(counts.sum(axis=0))
        parts = metric.score(np.stack([counts[:2].sum(axis=0), counts.sum(axis=0)]))
        assert parts.shape == (2, len(metric.names))
        np.testing.assert_allclose(parts[1], whole)
        assert np.isnan(metric.score(np.zeros(counts.shape[1]))).all(), metric.names


def test_bad_names_and_lengths_are_refused():
    with pytest.raises(ValueError, match=r'unknown metric .*accuracy'):
        metrics.get_metric('acuracy')
    with pytest.raises(ValueError, match='2 predictions for 1'):
        metrics.get_metric('squad_f1').counts(['a', 'b'], [['a']])


def test_exact_match_of_whole_groups():
    """Two questions of two answers and one of one: all right, one of two, none; a group's place does not
    matter.
    """
    metric = metrics.get_metric('superglue_multirc')
    predictions, answers = ['yes', 'no', 'no', 'yes', 'no'], [['yes'], ['no'], ['no'], ['no'], ['yes']]
    found = metric.scores(metric.counts(predictions, answers, ['a', 'b', 'a', 'b', 'c']).sum(0))
    assert found == pytest.approx({'multirc_f1a': 50, 'multirc_exact_match': 100 / 3, 'accuracy': 60})
    assert np.isnan(metric.scores(metric.counts(predictions, answers).sum(0))['multirc_exact_match'])
    # of a rule that is right by chance, the chances multiply
    counts = np.zeros((3, 5)) + [0, 0, 0, 0.5, 1]
    assert metric.scores(metric.with_groups(counts, ['a', 'a', 'b']).sum(0))[
        'multirc_exact_match'
    ] == pytest.approx(100 * (0.25 + 0.5) / 2)


def test_only_grouped_metrics_count_groups():
    accuracy = metrics.get_metric('accuracy')
    np.testing.assert_array_equal(accuracy.counts(['a'], [['a']], ['g']), accuracy.counts(['a'], [['a']]))


def test_a_metric_of_ones_own():
    brief = Metric('brief', ('brief', 'right'), lambda said, answers: (len(said) < 3, said in answers, 1))
    assert metrics.get_metric(brief) is brief
    counts = brief.counts(['a', 'abc'], [['b'], ['abc']])
    assert brief.scores(counts.sum(axis=0)) == {'brief': 50, 'right': 50}


@pytest.mark.parametrize(
    ('count', 'said'),
    [
        (
            lambda said, answers: (1 / (len(said) - 1), 1),
            "'odd' fails on the prediction 'a': ZeroDivisionError",
        ),
        (lambda said, answers: (float('nan'), 1), r"'odd' gave \[nan, 1.0\] for the prediction 'a'"),
        (lambda said, answers: 1, "'odd' gave 1.0 for the prediction 'a'; expected a few finite counts"),
        (lambda said, answers: 'no', "'odd' fails on the prediction 'a': ValueError"),
        (lambda said, answers: [1] * len(said), "'odd' gave .*; expected as many for each prediction"),
        (lambda said, answers: (1, 1, 1), "'odd' gave .*; expected the scores odd"),
    ],
)
def test_what_a_metric_of_ones_own_gives_is_checked(count, said):
    odd = Metric('odd', ('odd',), count)
    with pytest.raises(ValueError, match=f'the metric {said}'):
        odd.scores(odd.counts(['a', 'abc'], [['a'], ['b']]).sum(axis=0))


@pytest.mark.parametrize(
    'arguments',
    [('odd', 'odd', len), ('odd', (), len), ('odd', ('a', 'a'), len), ('odd', ('a',), 3), (len, ('a',), len)],
)
def test_a_metric_without_sound_names_is_refused(arguments):
    with pytest.raises(
        ValueError, match=r'expected a (tuple of different texts|name, the names of its scores)'
    ):
        Metric(*arguments)


def test_s1_of_sets_of_spans():
    sets = [('a; b', 'b; c; d'), ('none', 'none'), ('c', 'none'), ('d;e', 'f; g')]
    found = score('span_sets', [given for given, _ in sets], [[right] for _, right in sets])
    assert found == pytest.approx({'s1': 35, 'exact_match': 25}), "the example of CLUES's eval/S1.py"
    assert (
        score('span_sets', ['', 'none;', 'b ;a; b', 'A'], [['none'], ['none'], ['a; b'], ['a']])[
            'exact_match'
        ]
        == 75
    )
    assert score('span_sets', ['b', 'none; b'], [['a; b', 'b; c; d; e', 'none'], ['none']])[
        's1'
    ] == pytest.approx(100 * (2 / 3 + 0) / 2), 'the best over the answers; "none" beside a span is a span'
    assert span_sets.write_spans([' b', 'a', 'b ', '']) == 'b; a' and span_sets.write_spans([]) == 'none'
