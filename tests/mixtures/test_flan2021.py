"""FLAN 2021: every template of every data set, on made-up rows in TFDS's shapes, in TensorFlow, and on real rows where there are any."""

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
    'summarization': ['aeslc', 'ag_news_subset'],
    'struct_to_text': ['web_nlg_en', 'e2e_nlg', 'dart'],
    'reading_comprehension': ['bool_q', 'multirc', 'openbookqa', 'squad_v1'],
    'closed_book_qa': ['arc_challenge', 'arc_easy', 'natural_questions'],
    'paraphrase': ['glue_mrpc', 'stsb'],
    'sentiment': ['imdb_reviews', 'sentiment140', 'yelp_polarity_reviews', 'sst2'],
    'commonsense': ['copa', 'hellaswag', 'piqa'],
    'coreference': ['definite_pronoun_resolution', 'winogrande', 'wsc', 'wsc273'],
    'nli': ['anli_r1', 'anli_r2', 'anli_r3', 'cb', 'rte', 'mnli_matched', 'mnli_mismatched', 'qnli', 'wnli', 'snli'],
    'word_sense': ['wic'],
    'linguistic_acceptability': ['cola'],
    'question_classification': ['trec'],
    'reading_comprehension_commonsense': ['cosmos_qa'],
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
    'arc_challenge': ARC,
    'arc_easy': ARC,
    'natural_questions': {'question': 'who built the lighthouse', 'answer': ['Agnes Tolland', 'A. Tolland']},
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
    families = {family: {name for name, spec in SPECS.items() if spec.family == family} for family in ('anli', 'mnli', 'arc')}
    assert families == {
        'anli': {'anli_r1', 'anli_r2', 'anli_r3'},
        'mnli': {'mnli_matched', 'mnli_mismatched'},
        'arc': {'arc_challenge', 'arc_easy'},
    }
    for one, other in (('qnli', 'squad_v1'), ('wnli', 'wsc273'), ('wnli', 'wsc'), ('web_nlg_en', 'dart'), ('anli_r3', 'hellaswag')):
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
    assert SPECS['natural_questions'].example(ROWS['natural_questions'])['answers'] == ('Agnes Tolland', 'A. Tolland')


def test_rows_that_are_left_out():
    """Unlabelled, neutral, malformed and empty rows are dropped."""
    for name, change in (
        ('snli', {'label': -1}),
        ('sentiment140', {'polarity': 2}),
        ('winogrande', {'sentence': 'There is no gap here.'}),
        ('arc_easy', {'choices': {'text': ['a', 'b', 'c'], 'label': [0, 1, 2]}}),
        ('aeslc', {'subject_line': ' \n'}),
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
