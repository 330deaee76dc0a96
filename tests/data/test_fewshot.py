"""Few-shot inputs: which exemplars, how they are written, how many fit, and that settings do not mix."""

import dataclasses

import numpy as np
import pytest
from toy_specs import BYTES, choices, colours, prose

from flanlite.data.cache import cache
from flanlite.data.cache.view import BuildOptions, View
from flanlite.data.mixing import mixtures
from flanlite.data.mixing.mixtures import MixtureConfig
from flanlite.data.rendering import fewshot, rendering
from flanlite.data.rendering.fewshot import Shots
from flanlite.data.specs import registry, sources
from flanlite.data.specs.collection import Collection
from flanlite.data.specs.specs import Splits
from flanlite.data.specs.templates import Template

WIDE = 100_000
EXEMPLAR = Template('Question: {inputs}\nAnswer: {targets}\n\n')


def made(spec, split='train', number=2, **options):
    shots = Shots(
        number,
        **(
            {'budget': WIDE} | {key: options.pop(key) for key in ('budget', 'seed', 'form') if key in options}
        ),
    )
    return list(rendering.examples(spec, split, BYTES, shots=shots, **options))


def parts(text):
    """Split a plain few-shot input into its (inputs, targets) pairs and the question."""
    *exemplars, question = text.split('Question: Question ')
    return [
        tuple(part.removesuffix('\n\n').split('\nAnswer: ')) for part in exemplars[1:]
    ], question.removesuffix('\nAnswer:')


def plain(**changes):
    """Make the toy data set with two templates, neither of which is turned around."""
    return colours(templates=colours().templates[:2], **changes)


@pytest.mark.parametrize('number', [1, 2, 3, 5, 10])
def test_so_many_exemplars_of_the_same_template_and_never_the_example(number):
    alone = {example.row: example for example in rendering.examples(plain(), 'train', BYTES)}
    answers = {
        BYTES.decode(example.inputs): BYTES.decode(example.targets)
        for example in rendering.examples(plain(), 'train', BYTES, renderings=2)
    }
    for example in made(plain(), number=number):
        before, question = parts(BYTES.decode(example.inputs))
        assert len(before) == number == example.shots == len({inputs for inputs, _ in before})
        own = BYTES.decode(alone[example.row].inputs)
        assert own == f'Question {question}' and own.startswith(f'Question {example.template}')
        for inputs, targets in before:
            assert inputs.startswith(f'{example.template}:') and f'Question {inputs}' != own
            assert answers[f'Question {inputs}'] == targets
        np.testing.assert_array_equal(example.targets, alone[example.row].targets)


def test_deterministic_by_seed_and_the_same_for_every_template():
    first, again, other = (made(plain(), 'test', seed=seed, renderings='all') for seed in (0, 0, 1))
    assert [example.inputs.tolist() for example in first] == [example.inputs.tolist() for example in again]
    assert (
        sum(one.inputs.tolist() != another.inputs.tolist() for one, another in zip(first, other, strict=True))
        > len(first) / 2
    )
    drawn = [
        [inputs.partition(': ')[2].partition('\n')[0] for inputs, _ in parts(BYTES.decode(example.inputs))[0]]
        for example in first
    ]
    assert drawn[::2] == drawn[1::2] and len({tuple(each) for each in drawn}) > 5
    assert all('train thing' in thing for each in drawn for thing in each), 'from training data only'
    assert first[0].options == ('red', 'green', 'blue') and first[0].answers, 'options and answers stay'
    assert BYTES.decode(first[0].inputs).count('OPTIONS:') == 3


def test_duplicates_of_the_example_are_no_exemplars():
    rows = [{'id': 0, 'thing': 'twin', 'number': 0, 'colour': 1, 'skip': False}] * 6
    rows += [{'id': 1, 'thing': 'other', 'number': 0, 'colour': 2, 'skip': False}]
    twins = plain(source=sources.InMemory(lambda split: rows), splits=Splits('train', None, 'test'))
    for split in ('train', 'test'):
        for example in made(twins, split, number=1):
            text = BYTES.decode(example.inputs)
            assert (example.shots, text.count('twin'), text.count('other')) == (1, 1, 1)


def test_turned_around_templates_may_repeat_their_input():
    """Where the answer is the input, other rows with the same answer do, but not the same question."""
    turned = colours(templates=(Template('Ask what is {answer}.', '{question}', inverted=True),))
    for example in made(turned, number=3):
        text = BYTES.decode(example.inputs)
        assert example.shots == 3 and BYTES.decode(example.targets) not in text


@pytest.mark.parametrize('budget', [60, 150, 240, 330])
def test_whole_exemplars_go_until_the_budget_holds(budget):
    whole = {example.row: BYTES.decode(example.inputs) for example in made(plain(), number=4)}
    kept = set()
    for example in made(plain(), number=4, budget=budget):
        text = BYTES.decode(example.inputs)
        kept.add(example.shots)
        if example.shots:
            assert len(example.inputs) <= budget
            assert parts(text)[0] == parts(whole[example.row])[0][: example.shots]
        if example.shots < 4:
            more = parts(whole[example.row])[0][: example.shots + 1]
            longer = ''.join(
                f'Question: Question {inputs}\nAnswer: {targets}\n\n' for inputs, targets in more
            )
            assert (
                len(longer) + len(f'Question: Question {parts(whole[example.row])[1]}\nAnswer:') + 1 > budget
            )
    assert kept != {4} or budget == 330
    if budget == 60:
        assert kept == {0}
        zero = {
            example.row: example.inputs.tolist() for example in rendering.examples(plain(), 'train', BYTES)
        }
        assert {
            example.row: example.inputs.tolist() for example in made(plain(), number=4, budget=budget)
        } == zero


