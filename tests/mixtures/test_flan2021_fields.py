"""FLAN 2021's fields: what is made of made-up rows, and of real rows where there are any."""

import itertools
import os
import pathlib

import pytest
from flan2021_rows import ROWS, check_example

from flanlite.data.specs import sources
from flanlite.mixtures import flan2021

SPECS = {spec.name: spec for spec in flan2021.COLLECTION.specs}
DATA = pathlib.Path(
    os.environ.get('FLANLITE_DATA_DIR') or pathlib.Path(__file__).parents[3] / 'shared' / 'data'
)
REAL_ROWS = 30


def test_fields_in_detail():
    """Rows are tidied where they need it, and the answer is the right one."""
    texts = {name: SPECS[name].example(row)['texts'] for name, row in ROWS.items()}
    assert texts['sst2']['phrase'] == 'a slow , honest and "quite" moving picture'
    assert texts['imdb_reviews']['review'] == 'I went in expecting little.\n\nI got less.'
    assert texts['yelp_polarity_reviews']['review'] == 'Third time they lost my booking.\nThe "soup" is good.'
    assert (texts['sentiment140']['tweet'], texts['sentiment140']['answer']) == (
        'tea & toast <3 "yes"',
        'positive',
    )
    assert texts['hellaswag']['context'] == 'How to whet a knife Wet the stone. a man'
    assert texts['winogrande']['beginning'] == 'The jug did not fit the shelf as the'
    assert texts['winogrande']['answer'] == 'jug was too tall.'
    assert texts['wsc273']['beginning'] == 'René thanked the miller, because'
    assert texts['wsc273']['answer'] == 'the miller had lent a ladder.'
    assert texts['squad_v1']['title'] == 'Skerry Point'
    assert texts['ag_news_subset']['article'] == 'Oil climbs\nCrude rose by a $1 share.'
    assert texts['e2e_nlg']['attributes'] == 'name = The Lantern, food = English'
    assert texts['web_nlg_en']['triples'] == 'Skerry Light | opened | 1856; Skerry Light | height | 30'
    assert [texts[name]['answer'] for name in ('bool_q', 'stsb', 'trec', 'rte', 'cb', 'cola', 'anli_r1', 'snli', 'wnli')] == [
        'no', '3', 'number', 'yes', 'no', 'unacceptable', 'false', 'cannot tell', 'yes',
    ]  # fmt: skip
    assert texts['samsum']['dialogue'] == 'Edda: got the tickets?\nTom: not yet'
    film = texts['opinion_abstracts_rotten_tomatoes']
    assert (film['reviews'], film['review']) == ('- Two hours of fog.\n- I was "moved".', 'Two hours of fog.')
    assert film['answer'] == 'Slow & fine, The Keeper has mood.'
    assert texts['opinion_abstracts_idebate']['arguments'] == 'Loans frighten them. Fewer came.'
    assert texts['cnn_dailymail']['article'] == ROWS['cnn_dailymail']['article'][:4000].strip()
    assert texts['cnn_dailymail']['answer'] == 'Its hull has a crack .\nNo service before May .'
    assert texts['gigaword'] == {
        'opening': 'the " skerry " ( a ferry ) is out of service .',
        'answer': '" skerry " laid up',
    }
    second = ('Islanders are angry.' + ' They had warned.' * 200)[:1500].strip()
    assert texts['multi_news']['sources'] == f'The ferry is out of service.\n\n{second}'
    assert texts['multi_news']['answer'] == 'The Skerry ferry is laid up.'
    assert texts['common_gen']['concepts'] == 'net, man, mend'
    assert texts['true_case'] == {
        'lowercase': 'the ferry to ærø leaves on mondays.',
        'answer': 'The Ferry to Ærø leaves on Mondays.',
    }
    assert texts['fix_punct']['bare'] == "If it isn't mended by May she said there's no ferry for 3.5 weeks"
    assert texts['fix_punct']['answer'] == ROWS['fix_punct']['en'].strip()
    assert texts['word_segment'] == {
        'joined': 'TheferryleavesonMondays.',
        'answer': 'The ferry leaves on Mondays.',
    }
    assert (texts['quac']['context'][-11:], texts['quac']['answer']) == ('on her own.', 'unknown')
    assert texts['coqa']['questions'] == '1. Whom did Edda meet?\n2. Where?'
    assert texts['coqa']['answer'] == '1. a pedlar\n2. at the ford'
    assert texts['squad_v2']['answer'] == texts['squad_v2']['no_answer'] == 'unanswerable'
    assert texts['story_cloze']['answer'] == 'It tasted vile.'
    assert texts['paws_wiki']['sentence1'] == 'Ann calls it " the Bell " .'
    assert (
        texts['record']['passage']
        == 'Ida Harrow has left the council of Skerry. Jon Tolland thanked her. A seat is empty.'
    )
    assert texts['record']['query'] == 'On Friday _____ gave a speech.'
    assert texts['wmt16_translate_ruen'] == {
        'english': 'The museum opens at ten.',
        'answer': 'Музей открывается в десять.',
    }


