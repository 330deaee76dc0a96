"""FLAN 2021's hold-outs, rates and presets against the paper and its release, from the recorded train sizes:
no data is read.
"""

import collections
import itertools
import pathlib
import subprocess
import sys

import pytest

from flanlite.data.mixing import mixtures
from flanlite.data.specs import clusters
from flanlite.mixtures import flan2021

SPECS = {spec.name: spec for spec in flan2021.COLLECTION.specs}
ROOT = pathlib.Path(__file__).parents[2]

# Held out: (clusters removed with it, data sets left to train on, sum of their rates; None where the
# release's table gives none).
HELD_OUT = {
    'reading_comprehension': (('reading_comprehension_commonsense',), 61, 164_330),
    'commonsense': (('reading_comprehension_commonsense',), 63, 174_310),
    'reading_comprehension_commonsense': (('reading_comprehension', 'commonsense'), 57, 156_310),
    'paraphrase': (('nli',), 55, 152_240),
    'nli': (('paraphrase',), 55, 152_240),
    'summarization': ((), 58, None),
    'struct_to_text': ((), 65, None),
    'closed_book_qa': ((), 65, None),
    'sentiment': ((), 65, None),
    'text_formatting': ((), 66, None),
    'translation': ((), 61, None),
    'coreference': ((), 66, None),
    'math': ((), 68, None),
    'conversational_qa': ((), 67, None),
    'word_sense': ((), 68, None),
    'linguistic_acceptability': ((), 68, None),
    'question_classification': ((), 68, None),
}
SHARES = {
    'summarization': 16.8, 'nli': 12.8, 'translation': 12.7, 'reading_comprehension': 9.6, 'struct_to_text': 6.4, 'paraphrase': 6.4,
    'sentiment': 6.4, 'closed_book_qa': 4.8, 'text_formatting': 4.8, 'commonsense': 4.3, 'conversational_qa': 3.2,
    'reading_comprehension_commonsense': 3.2, 'coreference': 2.5, 'math': 1.6, 'word_sense': 1.6, 'linguistic_acceptability': 1.6,
    'question_classification': 1.6,
}  # fmt: skip

# What the release's own code holds out in its intra-cluster hold-outs, for three of the ten.
INTRA = {
    'intra_0': {
        'gigaword', 'dart', 'openbookqa', 'natural_questions', 'glue_mrpc', 'imdb_reviews', 'true_case', 'story_cloze',
        'wmt16_translate_ruen', 'winogrande', 'qnli', 'quac', 'record',
    },
    'intra_5': {
        'xsum', 'e2e_nlg', 'openbookqa', 'arc_challenge', 'arc_easy', 'glue_qqp', 'sentiment140', 'word_segment', 'hellaswag',
        'wmt14_enfr', 'wsc', 'anli_r1', 'anli_r2', 'anli_r3', 'coqa', 'cosmos_qa',
    },
    'intra_9': {
        'samsum', 'e2e_nlg', 'drop', 'natural_questions', 'glue_qqp', 'sentiment140', 'true_case', 'hellaswag', 'para_crawl_enes',
        'winogrande', 'cb', 'coqa', 'cosmos_qa',
    },
}  # fmt: skip


def rates(name, **options):
    mixture = mixtures.resolve(mixtures.MixtureConfig(name, **options))
    return mixtures.rates(mixture, mixtures.published(mixture))


def tasks(name, **options):
    return [entry.task for entry in mixtures.resolve(mixtures.MixtureConfig(name, **options)).entries]


def test_recorded_sizes():
    assert [name for name, spec in SPECS.items() if not spec.train_examples] == ['wsc273']
    assert SPECS['aeslc'].splits.validation == 'validation[-200:]', 'where most others have the first 200'
    assert [SPECS[name].train_examples for name in ('rte', 'wmt14_enfr', 'anli_r3')] == [
        2_290,
        40_835_840,
        100_450,
    ]


