"""T0: the tables of its release, its rule of mixing, and every template of every data set on made-up rows."""

import itertools
import os
import pathlib
import re

import pytest
import t0_rows

from flanlite.cli import gin_config, lint
from flanlite.data.mixing import mixtures
from flanlite.data.rendering import promptsource
from flanlite.data.specs import linting, registry, sources, specs, templates
from flanlite.data.specs.collection import Collection
from flanlite.data.tokens import vocabularies
from flanlite.data.tokens.vocabulary import UNK_ID
from flanlite.metrics import metrics
from flanlite.mixtures import flan2021, t0
from flanlite.mixtures.t0 import bigbench, groups

OWN = {spec.name: spec for spec in t0.OWN}
FLAN = {spec.name: spec for spec in flan2021.COLLECTION.specs}
ALL = OWN | {spec.name: spec for spec in bigbench.SPECS}
ROWS = t0_rows.OWN | {spec.name: t0_rows.BIG_BENCH for spec in bigbench.SPECS}
DATA = pathlib.Path(
    os.environ.get('FLANLITE_DATA_DIR') or pathlib.Path(__file__).parents[3] / 'shared' / 'data'
)
CHECKOUT = os.environ.get('TESTED_PROMPTSOURCE_DIR')  # what PROMPTSOURCE_DIR said, see conftest
REAL_ROWS = 30

# Shares of the training set t0 in percent: as released, and as intended.
SHARES = {
    'cnn_dailymail': (15.0, 6.4),
    'glue_qqp': (12.6, 8.1),
    'xsum': (11.8, 4.6),
    'app_reviews': (6.7, 6.5),
    **dict.fromkeys(
        ('gigaword', 'yelp_review_full', 'wiki_bio', 'amazon_polarity', 'dbpedia_14'), (2.9, 11.2)
    ),
}
GROUP_SHARES = {
    'summarization': 31.8,
    'paraphrase': 16.2,
    'sentiment': 14.5,
    'extractive_qa': 9.6,
    'multiple_choice_qa': 9.2,
    'topic_classification': 8.3,
    'struct_to_text': 6.4,
    'closed_book_qa': 3.9,
}
BIG_BENCH = (  # the tasks of BIG-bench that T0's paper evaluates
    'code_line_description', 'conceptual_combinations', 'hindu_knowledge', 'known_unknowns', 'language_identification',
    'logic_grid_puzzle', 'logical_deduction', 'misconceptions', 'movie_dialog_same_or_different', 'novel_concepts', 'strategyqa',
    'formal_fallacies_syllogisms_negation', 'vitaminc_fact_verification', 'winowhy',
)  # fmt: skip
COUNTS = {name: listed.train for name, listed in groups.LISTED.items()}


@pytest.fixture
def without_promptsource(monkeypatch):
    """Give the collections our own templates, even where there is a promptsource."""
    yield from with_prompts(monkeypatch, None)


@pytest.fixture
def with_promptsource(monkeypatch, tmp_path):
    """Give the collections the prompts of a made-up promptsource, as many as the real one has."""
    pytest.importorskip('yaml')
    for listed in groups.LISTED.values():
        folder = tmp_path / 'promptsource' / 'templates' / listed.hub / (listed.config or '')
        folder.mkdir(parents=True, exist_ok=True)
        entries = ''.join(
            f"  {number}: !Template {{name: 'way {number}', jinja: 'a ||| b', answer_choices: null, "
            f'metadata: !TemplateMetadata {{original_task: {str(number > 0).lower()}}}}}\n'
            for number in range(listed.prompts)
        )
        (folder / 'templates.yaml').write_text(f'dataset: {listed.hub}\ntemplates:\n{entries}')
    yield from with_prompts(monkeypatch, promptsource.find_folder(tmp_path))


