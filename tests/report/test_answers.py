"""What a page says of a data set's answers, computed a second time: confusion, calibration, questions."""

import gzip
import json
import math

import numpy as np
import pytest
from sklearn import metrics as reference

from flanlite.report import answers, predictions

WORDS = ('yes', 'no', 'maybe')
RNG = np.random.default_rng(5)


def record(row, template=0, options=WORDS, **fields):
    """A question with random log-probabilities, answered by the best option."""
    scores = RNG.normal(-3, 2, len(options)).tolist()
    said, true = options[int(np.argmax(scores))], options[row % len(options)]
    asked = {
        'row': row,
        'template': template,
        'inputs': f'{row}?',
        'options': list(options),
        'answers': [true],
    }
    return (
        asked
        | {'prediction': said, 'scores': scores, 'values': {'accuracy': 100.0 * (said == true)}}
        | fields
    )


def test_confusion_is_scikit_learns():
    records = [record(row, template) for row in range(60) for template in range(3)]
    found = answers.of(records)
    pairs = [(each['answers'][0], each['prediction']) for each in records]
    expected = reference.confusion_matrix(*zip(*pairs, strict=True), labels=list(WORDS))
    assert found.classes == WORDS and not found.by_place
    np.testing.assert_array_equal(found.confusion, expected)
    assert (found.asked, found.right) == (180, np.trace(expected))


def test_calibration_by_hand():
    records = [record(row) for row in range(200)]
    found = answers.of(records)
    p_NK = np.exp([each['scores'] for each in records])
    p_NK /= p_NK.sum(axis=1, keepdims=True)
    true_NK = np.eye(3)[[WORDS.index(each['answers'][0]) for each in records]]
    best = p_NK.argmax(axis=1)
    confident, right = p_NK.max(axis=1), true_NK[np.arange(200), best]
    gaps = 0.0
    for low in np.arange(15) / 15:
        own = (confident >= low) & (confident < low + 1 / 15)
        gaps += abs(confident[own].sum() - right[own].sum()) if own.any() else 0.0
    assert found.calibration_error == pytest.approx(100 * gaps / 200)
    # Of three options, one right, the squared error over all of them is that over the right and each wrong.
    assert found.brier == pytest.approx(np.square(p_NK - true_NK).sum(axis=1).mean())
    assert found.confidence == pytest.approx(100 * confident.mean())


def test_options_of_their_own_are_compared_by_place():
    records = [record(row, options=(f'a{row}', f'b{row}')) for row in range(40)]
    found = answers.of(records)
    assert found.by_place and found.classes == ('option 1', 'option 2')
    places = [
        [each['options'].index(text) for text in (each['answers'][0], each['prediction'])] for each in records
    ]
    np.testing.assert_array_equal(found.confusion, reference.confusion_matrix(*zip(*places, strict=True)))
    many = tuple(f'c{place}' for place in range(40))
    assert answers.of([record(row, options=many) for row in range(3)]).classes == ()


def test_several_right_answers_and_written_ones():
    two = record(0, answers=['yes', 'no'], prediction='no', scores=[-1.0, -0.5, -9.0])
    found = answers.of([two])
    assert found.confusion[1, 1] == 1 and found.confusion.sum() == 1, (
        'the answer given is one of the right ones'
    )
    assert found.bins.sum(axis=0)[1] == 1 and found.brier < 1e-6, 'right options are one outcome'
    # Of graded ones the option that is worth most is the right one.
    worth = ['["yes", 1]', '["no", 0.25]']
    for said, scores, place in (('yes', [-0.1, -3.0, -4.0], 0), ('no', [-3.0, -0.1, -4.0], 1)):
        graded = record(0, answers=worth, prediction=said, scores=scores, values={'multiple_choice_grade': 100.0})
        found = answers.of([graded])
        assert found.confusion[0, place] == 1 and found.confusion.sum() == 1
        p_K = np.exp(scores) / np.exp(scores).sum()
        assert found.calibration_error == pytest.approx(100 * abs(p_K[place] - (1, 0.25)[place]))
        assert found.brier == pytest.approx(np.square(p_K - [1, 0, 0]).sum())
    assert answers.told_answers(graded) == ['yes (1)', 'no (0.25)'] and answers.right_answers(graded) == ['yes']
    written = [
        {'row': 0, 'template': 0, 'inputs': 'a', 'answers': ['cat'], 'prediction': 'well, cat', 'extracted': 'cat', 'values': {'f1': 100.0}},
        {'row': 1, 'template': 0, 'inputs': 'b', 'answers': ['dog'], 'prediction': 'a cow', 'values': {'f1': 20.0}},
        {'row': 2, 'template': 0, 'inputs': 'c', 'answers': ['dog'], 'prediction': None},
    ]  # fmt: skip
    found = answers.of(written)
    assert found.classes == ('cat', 'dog', answers.OTHER) and found.confusion.tolist() == [
        [1, 0, 0],
        [0, 0, 1],
        [0, 0, 0],
    ]
    assert found.right == 1 and not found.ranked and math.isnan(found.calibration_error)
    assert not answers.of([]).questions and not answers.of([record(0, scores=[None, 1.0, 2.0])]).ranked


@pytest.mark.parametrize(('rows', 'templates'), [(7, 3), (200, 10), (1, 1), (3, 50)])
def test_questions_are_taken_evenly_and_alike(rows, templates):
    def ask():
        return answers.of([record(row, template) for row in range(rows) for template in range(templates)])

    one, other = ask().questions, ask().questions
    assert list(one) == list(other) and len(one) == min(answers.QUESTIONS, rows * templates)
    counts = np.bincount([key.row for key in one], minlength=rows)
    assert counts.max() - counts.min() <= 1
    assert {key.template for key in one} == set(range(templates)) or templates > len(one) or rows == 3


def test_a_file_that_is_none_is_named(tmp_path):
    path = tmp_path / 'predictions' / 'a.jsonl.gz'
    path.parent.mkdir()
    whole = gzip.compress(''.join(json.dumps(record(row)) + '\n' for row in range(50)).encode())
    for content in (
        b'',
        b'no gzip',
        whole[: len(whole) // 2],
        gzip.compress(b'{"row": 1}\n'),
        gzip.compress(b'[1]\n'),
        gzip.compress(b'\xff'),
    ):
        path.write_bytes(content)
        if content:
            with pytest.raises(ValueError, match=r'a\.jsonl\.gz'):
                answers.read(path)
    for changed, told in (
        ({'row': 'a'}, 'has "row" \'a\'; expected a whole number'),
        ({'template': 1.5}, '"template" 1.5; expected a whole number or null'),
        ({'inputs': 5}, '"inputs" 5'),
        ({'answers': 'yes'}, '"answers" \'yes\'; expected a list of texts'),
        ({'options': None}, '"options" None'),
        ({'prediction': ['yes']}, '"prediction"'),
        ({'scores': [-1.0]}, 'has 1 "scores"; expected one for each of "options"'),
        ({'scores': ['a', -1.0, None]}, '"scores"'),
        ({'values': {'accuracy': '9'}}, '"values" {.*}; expected numbers by the names of scores'),
    ):
        lines = [record(0), record(1) | changed]
        path.write_bytes(gzip.compress('\n'.join(map(json.dumps, lines)).encode()))
        with pytest.raises(ValueError, match=rf'a\.jsonl\.gz holds .*\(line 2 .*{told}.*; remove the folder'):
            answers.read(path)
    path.write_bytes(whole)
    assert answers.read(path).asked == 50 and len(list(predictions.read(path))) == 50