def test_62_data_sets_in_12_clusters():
    """Families count once, except that the paper lists the two opinion abstracts; of text formatting it
    counts one, and no WSC273.
    """
    left_out = {'true_case', 'word_segment', 'wsc273'}
    counted = {
        (spec.cluster, spec.family if spec.family not in ('', 'opinion_abstracts') else name)
        for name, spec in SPECS.items()
    }
    counts = collections.Counter(cluster for cluster, name in counted if name not in left_out)
    assert [sum(counts[name] for name in names) for names in clusters.PAPER_CLUSTERS.values()] == [
        7,
        4,
        4,
        4,
        3,
        4,
        5,
        2,
        3,
        8,
        11,
        7,
    ]


@pytest.mark.parametrize('held_out', HELD_OUT)
def test_held_out_cluster(held_out):
    removed, count, total = HELD_OUT[held_out]
    mixture = mixtures.resolve(f'flan2021_held_out_{held_out}')
    found = rates(f'flan2021_held_out_{held_out}')
    assert (mixture.removed, len(mixture.entries), len(found)) == (removed, count, count)
    own = sum(rates(f'flan2021_held_out_{held_out}_eval').values())
    assert sum(found.values()) == total or (total is None and sum(found.values()) == 188_330 - own)


def test_total_rate_and_shares():
    found = rates('flan2021')
    assert (len(found), sum(found.values()), sum(rate == 3_000 for rate in found.values())) == (
        69,
        188_330,
        59,
    )
    totals = collections.Counter()
    for task, rate in found.items():
        totals[SPECS[task].cluster] += rate
    assert {cluster: round(100 * total / 188_330, 1) for cluster, total in totals.items()} == SHARES


def test_intra_cluster_hold_outs():
    trained = {name for name, spec in SPECS.items() if spec.splits.train}
    alone = {'math_dataset', 'wic', 'cola', 'trec'}
    for index in range(10):
        train, test = set(tasks(f'flan2021_intra_{index}')), set(tasks(f'flan2021_intra_{index}_eval'))
        assert train | test == trained
        assert not train & test
        assert alone <= train
        collapsed = ('anli', 'mnli', 'arc', 'squad', 'opinion_abstracts')
        families = [{name for name in trained if SPECS[name].family == family} for family in collapsed]
        assert [family for family in families if not (family <= train or family <= test)] == [], (
            'a family is not divided'
        )
        held = collections.Counter((SPECS[name].cluster, SPECS[name].family or name) for name in test)
        assert len(held) == len({cluster for cluster, _ in held}) == 13, (
            'one of each cluster that has several'
        )
    assert {name: set(tasks(f'flan2021_{name}_eval')) for name in INTRA} == INTRA


def test_superglue_ablation():
    assert set(tasks('flan2021_superglue_eval')) == set(clusters.SUPERGLUE)
    assert len(tasks('flan2021_superglue')) == 61
    drawn = [set(tasks(f'flan2021_superglue_{count}')) for count in clusters.SUPERGLUE_TRAIN]
    assert [len(names) for names in drawn] == list(clusters.SUPERGLUE_TRAIN)
    for fewer, more in itertools.pairwise(drawn):
        assert fewer < more
        assert not more & set(clusters.SUPERGLUE)


def test_numbers_of_templates():
    mixture = mixtures.resolve('flan2021_superglue_4templates')
    assert (mixture.templates_per_task, mixture.held_out, len(mixture.entries)) == (4, 'superglue', 61)
    assert [
        mixtures.resolve(name).templates_per_task
        for name in ('flan2021', 'flan2021_10templates', 'rte_1templates')
    ] == [None, 10, 1]


