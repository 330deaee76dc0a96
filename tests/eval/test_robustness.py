"""Whether answers hold: a scorer that looks at the places of options is caught, one that reads them is not."""

import itertools
import json
import re
import shutil
import zlib

import numpy as np
import pytest
import toyeval as toy

from flanlite.cli import main as cli
from flanlite.data.cache import cache
from flanlite.data.cache.view import View
from flanlite.data.rendering.fewshot import Shots
from flanlite.data.specs import registry, sources
from flanlite.data.specs.collection import Collection
from flanlite.data.specs.specs import DatasetSpec
from flanlite.data.specs.templates import Template
from flanlite.data.specs.variations import ANSWER_WORDS, OPTION_ORDER, WORDS, Variation, VariedSpec
from flanlite.data.tokens import vocabularies
from flanlite.eval import robustness
from flanlite.eval.evaluate import EvalConfig
from flanlite.eval.robustness import RobustnessConfig
from flanlite.report import results
from flanlite.report import robustness as tables
from flanlite.report.robustness import TEMPLATES
from flanlite.training import parameters

BYTES = vocabularies.load('bytes')
TEXTS = (
    Template('{a} and {b}?\n{options_}'),
    Template('{options_}\nSay of {a}, {b}'),
    Template('{a} {b}, yes or no?\n{options_}'),  # names the labels
    Template('of {a} and {b}'),  # shows no options
    Template('make one of {answer}\n{options_}', '{a}', inverted=True),
)


def rows(split):
    return [{'a': a, 'b': a * a % 13} for a in range(30)]


def spec(name, fields, metric='accuracy', options=(), templates=TEXTS):
    return DatasetSpec(name, 'nli', sources.InMemory(rows, name), fields, templates, metric, options)


def label(number):
    return lambda row: {**row, 'answer': int(row['b'] % number)}


COLLECTION = Collection(
    'robust',
    (
        spec('robust_f1', label(2), 'glue_accuracy_f1', ('yes', 'no')),
        spec('robust_cb', label(3), 'superglue_cb', ('yes', 'no', 'unclear')),
        spec(
            'robust_own', lambda row: {**row, 'options': [f'{row["a"] + n}' for n in range(4)], 'answer': 2}
        ),
        spec('robust_bare', label(2), options=('up', 'down'), templates=TEXTS[3:]),
    ),
    templates=2,
    vocabulary='bytes',
)
registry.register(COLLECTION)


def numbers(question):
    """Read the two numbers that a question is about; the options of a data set's own have some, too."""
    text = re.sub('- .*', '', BYTES.decode_inputs(question.inputs))
    return tuple(map(int, re.findall('[0-9]+', text)))


def scorer(score):
    """Put a function of (question, place of an option, its text) in the place of the model."""

    def rank(config, params, partitioner, questions, *args, **named):
        return [
            np.array([score(each, *pair) for pair in enumerate(map(BYTES.decode, each.options))], np.float32)
            for each in questions
        ]

    return rank


by_place = scorer(lambda question, place, option: -place)
by_content = scorer(
    lambda question, place, option: zlib.crc32(f'{numbers(question)} {option}'.encode()) / 2**32
)
# For labels in their own order, whatever words they stand in.
knowing = scorer(lambda question, place, option: numbers(question)[1] % len(question.options) == place)
knowing_one_template = scorer(
    lambda question, place, option: (
        (numbers(question)[1] % len(question.options) == place)
        == ('Say of' in BYTES.decode_inputs(question.inputs))
    )
)


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / 'toy.safetensors'
    metadata = {'vocabulary': 'bytes', 'feature_lengths': {'inputs': 90, 'targets': 10}, 'step': 7}
    parameters.save_params(path, toy.params(), toy.CONFIG, dtype='float32', metadata=metadata)
    return str(path)


def config(checkpoint, **settings):
    evaluation = EvalConfig(
        checkpoint, settings.pop('mixture', 'robust'), max_rows=settings.pop('max_rows', 12)
    )
    return RobustnessConfig(evaluation, **settings)


def lines(found, kind):
    return {
        change.row.name: change
        for change in found.table
        if change.kind == kind and change.row.kind == 'data set'
    }


def examples(name, variation, **more):
    view = View('test', BYTES, renderings='all', variation=variation, **more)
    return list(cache.ensure([name], view).splits[name].examples())


def shown(example):
    """Read the options in the order of the inputs."""
    return [line[2:] for line in BYTES.decode_inputs(example.inputs).splitlines() if line.startswith('- ')]


