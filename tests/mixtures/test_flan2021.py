"""FLAN 2021: every template of every data set, on made-up rows in TFDS's shapes, in TensorFlow, and on real rows where there are any."""

import dataclasses
import itertools
import os
import pathlib
import re

import pytest

from flanlite import catalogue
from flanlite.data import clusters, sources, templates, vocabularies
from flanlite.eval import metrics
from flanlite.mixtures import flan2021

SPECS = {spec.name: spec for spec in flan2021.COLLECTION.specs}
DATA = pathlib.Path(os.environ.get('FLANLITE_DATA_DIR') or pathlib.Path(__file__).parents[3] / 'shared' / 'data')
EMPTY_FIELDS = {'title', 'activity'}  # what some rows of the data lack
REAL_ROWS = 30

CLUSTERS = {
    'summarization': [
        'aeslc',
        'cnn_dailymail',
        'gigaword',
        'multi_news',
        'newsroom',
        'samsum',
        'xsum',
        'ag_news_subset',
        'opinion_abstracts_rotten_tomatoes',
        'opinion_abstracts_idebate',
        'wiki_lingua_english_en',
    ],
    'struct_to_text': ['web_nlg_en', 'common_gen', 'e2e_nlg', 'dart'],
    'reading_comprehension': ['squad_v1', 'squad_v2', 'drop', 'multirc', 'openbookqa', 'bool_q'],
    'closed_book_qa': ['trivia_qa', 'natural_questions', 'arc_challenge', 'arc_easy'],
    'paraphrase': ['glue_mrpc', 'glue_qqp', 'paws_wiki', 'stsb'],
    'sentiment': ['imdb_reviews', 'sentiment140', 'yelp_polarity_reviews', 'sst2'],
    'text_formatting': ['true_case', 'fix_punct', 'word_segment'],
    'commonsense': ['copa', 'hellaswag', 'story_cloze', 'piqa'],
    'translation': [
        'para_crawl_enes',
        'wmt14_enfr',
        'wmt16_translate_deen',
        'wmt16_translate_tren',
        'wmt16_translate_csen',
        'wmt16_translate_fien',
        'wmt16_translate_roen',
        'wmt16_translate_ruen',
    ],
    'coreference': ['definite_pronoun_resolution', 'winogrande', 'wsc', 'wsc273'],
    'nli': ['anli_r1', 'anli_r2', 'anli_r3', 'cb', 'rte', 'mnli_matched', 'mnli_mismatched', 'qnli', 'wnli', 'snli'],
    'math': ['math_dataset'],
    'conversational_qa': ['quac', 'coqa'],
    'word_sense': ['wic'],
    'linguistic_acceptability': ['cola'],
    'question_classification': ['trec'],
    'reading_comprehension_commonsense': ['record', 'cosmos_qa'],
}
FAMILIES = {
    'anli': {'anli_r1', 'anli_r2', 'anli_r3'},
    'mnli': {'mnli_matched', 'mnli_mismatched'},
    'arc': {'arc_challenge', 'arc_easy'},
    'squad': {'squad_v1', 'squad_v2'},
    'opinion_abstracts': {'opinion_abstracts_rotten_tomatoes', 'opinion_abstracts_idebate'},
}