def test_diversity_ablation():
    assert [len(tasks(f'flan2021_diversity_{count}')) for count in range(1, 8)] == [
        11,
        19,
        25,
        29,
        33,
        36,
        38,
    ]
    assert [len(tasks(f'flan2021_diversity_{count}_limit_15')) for count in range(1, 8)] == [
        11,
        15,
        15,
        15,
        15,
        15,
        15,
    ]
    assert [len(tasks(f'flan2021_diversity_7_each_{each}')) for each in (1, 2, 3, 4)] == [7, 14, 20, 25]
    assert {SPECS[name].cluster for name in tasks('flan2021_diversity_3_eval')} == {
        'nli',
        'commonsense',
        'closed_book_qa',
    }


@pytest.mark.parametrize(
    ('held_out', 'shared'),
    [
        (
            'nli',
            {
                'squad_v1',
                'squad_v2',
                'wsc',
                'common_gen',
                'hellaswag',
                'story_cloze',
                'wiki_lingua_english_en',
            },
        ),
        ('coreference', {'wnli'}),
        ('reading_comprehension', {'qnli', 'natural_questions'}),
        ('summarization', {'record', 'coqa', 'hellaswag', 'anli_r3', 'sst2'}),
        ('sentiment', {'opinion_abstracts_rotten_tomatoes'}),
        ('math', set()),
    ],
)
def test_lineage(held_out, shared):
    warned, strict, off = (
        mixtures.resolve(mixtures.MixtureConfig('flan2021', held_out=held_out, lineage=lineage))
        for lineage in ('warn', 'strict', 'off')
    )
    assert set(warned.shared) == set(strict.shared) == shared
    assert not off.shared
    assert {entry.task for entry in warned.entries} - {entry.task for entry in strict.entries} == shared
    assert warned.entries == off.entries
    for mixture in (warned, strict):
        note = (*mixture.notes(), '')[0]
        assert [name for name in shared if name not in note] == []


def test_the_faithful_preset_has_the_releases_faults():
    differing = set(zip(tasks('flan2021'), tasks('flan2021_faithful'), strict=True))
    assert {(one, other) for one, other in differing if one != other} == {
        ('sentiment140', 'sentiment140_faithful')
    }
    neutral = {'polarity': 2, 'date': '', 'query': '', 'user': '', 'text': 'tea'}
    assert SPECS['sentiment140'].example(neutral) is None
    told = next(spec for spec in flan2021.FAITHFUL.specs if spec.name == 'sentiment140_faithful').example(
        neutral
    )
    assert told['texts']['answer'] == 'negative'
    assert len(tasks('flan2021_faithful_intra_3_eval')) == 14


def test_the_fixed_preset_halves_what_mnli_has_twice():
    assert tasks('flan2021_fixed') == tasks('flan2021')
    assert sum(rates('flan2021_fixed').values()) == 185_330
    differing = set(rates('flan2021_fixed').items()) - set(rates('flan2021').items())
    assert differing == {('mnli_matched', 1_500), ('mnli_mismatched', 1_500)}
    assert len(tasks('flan2021_fixed_held_out_nli')) == 55


def test_the_page_of_data_sets_is_up_to_date():
    command = [sys.executable, '-m', 'flanlite', 'datasets', '--format=markdown']
    page = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert page == (ROOT / 'docs' / 'datasets.md').read_text(encoding='utf-8'), (
        'run flanlite datasets --format=markdown > docs/datasets.md'
    )


def test_listing_imports_nothing_heavy():
    probe = (
        'import sys, time; start = time.monotonic(); from flanlite.cli import main as cli; '
        'cli.main(["datasets", "--mixture=flan2021"]); '
        'print(*(name for name in ("jax", "tensorflow", "seqio") if name in sys.modules), '
        'f"{time.monotonic() - start:.1f}", sep=";")'
    )
    lines = subprocess.run(
        [sys.executable, '-c', probe], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert any('super_glue/rte' in line and '2,290' in line for line in lines)
    assert float(lines[-1]) < 10, 'under 1.5 s on a machine at rest; and nothing heavy is imported'