def with_prompts(monkeypatch, folder):
    """Make T0's training sets anew."""
    monkeypatch.setattr(t0, 'PROMPTS', folder)
    t0.members.cache_clear()
    made = {name: t0.training(name, *parts) for name, parts in groups.TRAINING.items()} | {
        't0_eval': t0.held_out()
    }
    monkeypatch.setattr(registry, 'COLLECTIONS', {})
    for collection in (flan2021.COLLECTION, *made.values()):
        registry.register(collection)
    yield made
    t0.members.cache_clear()


def words(text):
    """Split a text into its words, in small letters."""
    return re.findall(r'\w+', text.lower())


def test_tables():
    """T0's release lists so many data sets, prompts and tasks, and never trains on what it holds out."""
    names = {name: groups.listed(*parts) for name, parts in groups.TRAINING.items()}
    assert {name: len(listed) for name, listed in names.items()} == {
        't0': 38,
        't0_plus': 48,
        't0_plus_plus': 54,
    }
    assert sum(groups.LISTED[name].prompts for name in names['t0']) == 313
    held_out = groups.listed(groups.HELD_OUT)
    assert len(groups.HELD_OUT) == 4
    assert len(held_out) == 11
    assert not set(held_out) & set(names['t0'])
    assert set(names['t0_plus']) & set(held_out) == {'hellaswag'}
    assert set(names['t0_plus_plus']) & set(held_out) == {'hellaswag', 'wsc', 'copa', 'wic'}
    assert tuple(spec.name.removeprefix('bigbench_') for spec in bigbench.SPECS) == BIG_BENCH
    assert len(BIG_BENCH) == 14
    assert set(groups.LISTED) == {*names['t0_plus_plus'], *held_out}
    assert {listed.hub for listed in groups.LISTED.values()} == set(groups.HUB)
    assert set(OWN) <= set(names['t0_plus'])
    assert set(groups.SPLITS) <= set(groups.LISTED) == set(t0_rows.HUB)


def test_collections(without_promptsource):
    """What FLAN has is FLAN's own data set; the training sets have T0's vocabulary and no other caps than its
    rate.
    """
    for collection in without_promptsource.values():
        assert [
            spec.name for spec in collection.specs if FLAN.get(spec.name, OWN.get(spec.name)) is not spec
        ] == []
        assert collection.vocabulary == 't5:no_input_eos'
    for name in groups.TRAINING:
        assert (without_promptsource[name].max_examples, without_promptsource[name].max_rate) == (
            None,
            500_000,
        )
    assert [spec.name for spec in without_promptsource['t0_eval'].specs] == list(
        groups.listed(groups.HELD_OUT)
    )
    assert mixtures.resolve('imdb_reviews').collection is flan2021.COLLECTION
    assert mixtures.resolve('dream').collection.name == 't0'


def test_sweep_never_trains_on_held_out_groups():
    """With gin/runs/t0.gin, each group is scored, and what is tuned on without it has none of the four
    groups.
    """
    from flanlite.eval import loco
    from flanlite.eval.sweep import Sweep

    never = set(groups.listed(groups.HELD_OUT))
    sweep = Sweep(gin_config.read('loco', ['gin/runs/t0.gin']), mixtures.resolve('t0_loco').collection, None)
    scored = set()
    for cluster in loco.choose_held_out(sweep.config.held_out, sweep.collection):
        scored |= {spec.name for spec in sweep.collection.specs if spec.cluster == cluster}
        trained = {entry.task for entry in mixtures.resolve(sweep.mixture(cluster)).entries}
        assert len(trained) > 25
        assert not trained & never
    assert never <= scored


def test_names_of_collections_resolve():
    """Each collection is found by name; importing one imports them all."""
    assert [len(mixtures.resolve(name).entries) for name in ('t0_eval', 't0_bigbench')][1] == 14
    assert {'t0', 't0_plus', 't0_plus_plus'} <= set(registry.COLLECTIONS)