def test_ten_opinions_are_shown():
    """As in FLAN: the first ten reviews, or arguments, that are not empty."""
    many = {'key': [], 'value': ['', *(f'No. {number}.' for number in range(12))]}
    film, debate = (
        SPECS[name].example({**ROWS[name], field: many})['texts']
        for name, field in (
            ('opinion_abstracts_rotten_tomatoes', '_critics'),
            ('opinion_abstracts_idebate', '_argument_sentences'),
        )
    )
    assert film['reviews'] == '\n'.join(f'- No. {number}.' for number in range(10))
    assert debate['arguments'] == ' '.join(f'No. {number}.' for number in range(10))


def test_answers_that_count():
    """All names of an answer are right; a question that has an answer is not unanswerable."""
    answerable = {**ROWS['squad_v2'], 'answers': ROWS['squad_v1']['answers'], 'is_impossible': False}
    for name, row, answers in (
        ('natural_questions', ROWS['natural_questions'], ('Agnes Tolland', 'A. Tolland')),
        ('trivia_qa', ROWS['trivia_qa'], ('Agnes Tolland', 'Tolland', 'Agnes Maud Tolland')),
        ('drop', ROWS['drop'], ('15', '15', 'fifteen')),
        ('record', ROWS['record'], ('Jon Tolland', 'Tolland')),
        ('quac', ROWS['quac'], ('unknown', 'on her own')),
        ('common_gen', ROWS['common_gen'], ('A man mends a net.', 'The net was mended by a man.')),
        ('common_gen', {**ROWS['common_gen'], 'references': []}, ('A man mends a net.',)),
        ('squad_v2', ROWS['squad_v2'], ('unanswerable',)),
        ('squad_v2', answerable, ('granite', 'granite')),
    ):
        example = SPECS[name].example(row)
        assert (example['answers'], example['texts']['answer']) == (answers, answers[0])


def test_answers_of_a_question_are_a_group():
    other = {**ROWS['multirc'], 'answer': 'Nobody', 'label': 0}
    groups = [
        SPECS['multirc'].example(row)['group']
        for row in (ROWS['multirc'], other, {**other, 'question': 'Who is Edda?'})
    ]
    assert groups[0] == groups[1] != groups[2]
    assert SPECS['rte'].example(ROWS['rte'])['group'] == ''


def test_rows_that_are_left_out():
    """Unlabelled, neutral, malformed and empty rows are dropped."""
    for name, change in (
        ('snli', {'label': -1}),
        ('sentiment140', {'polarity': 2}),
        ('winogrande', {'sentence': 'There is no gap here.'}),
        ('arc_easy', {'choices': {'text': ['a', 'b', 'c'], 'label': [0, 1, 2]}}),
        ('aeslc', {'subject_line': ' \n'}),
        ('drop', {'answer': ''}),
        ('record', {'answers': []}),
        ('glue_qqp', {'question2': ' '}),
        ('story_cloze', {'label': -1}),
        ('wmt14_enfr', {'fr': '\n'}),
        ('gigaword', {'document': 'the UNK sank .'}),
        ('gigaword', {'summary': '## saved'}),
        ('xsum', {'document': ''}),
        ('newsroom', {'title': ''}),
        ('multi_news', {'document': '||||| |||||'}),
        ('opinion_abstracts_rotten_tomatoes', {'_critics': {'key': ['1'], 'value': ['']}}),
        ('opinion_abstracts_idebate', {'_claim': ''}),
        ('common_gen', {'target': ''}),
        ('true_case', {'en': 'all small .'}),
        ('fix_punct', {'en': 'No marks here'}),
        ('fix_punct', {'en': '"...!"'}),
        ('word_segment', {'en': 'Word.'}),
        ('coqa', {'questions': []}),
    ):
        assert SPECS[name].example({**ROWS[name], **change}) is None, name


@pytest.mark.skipif(not DATA.is_dir(), reason=f'no real data: set FLANLITE_DATA_DIR (looked in {DATA})')
@pytest.mark.parametrize('name', SPECS)
def test_real_rows(name):
    """The first rows of every split that the data folder has render with every template."""
    source = sources.prefer_data_folder(SPECS[name].source, DATA)
    if not isinstance(source, sources.JsonLines):
        pytest.skip(f'{DATA} has no {name}')
    for split in source.files():
        used = [check_example(SPECS[name], row) for row in itertools.islice(source.read(split), REAL_ROWS)]
        assert any(used), f'{name}: all of the first {REAL_ROWS} rows of {split} were dropped'