NLI = {'premise': 'The ferry does not run in winter.', 'hypothesis': 'In winter there is no ferry.', 'idx': 3, 'label': 0}
ANLI = {'uid': 'a1', 'context': 'The Harrow Bell is a weekly. Two brothers founded it.', 'hypothesis': 'It is a daily.', 'label': 2}
ARC = {
    'id': 'q1',
    'question': 'Which of these carries sap to the leaves?',
    'choices': {'text': ['bark', 'wood', 'pollen', 'fruit'], 'label': [0, 1, 2, 3]},
    'answerKey': 1,
}
GLUE_PAIR = {'sentence1': 'The hall closes on Monday.', 'sentence2': 'On Monday the hall shuts.', 'idx': 5, 'label': 1}
ROWS = {
    'anli_r1': ANLI,
    'anli_r2': ANLI,
    'anli_r3': ANLI,
    'cb': {'premise': "A: Nobody walks it. B: ``I doubt that the path is there,'' he said.", 'hypothesis': 'the path is there', 'label': 1},
    'rte': NLI,
    'mnli_matched': NLI,
    'mnli_mismatched': NLI,
    'qnli': {'question': 'When did the tower lose its roof?', 'sentence': 'It was begun in 1420.', 'idx': 1, 'label': 1},
    'wnli': GLUE_PAIR,
    'snli': {'premise': 'A man is mending a net.', 'hypothesis': 'He waits for his son.', 'label': 1},
    'sst2': {'sentence': "a slow , honest and ``quite'' moving picture ", 'idx': 2, 'label': 1},
    'imdb_reviews': {'text': 'I went in expecting little.<br /><br />I got less.', 'label': 0},
    'yelp_polarity_reviews': {'text': 'Third time they lost my booking.\\nThe \\"soup\\" is good.', 'label': 0},
    'sentiment140': {'polarity': 4, 'date': 'Mon', 'query': 'tea', 'user': 'someone', 'text': 'tea &amp; toast &lt;3 &quot;yes&quot; '},
    'glue_mrpc': GLUE_PAIR,
    'glue_qqp': {'question1': 'How do I shell peas? ', 'question2': 'Is there a knack to shelling peas?', 'idx': 5, 'label': 1},
    'paws_wiki': {'sentence1': "Ann calls it `` the Bell '' .", 'sentence2': "It calls Ann `` the Bell '' .", 'label': 0},
    'stsb': {**GLUE_PAIR, 'label': 3.4},
    'copa': {'premise': 'The candle went out.', 'choice1': 'A window was open.', 'choice2': 'It rang.', 'question': 'cause', 'label': 0},
    'hellaswag': {
        'context': '[header] How to whet a knife [title] Wet the stone. a man',
        'endings': ['draws the blade.', '[step] He runs.', 'eats it.', 'sings to it.'],
        'activity_label': 'Whetting knives',
        'label': 0,
        'split_type': 'indomain',
        'source_id': 'wikihow~1',
    },
    'piqa': {'id': '1', 'goal': 'To get gum out of a shirt,', 'sol1': 'freeze the shirt.', 'sol2': 'warm the shirt.', 'label': 0},
    'story_cloze': {'context': 'Tom took salt for sugar. The cake rose.', 'endings': ['It tasted vile. ', 'He sold it.'], 'label': 1},
    'arc_challenge': ARC,
    'arc_easy': ARC,
    'natural_questions': {'question': 'who built the lighthouse', 'answer': ['Agnes Tolland', 'A. Tolland']},
    'trivia_qa': {
        'question': 'Which Skerry keeper wrote a novel?',
        'question_id': 't1',
        'question_source': 'quiz',
        'answer': {
            'aliases': ['Tolland', 'Agnes Maud Tolland'],
            'normalized_aliases': ['tolland'],
            'value': 'Agnes Tolland',
            'normalized_value': 'agnes tolland',
        },
    },
    'definite_pronoun_resolution': {
        'sentence': 'The shepherds called the dogs because they were about to leave.',
        'pronoun': 'they',
        'candidates': ['The shepherds', 'the dogs'],
        'label': 0,
    },
    'winogrande': {'sentence': 'The jug did not fit the shelf as the _ was too tall.', 'option1': 'jug', 'option2': 'shelf', 'label': 0},
    'wsc': {
        'text': 'Ann thanked the miller, because he had lent a ladder.',
        'span1_text': 'the miller',
        'span2_text': 'he',
        'span1_index': 2,
        'span2_index': 5,
        'idx': 4,
        'label': 1,
    },
    'wsc273': {
        'text': 'René thanked the miller, because he had lent a ladder.',
        'pronoun_text': 'he',
        'pronoun_start': 33,
        'pronoun_end': 35,
        'option1': 'René',
        'option2': 'The miller',
        'option1_normalized': 'René',
        'option2_normalized': 'the miller',
        'label': 1,
        'idx': 0,
    },
    'bool_q': {'question': 'can you go up the lighthouse', 'passage': 'It is closed.', 'title': 'Skerry Point', 'answer': False},
    'multirc': {
        'paragraph': ' At the ford Edda met a pedlar. ',
        'question': 'Who met Edda?',
        'answer': 'A pedlar',
        'idx': {'paragraph': 0, 'question': 0, 'answer': 1},
        'label': 1,
    },
    'openbookqa': {
        'question': {
            'stem': 'A stone in the sun will be',
            'choice_A': 'damp',
            'choice_B': 'warm',
            'choice_C': 'light',
            'choice_D': 'magnetic',
        },
        'answerKey': 1,
    },
    'squad_v1': {
        'id': 's1',
        'title': 'Skerry_Point',
        'context': 'The present tower, of granite, dates from 1856.',
        'question': 'What is the tower made of?',
        'answers': {'text': ['granite', 'granite'], 'answer_start': [22, 22]},
    },
    'squad_v2': {
        'id': 's2',
        'title': 'Skerry_Point',
        'context': 'The present tower, of granite, dates from 1856.',
        'question': 'What was the first tower made of?',
        'answers': {'text': [], 'answer_start': []},
        'plausible_answers': {'text': ['granite'], 'answer_start': [22]},
        'is_impossible': True,
    },
    'drop': {
        'passage': 'The fleet lost 11 boats, and 4 more in the spring.',
        'question': ' How many boats were lost in all?',
        'answer': '15',
        'validated_answers': ['15', '', 'fifteen'],
        'query_id': 'd1',
    },
    'record': {
        'passage': 'Ida Harrow has left the council of Skerry\n@highlight\nJon Tolland thanked her.\n@highlight\nA seat is empty ',
        'query': 'On Friday @placeholder gave a speech.',
        'entities': ['Ida Harrow', 'Jon Tolland', 'Skerry', 'Tolland'],
        'answers': ['Jon Tolland', 'Tolland'],
        'idx': {'passage': 3, 'query': 1},
    },
    'cosmos_qa': {
        'id': 'c1',
        'context': 'I had packed for six , and there were two of us .',
        'question': 'Why was food left over ?',
        'answer0': 'Most did not come .',
        'answer1': 'The dog does not eat .',
        'answer2': 'The lake was closed .',
        'answer3': 'None of the above choices .',
        'label': 0,
    },
    'wic': {'word': 'bank', 'sentence1': 'They moored at the bank.', 'sentence2': 'Willows lined the bank.', 'idx': 1, 'label': 1},
    'cola': {'sentence': 'Whose did you borrow bicycle?', 'idx': 1, 'label': 0},
    'trec': {'label-coarse': 4, 'label-fine': 8, 'text': "How tall is the ``Great Light'' ?"},
    'aeslc': {'email_body': ' The room is being painted.\nWe meet in the canteen.', 'subject_line': 'Meeting moved '},
    'ag_news_subset': {'title': 'Oil climbs', 'description': 'Crude rose\\by a  #36;1 &lt;A HREF="x"&gt;share&lt;/A&gt;.', 'label': 2},
    'samsum': {'id': '1', 'dialogue': 'Edda: got the tickets?\r\nTom: not yet', 'summary': 'Tom has no tickets yet. '},
    'opinion_abstracts_rotten_tomatoes': {
        '_movie_name': 'The Keeper',
        '_movie_id': 'm/keeper',
        '_critic_consensus': ' Slow &amp; fine, <em>The Keeper</em> has mood.',
        '_critics': {'key': ['1', '2', '3'], 'value': ['Two hours of fog.', '', 'I was &quot;moved&quot;.']},
    },
    'opinion_abstracts_idebate': {
        '_debate_name': 'This House would abolish fees',
        '_claim_id': 'c1',
        '_claim': 'Fees keep the poor away.',
        '_argument_sentences': {'key': ['0', '1'], 'value': ['Loans frighten them.', 'Fewer came.']},
    },
    'wiki_lingua_english_en': {
        'gem_id': 'w1',
        'gem_parent_id': 'w1',
        'source': ' Salt draws water out. A wide jar is easier to fill.',
        'target': 'Salt the cabbage. Press it into a jar.',
        'source_aligned': {'en': ''},
        'target_aligned': {'en': ''},
        'references': [],
    },
    'cnn_dailymail': {
        'article': 'The ferry will be out of service until May. ' * 200,
        'highlights': 'Its hull has a crack .\nNo service before May . ',
        'publisher': 'cnn',
        'id': 'a1',
    },
    'gigaword': {'document': "the `` skerry '' -lrb- a ferry -rrb- is out of service .", 'summary': "`` skerry '' laid up"},
    'multi_news': {
        'document': 'The ferry is out of service. \n ||||| Islanders are angry.' + ' They had warned.' * 200 + ' |||||',
        'summary': '– The Skerry ferry is laid up.',
    },
    'newsroom': {
        'text': 'For eleven winters she climbed the steps. ',
        'summary': 'A light that one woman would not leave alone.',
        'title': 'The last keeper',
        'url': '',
        'date': '',
        'density_bin': 'low',
        'coverage_bin': 'low',
        'compression_bin': 'low',
        'density': 0.5,
        'coverage': 0.5,
        'compression': 2.0,
    },
    'xsum': {'document': 'It was found on Monday.\nThe mail comes by helicopter.', 'summary': 'The ferry is laid up.', 'id': '1'},
    'common_gen': {
        'gem_id': 'c1',
        'gem_parent_id': 'c1',
        'concept_set_id': 1,
        'concepts': ['net', 'man', 'mend'],
        'target': 'A man mends a net.',
        'references': ['A man mends a net.', 'The net was mended by a man.'],
    },
    'true_case': {'en': 'The Ferry  to Ærø leaves\ton Mondays. ', 'da': ''},
    'fix_punct': {'en': '"If it isn\'t mended (by May)," she said, "there\'s no ferry for 3.5 weeks!" ', 'da': ''},
    'word_segment': {'en': 'The ferry  leaves on Mondays.', 'da': ''},
    'math_dataset': {'question': 'Solve 14*k - 3 = 9*k - 18 for k.', 'answer': '-3'},
    'quac': {
        'context': 'In 1955 she came to Skerry Point. She kept the light on her own. CANNOTANSWER',
        'followup': 'y',
        'yesno': 'x',
        'question': 'Was she paid?',
        'answers': {'text': ['CANNOTANSWER', 'on her own'], 'answer_start': [64, 52]},
        'orig_answer': {'text': 'CANNOTANSWER', 'answer_start': 64},
        'section_title': 'At Skerry Point',
        'background': 'Agnes Tolland was a lighthouse keeper. CANNOTANSWER',
        'title': 'Agnes Tolland',
    },
    'coqa': {
        'source': 'mctest',
        'story': 'At the ford Edda met a pedlar. ',
        'questions': ['Whom did Edda meet?', 'Where?'],
        'answers': {'input_text': ['a pedlar', 'at the ford'], 'answer_start': [21, 0], 'answer_end': [29, 11]},
    },
    'e2e_nlg': {'meaning_representation': 'name[The Lantern], food[English]', 'target': 'The Lantern is English.', 'references': []},
    'web_nlg_en': {
        'input': ['Skerry_Light | opened | "1856"', 'Skerry_Light | height | 30'],
        'category': 'Building',
        'webnlg_id': 'Id1',
        'target': 'Opened in 1856, the light is 30 high.',
        'references': ['Opened in 1856, the light is 30 high.', 'The light is 30 high and opened in 1856.'],
    },
    'dart': {
        'dart_id': 1,
        'tripleset': ['Northern League | CHAMPION | Skerry United'],
        'subtree_was_extended': False,
        'target_sources': ['e2e'],
        'target': 'Skerry United is the champion.',
        'references': [],
    },
}