@pytest.mark.parametrize('prompts', ['without_promptsource', 'with_promptsource'])
def test_splits_of_the_branch_with_rows(prompts, request):
    """There are no configurations, and only these splits are found by the folders' names; FLAN's XSum is read
    there too.
    """
    found = {
        spec.name: spec
        for collection in request.getfixturevalue(prompts).values()
        for spec in collection.specs
    }
    sources_of = {name: getattr(spec.source, 'source', spec.source) for name, spec in found.items()}
    there = [
        spec for spec in found.values() if getattr(sources_of[spec.name], 'revision', None) == groups.PARQUET
    ]
    assert len(there) > 5
    for spec in there:
        assert sources_of[spec.name].config is None, spec.name
        splits = [part.partition('[')[0] for part in map(spec.splits.get, specs.SPLITS) if part]
        assert set(splits) <= set(specs.SPLITS), spec.name


@pytest.mark.parametrize('prompts', [True, False])
def test_shares(without_promptsource, prompts):
    """The rule of mixing gives the shares of T0's release, or those that its authors meant."""
    rates = mixtures.rates(mixtures.resolve(mixtures.MixtureConfig('t0', prompts=prompts)), COUNTS)
    total = sum(rates.values())
    assert {name: round(100 * rates[name] / total, 1) for name in SHARES} == {
        name: share[not prompts] for name, share in SHARES.items()
    }
    if prompts:
        assert total == 17_277_798
        shares = {
            group: round(100 * sum(rates[name] for name in names) / total, 1)
            for group, names in groups.GROUPS.items()
        }
        assert shares == GROUP_SHARES
    else:
        assert rates == {name: min(COUNTS[name], 500_000) for name in rates}


@pytest.mark.parametrize('prompts', [True, False])
def test_shares_of_single_prompts(with_promptsource, prompts):
    """Where each prompt is a task, a data set's tasks share what it would have as one; each has the rate of
    T0's release.
    """
    mixture = mixtures.resolve(mixtures.MixtureConfig('t0', prompts=prompts))
    assert len(mixture.entries) == 313
    # However many are cached.
    rates = mixtures.rates(mixture, dict.fromkeys([entry.task for entry in mixture.entries], 100))
    intended = sum(min(COUNTS[name], 500_000) for name in groups.listed(groups.GROUPS))
    assert sum(rates.values()) == pytest.approx(17_277_798 if prompts else intended)
    by_release = {
        'cnn_dailymail_3.0.0_way_2': 287_113,
        'gigaword_way_2': 500_000 // 9,
        'wiki_qa_way_2': 20_360,
    }
    meant = {
        'cnn_dailymail_3.0.0_way_2': 287_113 / 9,
        'gigaword_way_2': 500_000 / 9,
        'wiki_qa_way_2': 20_360 / 11,
    }
    for name, rate in (by_release if prompts else meant).items():
        assert rates[name] == pytest.approx(rate)


def test_evaluation_reads_original_prompts_only(with_promptsource):
    """Of each held-out data set, the prompt that asks for something else (here the first) is not evaluated;
    ANLI's rounds are apart.
    """
    names = [spec.name for spec in with_promptsource['t0_eval'].specs]
    assert len(names) == sum(groups.LISTED[name].prompts - 1 for name in groups.listed(groups.HELD_OUT))
    assert not any('way_0' in name for name in names)
    assert {'anli_way_1_r1', 'anli_way_1_r3', 'super_glue_rte_way_9'} <= set(names)


@pytest.mark.parametrize('name', ALL)
def test_spec(name):
    """A data set is whole: at least five sound templates, and a made-up row that every one of them
    renders.
    """
    spec = ALL[name]
    example = check_example(spec, ROWS[name])
    assert example is not None
    assert not list(linting.lint(spec, [ROWS[name]], count=5))
    assert len(spec.baselines) == 2
    assert not list(templates.lint(spec.baselines, tuple(example['texts']), count=2))
    assert not any('{options_}' in template.inputs for template in spec.baselines)
    assert spec.metric in metrics.METRICS
    assert spec.lineage
    assert spec.licence
    assert spec.link.startswith('http')