def test_options_are_shown_in_another_order_that_seed_and_row_decide():
    as_is = {(each.row, each.template): each for each in examples('robust_own', None)}
    seeds = [examples('robust_own', Variation(OPTION_ORDER, seed)) for seed in (0, 0, 1)]
    orders = [[shown(each) for each in found] for found in seeds]
    assert orders[0] == orders[1] != orders[2]
    for each in seeds[0]:
        own = as_is[each.row, each.template]
        assert sorted(shown(each)) == sorted(shown(own)) and shown(each) != shown(own)
        assert shown(each) == list(each.options) == [BYTES.decode(tokens) for tokens in each.option_tokens]
        assert each.answers == own.answers
    assert {each.template for each in seeds[0]} == {0, 1, 2}, 'only those that show the options'
    places = {tuple(np.argsort([int(option) for option in each.options])) for each in seeds[0]}
    assert len(places) > 5, 'rows have orders of their own'


def test_renamed_options_keep_their_names_beside_the_words():
    variation = Variation(ANSWER_WORDS, 1)
    word = VariedSpec.of(registry.find_spec('robust_cb'), variation).words
    assert (
        list(word) == ['yes', 'no', 'unclear']
        and len(set(word.values())) == 3
        and set(word.values()) <= set(WORDS)
    )
    found = examples('robust_cb', variation)
    assert {each.template for each in found} == {0, 1}, 'not those that name the labels or hide them'
    for each in found:
        assert each.options == ('yes', 'no', 'unclear') and each.answers[0] in each.options
        assert shown(each) == [BYTES.decode(tokens) for tokens in each.option_tokens] == list(word.values())
        assert BYTES.decode(each.targets) == word[each.answers[0]]
    assert VariedSpec.of(registry.find_spec('robust_cb'), Variation(ANSWER_WORDS, 2)).words != word


def test_exemplars_are_renamed_too():
    word = Variation(ANSWER_WORDS).renamed(registry.find_spec('robust_f1'))
    text = BYTES.decode_inputs(examples('robust_f1', Variation(ANSWER_WORDS), shots=Shots(2, 900))[0].inputs)
    assert text.count('OPTIONS') == 3 and 'yes' not in text and 'no' not in text.split()
    assert sum(text.count(each) for each in word.values()) == 3 * 2 + 2, 'in options, and as two answers'


def test_a_scorer_by_place_is_caught(checkpoint, monkeypatch):
    monkeypatch.setattr('flanlite.eval.rank.score', by_place)
    found = robustness.robustness(config(checkpoint, kinds=(OPTION_ORDER,)))
    changed = lines(found, OPTION_ORDER)
    assert set(changed) == {'robust_f1', 'robust_cb', 'robust_own'}
    two, own = changed['robust_f1'], changed['robust_own']
    assert two.answers == 100 and two.row.first + two.row.second == pytest.approx(100)
    assert own.answers > 50 and own.row.second == 0 < own.row.low < own.row.first == pytest.approx(
        np.mean(own.seeds)
    )
    assert 'option_order leaves out robust_bare: no template shows the options as a block.' in found.notes


def test_a_scorer_by_content_does_not_change_its_answers(checkpoint, monkeypatch):
    monkeypatch.setattr('flanlite.eval.rank.score', by_content)
    found = robustness.robustness(config(checkpoint, kinds=(OPTION_ORDER,)))
    assert [change.row.kind for change in found.table] == ['data set'] * 3 + ['cluster', 'all']
    for change in found.table:
        assert change.answers == change.row.difference == change.row.low == change.row.high == 0
    assert 0 < found.table[-1].row.first < 100


@pytest.mark.parametrize('rank, right', [(knowing, True), (by_place, False)])
def test_renamed_labels_count_right(checkpoint, monkeypatch, tmp_path, rank, right):
    """A scorer that reads no words has the same scores as is and renamed, by metrics of classes too."""
    monkeypatch.setattr('flanlite.eval.rank.score', rank)
    found = robustness.robustness(config(checkpoint, kinds=(ANSWER_WORDS,)))
    changed = lines(found, ANSWER_WORDS)
    assert set(changed) == {'robust_f1', 'robust_cb'}
    for change in changed.values():
        assert change.answers == 0 and change.row.first == change.row.second == pytest.approx(change.seeds[2])
        assert (change.row.first == 100) == right
    folder = tmp_path / 'toy' / 'robustness' / 'robust-test'
    as_is, renamed = (results.load(folder / way / 'result.json') for way in ('as_is', 'answer_words_2'))
    for one, other in itertools.product(as_is.tasks, renamed.tasks):
        if one.task == other.task:
            assert one.metric == other.metric != 'accuracy' and len(other.templates) == 2
            assert [each['scores'] for each in one.templates[:2]] == [
                each['scores'] for each in other.templates
            ]
    assert [{name: len(words) for name, words in each.items()} for each in found.words] == [
        {'robust_f1': 2, 'robust_cb': 3}
    ] * 3