for name, code, sentence in (
    ('para_crawl_enes', 'es', 'El museo abre a las diez.'),
    ('wmt14_enfr', 'fr', 'Le musée ouvre à dix heures.'),
    ('wmt16_translate_deen', 'de', 'Das Museum öffnet um zehn.'),
    ('wmt16_translate_tren', 'tr', 'Müze saat onda açılıyor.'),
    ('wmt16_translate_csen', 'cs', 'Muzeum otevírá v deset.'),
    ('wmt16_translate_fien', 'fi', 'Museo aukeaa kymmeneltä.'),
    ('wmt16_translate_roen', 'ro', 'Muzeul se deschide la ora zece.'),
    ('wmt16_translate_ruen', 'ru', 'Музей открывается в десять.'),
):
    ROWS[name] = {'en': 'The museum opens at ten.\n', code: f' {sentence}'}


def words(text):
    """Split a text into its words, in small letters."""
    return re.findall(r'\w+', text.lower())


def check_example(spec, row):
    """Render every template of every style on a row and check the outcome."""
    example = spec.example(row)
    if example is None:
        return None
    texts, options, answers = example['texts'], example['options'], example['answers']
    empty = [name for name, value in texts.items() if not value.strip() and name not in EMPTY_FIELDS]
    assert not empty, f'{spec.name}: the fields {empty} are empty in {row}'
    assert texts['answer'] in answers
    if options:
        assert texts['answer'] in options
    for style in ('instructions', 'baseline', 'fields'):
        for template in spec.style_templates(style):
            inputs = templates.fill(template.inputs, texts)
            assert inputs.strip() and templates.fill(template.targets, texts).strip()
            if options and '{options_}' in template.inputs:
                assert templates.options_block(options) in inputs
    return example