def check_example(spec, row):
    """Render every template on a row and check the outcome."""
    example = spec.example(row)
    if example is None:
        return None
    texts, options = example['texts'], example['options']
    assert texts['answer'] in example['answers']
    assert not options or texts['answer'] in options
    for template in (*spec.templates, *spec.baselines, spec.bare_template()):
        inputs = templates.fill(template.inputs, texts)
        assert inputs.strip(), template
        assert templates.fill(template.targets, texts).strip(), template
        assert '{options_}' not in template.inputs or templates.options_block(options) in inputs
    return example


@pytest.mark.parametrize(
    'name', [name for name, spec in OWN.items() if spec.options and spec.options[0].isalpha()]
)
def test_wording_favours_no_option(name):
    """Where a template's own words name the options, they name them all."""
    for template in OWN[name].templates:
        literal = words(' '.join(literal for literal, _ in templates.parse(template.inputs)))
        named = [
            option
            for option in OWN[name].options
            if f' {" ".join(words(option))} ' in f' {" ".join(literal)} '
        ]
        assert len(named) in (0, len(OWN[name].options)), f'{name}: {template.inputs!r} names only {named}'


def test_templates_differ_across_data_sets():
    """No data set borrows a wording of another, of FLAN's either; only the members of a family share
    theirs.
    """
    seen = {}
    for spec in (*FLAN.values(), *ALL.values()):
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
    for spec in ALL.values():
        for template in spec.templates:
            for text in (template.inputs, template.targets):
                literal = ' '.join(literal for literal, _ in templates.parse(text))
                assert UNK_ID not in vocabulary.encode(literal), f'{spec.name}: {text!r}'


def test_lint_of_the_collections(monkeypatch, without_promptsource):
    """The lint of all templates finds nothing, on real rows either where there are any."""
    if DATA.is_dir():
        monkeypatch.setenv('FLANLITE_DATA_DIR', str(DATA))
    registry.register(Collection('t0_bigbench', bigbench.SPECS, templates=5))
    assert [lint.lint(name) for name in ('t0_plus', 't0_bigbench')] == [0, 0]


def test_fields_in_detail():
    """Rows are tidied where they need it, and the answer is the right one."""
    examples = {name: spec.example(ROWS[name]) for name, spec in ALL.items()}
    texts = {name: example['texts'] for name, example in examples.items()}
    answers = {name: found['answer'] for name, found in texts.items()}
    assert [answers[name] for name in ('social_i_qa', 'qasc', 'quarel', 'quartz', 'wiqa', 'race_high', 'dbpedia_14', 'wiki_qa')] == [
        'thankful', 'smaller', 'the dry one', 'faster', 'no effect', 'no boat came in '
                                                                     'winter', 'building', 'yes',
    ]  # fmt: skip
    assert (answers['app_reviews'], answers['yelp_review_full'], answers['rotten_tomatoes']) == (
        '2',
        '3',
        'negative',
    )
    assert (texts['wiki_hop']['relation'], texts['wiki_hop']['subject']) == ('located in', 'the skerry point')
    assert texts['quarel']['story'] == 'Ann slides on the wet deck only. Which deck is rougher?'
    assert examples['quarel']['options'] == ('the wet one', 'the dry one')
    assert set(examples['sciq']['options']) == {'oxygen', 'ash', 'chalk', 'helium'}
    assert answers['sciq'] == 'oxygen'
    assert texts['dream']['dialogue'] == 'W: Did you return the ladder?\nM: I shall try again tomorrow.'
    assert (answers['quoref'], answers['kilt_hotpotqa'], answers['ropes']) == ('Edda, Jon', 'yes', 'Tom')
    assert examples['duorc_self']['answers'] == ("the keeper's diary", 'a diary')
    assert (
        OWN['sciq'].example(ROWS['sciq'] | {'support': ' '})['texts']['support']
        == 'The textbook has no paragraph on this.'
    )
    assert texts['yelp_review_full']['review'] == 'Fair price,\nbut the "chowder" came cold.'
    assert texts['wiki_bio']['facts'] == 'name: agnes tolland\noccupation: keeper ( retired )'
    assert answers['wiki_bio'] == 'agnes tolland ( born 1890 ) was a " keeper " .'
    assert (answers['bigbench_misconceptions'], examples['bigbench_misconceptions']['options']) == (
        'F',
        ('T', 'F'),
    )