def test_multi_takes_what_fits_up_to_sixteen():
    assert {example.shots for example in made(plain(), number='multi')} == {16}
    assert len({example.shots for example in made(plain(), number='multi', budget=400)}) <= 3
    assert max(example.shots for example in made(plain(), number='multi', budget=400)) < 16


def test_the_form_of_the_release():
    spec = colours(templates=(Template('{question}'),))
    example = made(spec, number=1, form='flan')[0]
    exemplar, question = (
        BYTES.decode(example.inputs).removeprefix('0 ').removesuffix(' X 1 FLAN').split(' X 0 ')
    )
    assert (
        exemplar.partition(' X 1 ')[2] in ('red', 'green', 'blue')
        and question == 'Which colour has train thing 0?'
    )
    zero = made(spec, number=0, form='flan')[0]
    assert (BYTES.decode(zero.inputs), zero.shots) == ('0 Which colour has train thing 0? X 1 FLAN', 0)


def test_a_sample_is_random_and_small(monkeypatch):
    monkeypatch.setattr(fewshot, 'POOL', 50)
    found = fewshot.sample_pool(((number, str(number)) for number in range(1_000)), seed=3)
    numbers = [number for number, _ in found]
    assert len(set(numbers)) == 50 and numbers != sorted(numbers) and 350 < np.mean(numbers) < 650
    assert found == fewshot.sample_pool(((number, str(number)) for number in range(1_000)), seed=3)
    assert found != fewshot.sample_pool(((number, str(number)) for number in range(1_000)), seed=4)


@pytest.fixture
def collection(monkeypatch):
    monkeypatch.setattr(registry, 'COLLECTIONS', {})
    kept = Collection(
        'toy',
        (colours(), choices(), prose(), colours('held', splits=Splits(None, None, 'test'))),
        vocabulary='bytes',
    )
    registry.register(kept)
    return kept


def test_settings_do_not_mix_in_the_cache(collection, tmp_path):
    options = BuildOptions(tmp_path, fail_fast=True)
    asked = [None, Shots(1), Shots(2), Shots(2, seed=1), Shots(2, budget=300), Shots(2, form='flan')]
    found = [
        cache.ensure(['toy_colours', 'toy_prose'], View('train', BYTES, shots=shots), options).splits
        for shots in asked
    ]
    assert len({splits['toy_colours'].path for splits in found}) == len(asked)
    assert len({splits['toy_prose'].path for splits in found}) == 1, 'plain text has no exemplars'
    assert found[2]['toy_colours'].manifest['shots'] == dataclasses.asdict(Shots(2, budget=960)) | {
        'kept': {'2': 20}
    }
    assert found[0]['toy_colours'].manifest['shots'] is None and found[0]['toy_colours'].read(0).shots == 0
    assert found[2]['toy_colours'].read(0).shots == 2
    assert fewshot.kept_note({'a': found[2]['toy_colours'].manifest['shots']}) == (
        'Exemplars of its own training data before each example: 2.'
    )
    assert '2; 300 tokens hold fewer, on average, of a 1.' in fewshot.kept_note(
        {'a': found[4]['toy_colours'].manifest['shots']}
    )


def test_no_training_data_no_exemplars(collection, tmp_path):
    report = cache.ensure(['held'], View('test', BYTES, shots=Shots(2)), BuildOptions(tmp_path))
    assert report.skipped == {
        'held': "data set 'held' has no training split to draw few-shot exemplars from; ask it without shots"
    }


def test_a_mixture_is_asked_for_with_shots_and_few_templates(collection, tmp_path):
    assert mixtures.resolve('toy').shots is None
    assert mixtures.resolve(MixtureConfig('toy', shots=Shots(5, 700, 9))).shots == Shots(5, 700, 9)
    assert mixtures.resolve(MixtureConfig('toy', shots=5)).shots == Shots(5)
    assert mixtures.resolve(MixtureConfig('toy_held_out_nli', templates_per_task=2)).templates_per_task == 2
    named = mixtures.resolve('toy_held_out_nli_3templates')
    assert (named.templates_per_task, named.held_out, named.name) == (3, 'nli', 'toy_held_out_nli_3templates')
    cached = cache.ensure(['toy_colours'], View('train', BYTES, templates=2), BuildOptions(tmp_path)).splits[
        'toy_colours'
    ]
    assert [cached.read(index).template for index in range(4)] == [0, 1, 0, 1]
    given = [(None, 256), (100, 256), (700, 256), (700, None), (None, None)]
    assert [Shots(3, budget).within(length).budget for budget, length in given] == [256, 100, 256, 700, 960]


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (lambda: {'shots': -1}, r"shots is -1; expected .* from 0 to 4,950 or 'multi'"),
        (lambda: {'shots': 'many'}, r"shots is 'many'"),
        (lambda: {'shots': Shots(2, budget=0)}, r'Shots.budget is 0'),
        (lambda: {'shots': Shots(2, form='chat')}, r"Shots.form is 'chat'; expected one of plain, flan"),
        (lambda: {'templates_per_task': 0}, r'templates_per_task is 0; expected a whole number from 1'),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        MixtureConfig('toy', **settings())