def test_clusters_and_caps():
    """The collection has FLAN's names in FLAN's clusters, and FLAN's caps."""
    assert {cluster: [spec.name for spec in SPECS.values() if spec.cluster == cluster] for cluster in CLUSTERS} == CLUSTERS
    assert len(SPECS) == sum(map(len, CLUSTERS.values()))
    assert set(flan2021.COLLECTION.clusters()) == set(CLUSTERS) <= set(clusters.CLUSTERS)
    assert (flan2021.COLLECTION.max_examples, flan2021.COLLECTION.max_rate) == (30_000, 3_000)
    assert flan2021.COLLECTION.vocabulary == 't5'


def test_families_and_lineage():
    """What belongs together says so, and what shares text with another cluster names the corpus."""
    families = {family: {name for name, spec in SPECS.items() if spec.family == family} for family in FAMILIES}
    assert families == FAMILIES
    for one, other in (
        ('qnli', 'squad_v1'),
        ('wnli', 'wsc273'),
        ('wnli', 'wsc'),
        ('web_nlg_en', 'dart'),
        ('anli_r3', 'hellaswag'),
        ('anli_r3', 'story_cloze'),
        ('sst2', 'opinion_abstracts_rotten_tomatoes'),
        ('hellaswag', 'wiki_lingua_english_en'),
        ('coqa', 'cnn_dailymail'),
        ('snli', 'common_gen'),
        ('mnli_matched', 'common_gen'),
        ('record', 'cnn_dailymail'),
    ):
        assert set(SPECS[one].lineage) & set(SPECS[other].lineage), (one, other)


