"""FLAN 2021's collection: its clusters, families, templates and plain prompts."""

import dataclasses
import os
import pathlib
import re

import pytest
from flan2021_rows import ROWS, check_example

from flanlite.cli import lint
from flanlite.data.specs import clusters, templates
from flanlite.data.tokens import vocabularies
from flanlite.data.tokens.vocabulary import UNK_ID
from flanlite.metrics import metrics
from flanlite.mixtures import flan2021

SPECS = {spec.name: spec for spec in flan2021.COLLECTION.specs}
DATA = pathlib.Path(
    os.environ.get('FLANLITE_DATA_DIR') or pathlib.Path(__file__).parents[3] / 'shared' / 'data'
)

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
    'nli': [
        'anli_r1',
        'anli_r2',
        'anli_r3',
        'cb',
        'rte',
        'mnli_matched',
        'mnli_mismatched',
        'qnli',
        'wnli',
        'snli',
    ],
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


def words(text):
    """Split a text into its words, in small letters."""
    return re.findall(r'\w+', text.lower())


def test_clusters_and_caps():
    """The collection has FLAN's names in FLAN's clusters, and FLAN's caps."""
    assert {
        cluster: [spec.name for spec in SPECS.values() if spec.cluster == cluster] for cluster in CLUSTERS
    } == CLUSTERS
    assert len(SPECS) == sum(map(len, CLUSTERS.values()))
    assert set(flan2021.COLLECTION.clusters()) == set(CLUSTERS) <= set(clusters.CLUSTERS)
    assert (flan2021.COLLECTION.max_examples, flan2021.COLLECTION.max_rate) == (30_000, 3_000)
    assert flan2021.COLLECTION.vocabulary == 't5'


def test_families_and_lineage():
    """What belongs together says so, and what shares text with another cluster names the corpus."""
    families = {
        family: {name for name, spec in SPECS.items() if spec.family == family} for family in FAMILIES
    }
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


def test_open_questions_are_scored_as_in_flan():
    named = {name for name, spec in SPECS.items() if spec.metric == 'trivia_qa_exact_match'}
    assert named == {'trivia_qa', 'natural_questions'}


@pytest.mark.parametrize('name', SPECS)
def test_spec(name):
    """A data set is whole: ten sound templates, plain prompts, and a made-up row that every one of them
    renders.
    """
    spec = SPECS[name]
    example = check_example(spec, ROWS[name])
    assert example is not None
    assert not list(templates.lint(spec.templates, tuple(example['texts'])))
    assert 2 <= len(spec.baselines) <= 3
    assert not list(templates.lint(spec.baselines, tuple(example['texts']), count=len(spec.baselines)))
    assert spec.metric in metrics.METRICS
    assert spec.lineage
    assert spec.licence
    assert spec.link.startswith('http')
    assert not any('{options_}' in template.inputs for template in spec.baselines)
    if example['options']:
        forward = [template for template in spec.templates if not template.inverted]
        assert sum('{options_}' in template.inputs for template in forward) > len(forward) / 2


@pytest.mark.parametrize(
    'name', [name for name, spec in SPECS.items() if spec.options and spec.options[0].isalpha()]
)
def test_wording_favours_no_option(name):
    """Where a template's own words name the options, they name them all."""
    spec = SPECS[name]
    for template in spec.templates:
        literal = words(' '.join(literal for literal, _ in templates.parse(template.inputs)))
        named = [
            option for option in spec.options if f' {" ".join(words(option))} ' in f' {" ".join(literal)} '
        ]
        assert len(named) in (0, len(spec.options)), f'{name}: {template.inputs!r} names only {named}'


def test_templates_differ_across_data_sets():
    """No data set borrows a wording of another; only the members of a family share theirs."""
    seen = {}
    for spec in SPECS.values():
        for template in spec.templates:
            wording = ' '.join(words(re.sub(r'{\w+}', '', template.inputs)))
            if len(wording.split()) > 3:
                owner = seen.setdefault(wording, spec.family or spec.name)
                assert owner == (spec.family or spec.name), (
                    f'{spec.name} and {owner} share {template.inputs!r}'
                )


def test_t5_can_read_the_templates():
    """T5's vocabulary has all that the templates are written with."""
    try:
        vocabulary = vocabularies.load(
            't5' if os.environ.get('FLANLITE_T5_VOCAB') else str(DATA / 'vocab' / 't5_sentencepiece.model')
        )
    except (ValueError, OSError):
        pytest.skip("T5's vocabulary is not at hand; set FLANLITE_T5_VOCAB")
    for spec in SPECS.values():
        for template in spec.templates + spec.baselines:
            for text in (template.inputs, template.targets):
                literal = ' '.join(literal for literal, _ in templates.parse(text))
                assert UNK_ID not in vocabulary.encode(literal), f'{spec.name}: {text!r}'


def test_lint_of_the_collection(monkeypatch):
    """The lint of all templates finds nothing; where rows are at hand, it looks at those too, and a data set
    may lack some splits.
    """
    if DATA.is_dir():
        monkeypatch.setenv('FLANLITE_DATA_DIR', str(DATA))
    assert lint.lint('flan2021') == 0


def test_languages_share_the_wordings():
    """One function words the translation of every language, and 3 of the 10 templates ask for the English
    sentence.
    """
    found = {spec.source.name: spec.templates for spec in SPECS.values() if spec.cluster == 'translation'}
    german = found['wmt16_translate/de-en:1.0.0']
    finnish = [
        dataclasses.replace(template, inputs=template.inputs.replace('German', 'Finnish'))
        for template in german
    ]
    assert found['wmt16_translate/fi-en:1.0.0'] == tuple(finnish) != german
    assert [template.targets for template in german] == ['{answer}'] * 7 + ['{english}'] * 3
