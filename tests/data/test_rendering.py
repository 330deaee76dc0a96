import itertools

import numpy as np
import pytest
from toy_specs import BYTES, choices, colours, make_rows, prose

from flanlite.data.rendering import rendering
from flanlite.data.specs import specs
from flanlite.data.specs.specs import Splits


def kept(split):
    return [row['id'] for row in make_rows(split) if not row['skip']]


def test_example_i_gets_template_i_modulo_their_number():
    found = list(rendering.render(colours(), 'train'))
    assert [item.row for item in found] == kept('train')
    assert [item.template for item in found] == [place % 5 for place in range(len(found))]
    assert (
        found[1].inputs
        == 'Question 1: Which colour has train thing 1?\n\nOPTIONS:\n- red\n- green\n- blue\n{1}'
    )
    assert found[4].inputs == 'Ask something about train thing 4 that is answered by red.'
    assert found[4].targets == 'Which colour has train thing 4?'
    assert found[0].options == ()


def test_several_renderings_are_row_major():
    found = list(rendering.render(colours(), 'train', renderings=2))
    assert [(item.row, item.template) for item in found[:4]] == [(0, 0), (0, 1), (1, 1), (1, 2)]
    assert len(list(rendering.render(colours(), 'train', renderings=9))) == 5 * len(kept('train'))


def test_evaluation_gets_every_template_that_is_not_inverted():
    found = list(rendering.render(colours(), 'test', renderings='all'))
    assert [item.template for item in found] == [0, 1, 2, 3] * len(kept('test'))
    rows = [item.row for item in found[::4]]
    assert sorted(rows) == kept('test')
    assert rows != sorted(rows), 'in a random order, since rows are sorted by label'
    assert found[0].options == ('red', 'green', 'blue')
    assert found[0].answers == (found[0].targets,)
    again = [item.row for item in rendering.render(colours(), 'test', renderings='all')]
    assert again[::4] == rows, 'always the same order'


def test_a_row_keeps_its_template_in_any_order():
    by_row = {item.row: item.template for item in rendering.render(colours(), 'test')}
    assert [by_row[row] for row in sorted(by_row)] == [place % 5 for place in range(len(by_row))]


def test_rows_of_a_group_stand_together():
    spec = colours(group=lambda row: row['number'])
    for split, size in (('train', 20), ('test', 10)):
        found = list(rendering.examples(spec, split, BYTES))
        groups = [example.group for example in found]
        assert len(found) == size
        if split == 'test':
            assert [key for key, _ in itertools.groupby(groups)] == list(dict.fromkeys(groups)), (
                'a limit cuts one group at most'
            )
            assert len(set(groups)) == 5
            assert sorted(example.row for example in found) == kept('test')
        else:
            assert set(groups) == {''}, 'only what is evaluated needs them'


def test_styles():
    assert (
        next(rendering.render(colours(), 'train', style='baseline')).inputs
        == 'Which colour has train thing 0? Answer:'
    )
    fields = list(rendering.render(colours(), 'train', style='fields'))
    assert fields[0].inputs == 'Which colour has train thing 0?'
    assert fields[0].targets == 'red'
    with pytest.raises(ValueError, match="no templates of the style 'baseline'"):
        list(rendering.render(choices(), 'train', style='baseline'))


def test_limits_are_counted():
    tally = rendering.Tally()
    assert len(list(rendering.render(colours(), 'train', limit=7, tally=tally))) == 7
    assert (tally.used, tally.truncated, tally.filtered) == (7, True, {'keep': 1})
    whole = rendering.Tally()
    assert len(list(rendering.render(colours(), 'train', limit=len(kept('train')), tally=whole))) == len(
        kept('train')
    )
    assert (whole.read, whole.truncated, whole.filtered) == (23, False, {'keep': 3})


def test_tokens_and_metadata():
    found = list(rendering.examples(choices(), 'test', BYTES, renderings='all'))
    rendered = list(rendering.render(choices(), 'test', renderings='all'))
    assert len(found) == len(rendered) == 18
    for example, item in zip(found, rendered, strict=True):
        assert BYTES.decode(example.inputs) == item.inputs
        assert example.inputs[-1] == example.targets[-1] == 1
        assert (
            [BYTES.decode(tokens) for tokens in example.option_tokens]
            == list(example.options)
            == list(item.options)
        )
        assert (example.row, example.template, example.answers) == (item.row, item.template, item.answers)


def test_faults_name_the_row():
    with pytest.raises(ValueError, match=r"'toy_colours', train row 0: KeyError: 'colour_name'"):
        list(rendering.render(colours(fields=lambda row: {'answer': row['colour_name']}), 'train'))
    with pytest.raises(ValueError, match=r"'toy_colours', train row 0: AttributeError"):
        list(rendering.render(colours(keep=lambda row: row.colour), 'train'))
    with pytest.raises(ValueError, match='has no validation split, only train, test'):
        list(rendering.render(choices(), 'validation'))
    with pytest.raises(ValueError, match="names the field 'thing', but the data set gives only"):
        list(rendering.render(colours(fields=lambda row: {'question': '', 'answer': 1}), 'train'))


def test_plain_text_is_cut_and_corrupted_anew():
    tally = rendering.Tally()
    spec = prose(corruptions=3, roll=True)
    found = list(rendering.examples(spec, 'train', BYTES, tally=tally))
    assert len(found) == 3 * tally.used == len(list(rendering.examples(prose(roll=True), 'train', BYTES))) * 3
    assert [example.template for example in found[:3]] == [0, 1, 2]
    assert len({example.inputs.tobytes() for example in found[:9]}) > 6
    assert [example.row for example in found] == sorted(example.row for example in found)
    first = next(iter(rendering.examples(prose(roll=True), 'train', BYTES)))
    np.testing.assert_array_equal(first.inputs, found[0].inputs)
    changed = next(iter(rendering.examples(prose(seed=1, roll=True), 'train', BYTES)))
    assert changed.inputs.tobytes() != first.inputs.tobytes()
    assert max(len(example.inputs) for example in found) <= 21


def test_prefix_lm_restores_the_text():
    spec = prose(objective='prefix_lm', length=1_000)
    for row, example in zip(spec.source.rows('train'), rendering.examples(spec, 'train', BYTES), strict=True):
        assert BYTES.decode([*example.inputs[:-1], *example.targets]) == row['text']


def test_texts_of_one_token_are_dropped_and_counted():
    tally = rendering.Tally()
    spec = prose(
        text=lambda row: 'x' if 'word word' in row['text'] else row['text'],
        splits=Splits('train', None, None),
    )
    assert list(rendering.examples(spec, 'train', BYTES, tally=tally))
    assert tally.filtered == {'fewer than 2 tokens': 6}
    assert isinstance(spec, specs.TextSpec)