def test_unseen_templates_are_set_against_those_of_training(checkpoint, monkeypatch, tmp_path):
    monkeypatch.setattr('flanlite.eval.rank.score', knowing_one_template)
    with pytest.raises(
        ValueError, match=r'in another way: templates leaves out robust_f1, .*not trained on with a part'
    ):
        robustness.robustness(config(checkpoint, kinds=(TEMPLATES,)))
    manifest = {
        'tasks': {'robust_f1': {}, 'robust_bare': {}},
        'style': 'instructions',
        'mixture': {'templates_per_task': 2},
    }
    (tmp_path / 'manifest.json').write_text(json.dumps(manifest))
    found = robustness.robustness(config(checkpoint, kinds=(TEMPLATES,)))
    (change,) = found.table
    assert (change.row.name, change.row.second, change.row.first) == ('robust_f1', 50, 0)
    assert change.answers == 50 and change.seeds == ()
    assert sum('robust_bare: the first 2 of its templates' in note for note in found.notes) == 1


def test_what_is_done_is_kept(checkpoint, monkeypatch, tmp_path, capsys):
    asked = []
    monkeypatch.setattr(
        'flanlite.eval.rank.score', lambda *args, **named: asked.append(1) or by_place(*args, **named)
    )
    wanted = config(checkpoint, kinds=(ANSWER_WORDS,), mixture='robust_cb')
    first = robustness.robustness(wanted.replace(seeds=2))
    assert len(asked) == 3
    folder = tmp_path / 'toy' / 'robustness' / 'robust_cb-test'
    (folder / 'answer_words_1' / 'result.json').unlink()
    assert robustness.robustness(wanted.replace(seeds=2)) == first and len(asked) == 4, (
        'what was interrupted only'
    )
    more = robustness.robustness(wanted)
    assert len(asked) == 5 and len(more.table[0].seeds) == 3 and more.words[:2] == first.words
    kept = json.loads((folder / 'robustness.json').read_text())
    assert kept['rows'] == more.rows() and 'superglue' not in (folder / 'robustness.md').read_text()
    told = ['robustness', f'--checkpoint={checkpoint}', '--mixture=robust_cb', '--max_rows=12']
    by_gin = [
        "--gin.RobustnessConfig.kinds=('answer_words', 'option_order')",
        '--gin.RobustnessConfig.seeds=1',
    ]
    assert cli.main([*told, *by_gin]) == 0
    assert len(asked) == 6 and 'Option order.' in capsys.readouterr().out
    assert '<svg' in (folder / 'robustness.html').read_text()
    assert str(tables.load(folder / 'robustness.json').rows()) == str(
        robustness.robustness(wanted.replace(kinds=(ANSWER_WORDS, OPTION_ORDER), seeds=1)).rows()
    )
    assert cli.main([*told[:3], '--max_rows=9']) == 2
    assert 'evaluation.max_rows was 12, now it is 9' in capsys.readouterr().err
    assert len(asked) == 6
    shutil.rmtree(folder / 'as_is' / 'predictions')
    assert cli.main([*told, *by_gin]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert 'as_is has lost the predictions of robust_cb; remove it, and the same command asks again' in line
    shutil.rmtree(folder / 'as_is')
    assert cli.main([*told, *by_gin]) == 0 and len(asked) == 7


@pytest.mark.parametrize(
    'flags, told',
    [
        (['--kinds=words'], "'words'; did you mean answer_words?"),
        (['--words=a,a'], 'words are a, a; expected different words'),
        (['--words=one,two'], 'robust_cb: more options than the 2 words'),
        (['--seeds=0'], 'whole number from 1'),
        (['--gin.RobustnessConfig.seeds=0'], 'RobustnessConfig.seeds is 0; expected a whole number from 1'),
        (['--style=baseline'], 'the style has no templates'),
    ],
)
def test_bad_input_is_one_line(checkpoint, capsys, flags, told):
    asked = [
        'robustness',
        f'--checkpoint={checkpoint}',
        '--mixture=robust_cb',
        '--kinds=answer_words,templates',
    ]
    assert cli.main([*asked, *flags]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert told in line


def test_words_that_a_vocabulary_cannot_write_are_refused():
    pocket = vocabularies.load('pocket')
    robustness.check_words(WORDS, pocket)
    with pytest.raises(ValueError, match='cannot write the words Ünter; expected others, with --words'):
        robustness.check_words(('lemon', 'Ünter'), pocket)