def test_options_of_sciq_stand_in_any_place():
    """The right answer of SciQ, which stands apart in the data, comes first, second, third and last among the
    options.
    """
    rows = [ROWS['sciq'] | {'question': ROWS['sciq']['question'] + ' ' * count} for count in range(4)]
    assert {OWN['sciq'].example(row)['options'].index('oxygen') for row in rows} == {0, 1, 2, 3}


def test_rows_that_are_left_out():
    """Unlabelled, unanswerable and empty rows are dropped."""
    for name, change in (
        ('cos_e', {'abstractive_explanation': ' '}),
        ('wiki_hop', {'query': 'located_in'}),
        ('qasc', {'answerKey': ''}),
        ('quarel', {'question': 'Which deck is rougher?'}),
        ('quartz', {'answerKey': ''}),
        ('adversarial_qa_dbert', {'answers': {'text': [], 'answer_start': []}}),
        ('duorc_self', {'no_answer': True}),
        ('ropes', {'answers': {'text': []}}),
        ('kilt_hotpotqa', {'output': []}),
        ('amazon_polarity', {'title': ''}),
        ('wiki_bio', {'target_text': '\n'}),
        ('wiqa', {'question_para_step': []}),
        ('bigbench_winowhy', {'multiple_choice_targets': []}),
    ):
        assert ALL[name].example({**ROWS[name], **change}) is None, name


@pytest.mark.skipif(not DATA.is_dir(), reason=f'no real data: set FLANLITE_DATA_DIR (looked in {DATA})')
@pytest.mark.parametrize('name', ALL)
def test_real_rows(name, monkeypatch):
    """The first rows of every split that the data folder has render with every template."""
    monkeypatch.setenv('FLANLITE_DATA_DIR', str(DATA))
    source = sources.prefer_data_folder(getattr(ALL[name].source, 'source', ALL[name].source))
    if not isinstance(source, sources.JsonLines):
        pytest.skip(f'{DATA} has no {name}')
    for split in source.files():
        assert any(
            [check_example(ALL[name], row) for row in itertools.islice(source.read(split), REAL_ROWS)]
        ), f'{name}: none of {split}'


@pytest.mark.skipif(not CHECKOUT, reason='PROMPTSOURCE_DIR names no checkout of promptsource')
def test_prompts_of_a_checkout_fit_the_rows_of_the_hub():
    """Every prompt of T0's data sets finds the columns that it reads; nearly all have something to say to our
    rows.
    """
    folder, rendered, skipped = promptsource.find_folder(CHECKOUT), 0, 0
    for name, listed in groups.LISTED.items():
        prompts = promptsource.read_prompts(folder, listed.hub, listed.config)
        assert len(prompts) == listed.prompts, f'{name}: the table says {listed.prompts} prompts'
        for prompt in prompts:
            rows = sources.InMemory(lambda split, name=name: [t0_rows.HUB[name]], name=name)
            (found,) = promptsource.PromptSource(rows, prompt, groups.RENAMED.get(listed.hub, ())).rows(
                'train'
            )
            rendered, skipped = rendered + bool(found['inputs']), skipped + (not found['inputs'])
    assert rendered > 30 * skipped, f'{rendered} rendered, {skipped} skipped'