@pytest.mark.parametrize('name', SPECS)
def test_spec(name):
    """A data set is whole: ten sound templates, plain prompts, and a made-up row that every one of them renders."""
    spec = SPECS[name]
    example = check_example(spec, ROWS[name])
    assert example is not None
    assert not list(templates.lint(spec.templates, tuple(example['texts'])))
    assert 2 <= len(spec.baselines) <= 3
    assert not list(templates.lint(spec.baselines, tuple(example['texts']), count=len(spec.baselines)))
    assert spec.metric in metrics.METRICS
    assert spec.lineage and spec.licence and spec.link.startswith('http')
    assert not any('{options_}' in template.inputs for template in spec.baselines)
    if example['options']:
        forward = [template for template in spec.templates if not template.inverted]
        assert sum('{options_}' in template.inputs for template in forward) > len(forward) / 2


@pytest.mark.parametrize('name', [name for name, spec in SPECS.items() if spec.options and spec.options[0].isalpha()])
def test_wording_favours_no_option(name):
    """Where a template's own words name the options, they name them all."""
    spec = SPECS[name]
    for template in spec.templates:
        literal = words(' '.join(literal for literal, _ in templates.parse(template.inputs)))
        named = [option for option in spec.options if f' {" ".join(words(option))} ' in f' {" ".join(literal)} ']
        assert len(named) in (0, len(spec.options)), f'{name}: {template.inputs!r} names only {named}'


def test_templates_differ_across_data_sets():
    """No data set borrows a wording of another; only the members of a family share theirs."""
    seen = {}
    for spec in SPECS.values():
        for template in spec.templates:
            wording = ' '.join(words(re.sub(r'{\w+}', '', template.inputs)))
            if len(wording.split()) > 3:
                owner = seen.setdefault(wording, spec.family or spec.name)
                assert owner == (spec.family or spec.name), f'{spec.name} and {owner} share {template.inputs!r}'


def test_t5_can_read_the_templates():
    """T5's vocabulary has all that the templates are written with."""
    try:
        vocabulary = vocabularies.load('t5' if os.environ.get('FLANLITE_T5_VOCAB') else str(DATA / 'vocab' / 't5_sentencepiece.model'))
    except (ValueError, OSError):
        pytest.skip("T5's vocabulary is not at hand; set FLANLITE_T5_VOCAB")
    for spec in SPECS.values():
        for template in spec.templates + spec.baselines:
            for text in (template.inputs, template.targets):
                literal = ' '.join(literal for literal, _ in templates.parse(text))
                assert vocabulary.unk_id not in vocabulary.encode(literal), f'{spec.name}: {text!r}'


def test_lint_of_the_collection(monkeypatch):
    """The lint of all templates finds nothing; where rows are at hand, it looks at those too, and a data set may lack some splits."""
    if DATA.is_dir():
        monkeypatch.setenv('FLANLITE_DATA_DIR', str(DATA))
    assert catalogue.lint('flan2021') == 0


def test_fields_in_detail():
    """Rows are tidied where they need it, and the answer is the right one."""
    texts = {name: SPECS[name].example(row)['texts'] for name, row in ROWS.items()}
    assert texts['sst2']['phrase'] == 'a slow , honest and "quite" moving picture'
    assert texts['imdb_reviews']['review'] == 'I went in expecting little.\n\nI got less.'
    assert texts['yelp_polarity_reviews']['review'] == 'Third time they lost my booking.\nThe "soup" is good.'
    assert (texts['sentiment140']['tweet'], texts['sentiment140']['answer']) == ('tea & toast <3 "yes"', 'positive')
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
    assert texts['gigaword'] == {'opening': 'the " skerry " ( a ferry ) is out of service .', 'answer': '" skerry " laid up'}
    second = ('Islanders are angry.' + ' They had warned.' * 200)[:1500].strip()
    assert texts['multi_news']['sources'] == f'The ferry is out of service.\n\n{second}'
    assert texts['multi_news']['answer'] == 'The Skerry ferry is laid up.'
    assert texts['common_gen']['concepts'] == 'net, man, mend'
    assert texts['true_case'] == {'lowercase': 'the ferry to ærø leaves on mondays.', 'answer': 'The Ferry to Ærø leaves on Mondays.'}
    assert texts['fix_punct']['bare'] == "If it isn't mended by May she said there's no ferry for 3.5 weeks"
    assert texts['fix_punct']['answer'] == ROWS['fix_punct']['en'].strip()
    assert texts['word_segment'] == {'joined': 'TheferryleavesonMondays.', 'answer': 'The ferry leaves on Mondays.'}
    assert (texts['quac']['context'][-11:], texts['quac']['answer']) == ('on her own.', 'unknown')
    assert texts['coqa']['questions'] == '1. Whom did Edda meet?\n2. Where?'
    assert texts['coqa']['answer'] == '1. a pedlar\n2. at the ford'
    assert texts['squad_v2']['answer'] == texts['squad_v2']['no_answer'] == 'unanswerable'
    assert texts['story_cloze']['answer'] == 'It tasted vile.'
    assert texts['paws_wiki']['sentence1'] == 'Ann calls it " the Bell " .'
    assert texts['record']['passage'] == 'Ida Harrow has left the council of Skerry. Jon Tolland thanked her. A seat is empty.'
    assert texts['record']['query'] == 'On Friday _____ gave a speech.'
    assert texts['wmt16_translate_ruen'] == {'english': 'The museum opens at ten.', 'answer': 'Музей открывается в десять.'}


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


def test_languages_share_the_wordings():
    """One function words the translation of every language, and 3 of the 10 templates ask for the English sentence."""
    found = {spec.source.name: spec.templates for spec in SPECS.values() if spec.cluster == 'translation'}
    german = found['wmt16_translate/de-en:1.0.0']
    finnish = [dataclasses.replace(template, inputs=template.inputs.replace('German', 'Finnish')) for template in german]
    assert found['wmt16_translate/fi-en:1.0.0'] == tuple(finnish) != german
    assert [template.targets for template in german] == ['{answer}'] * 7 + ['{english}'] * 3


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


def test_tensorflow_agrees():
    """`fields` and `keep` give the same for tensors in a graph as for Python rows."""
    tf = pytest.importorskip('tensorflow')

    def tensors(value):
        if isinstance(value, dict):
            return {key: tensors(item) for key, item in value.items()}
        return tf.zeros([0], tf.string) if value == [] else tf.constant(value)

    def plain(value):
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        value = value.numpy() if tf.is_tensor(value) else value
        return plain(value.tolist()) if hasattr(value, 'tolist') else value.decode() if isinstance(value, bytes) else value

    for name, row in ROWS.items():
        spec = SPECS[name]
        assert plain(list(tf.function(spec.fields)(tensors(row)).items())) == plain(list(spec.fields(row).items())), name
        assert spec.keep is None or tf.function(spec.keep)(tensors(row)), name


@pytest.mark.skipif(not DATA.is_dir(), reason=f'no real data: set FLANLITE_DATA_DIR (looked in {DATA})')
@pytest.mark.parametrize('name', SPECS)
def test_real_rows(name):
    """The first rows of every split that the data folder has render with every template."""
    source = sources.resolve(SPECS[name].source, DATA)
    if not isinstance(source, sources.JsonLines):
        pytest.skip(f'{DATA} has no {name}')
    for split in source.files():
        used = [check_example(SPECS[name], row) for row in itertools.islice(source.read(split), REAL_ROWS)]
        assert any(used), f'{name}: all of the first {REAL_ROWS} rows of {split} were dropped'
