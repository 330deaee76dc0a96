"""The page of `flanlite show --html`, and what it is made of."""

import html.parser
import re

import numpy as np
import pytest

from flanlite.cli import main as cli
from flanlite.data import overview
from flanlite.data.cache import cache
from flanlite.data.cache.view import View
from flanlite.data.config import DataConfig
from flanlite.data.specs import registry
from flanlite.data.specs.collection import Collection
from flanlite.data.specs.sources import InMemory
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import Template
from flanlite.report import data_page

HOSTILE = "</span><script>alert(1)</script>\" onload='x' {{ 7 * 7 }} &lt; \u202e right \x00\x07"
TEXTS = ['alpha', 'beta', HOSTILE, 'alpha', 'alpha', 'x' * 90]  # row 3 repeats row 0, row 4 contradicts both


def rows(split):
    return [{'text': text, 'label': int(number == 4)} for number, text in enumerate(TEXTS)]


def spec(name, templates):
    return DatasetSpec(
        name=name, cluster='sentiment', source=InMemory(rows, name), splits=Splits('train', None, None), options=('bad', 'good'),
        fields=lambda row: {'review': row['text'], 'answer': row['label']}, templates=templates,
    )  # fmt: skip


TEMPLATES = (
    Template('<b>{review}</b>'),
    Template('How is {review}?'),
    Template('A {answer} one', '{review}', inverted=True),
)
registry.register(
    Collection(
        'toypage', (spec('toypage_a', TEMPLATES), spec('toypage_b', TEMPLATES[:1])), vocabulary='bytes'
    )
)
LENGTHS = {'inputs': 64, 'targets': 8}


class Page(html.parser.HTMLParser):
    """Collects the tags, and the text of each `class`."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = [], set(), ''
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text += data


def test_the_page_shows_templates_packing_lengths_and_duplicates(tmp_path, capsys):
    path = tmp_path / 'data.html'
    lengths = "--gin.TASK_FEATURE_LENGTHS={'inputs': 64, 'targets': 8}"
    gin = [
        '--gin_file=gin/runs/pocket_train.gin',
        '--gin.INITIAL_CHECKPOINT_PATH=None',
        lengths,
        '--gin.BATCH_SIZE=2',
    ]
    asked = ['show', '--mixture=toypage', '--vocabulary=bytes', *gin]
    assert not cli.main([*asked, f'--html={path}']), capsys.readouterr()
    assert 'toypage_b' in capsys.readouterr().out
    text = path.read_text()
    page = Page(text)
    assert not {'script', 'link', 'img', 'iframe', 'b>'} & {*page.tags} and not re.search(
        r'https?://|url\(', text
    )
    assert not [name for name in page.attributes if name.startswith('on')]
    assert '<script>alert(1)</script>' in page.text and '{{▁7▁*▁7▁}}' in page.text, 'as text, as it is'
    for shown in (
        'toypage_a',
        '<b>{review}</b>',
        'A {answer} one',
        'template 2, inverted',
        'rows 0, 3, 4; answers: good / bad',
    ):
        assert shown in page.text.replace('bad / good', 'good / bad'), shown
    # Of the rows with long texts, which are the inputs of one task and the targets of the other.
    assert '2 of 6 (33.3%) are cut at 64' in page.text and '2 of 6 (33.3%) are cut at 8' in page.text
    ((tokens, lost),) = re.findall(r'targets (\d+) tokens, of which a run cuts the last (\d+)', page.text)
    assert int(tokens) - int(lost) == 8
    assert text.count('class="token gone"') == int(lost)
    assert cli.main([*asked, f'--html={tmp_path}']) == 2
    assert 'expected a file in a folder that is there' in capsys.readouterr().err


def opened(*names):
    view = View('train', 'bytes')
    found = cache.ensure(names, view).splits
    return found, view


def test_duplicates_are_counted_before_templates_are_filled():
    (splits, view) = opened('toypage_a')
    found = overview.duplicates('toypage_a', splits['toypage_a'], view)
    assert (found.searched, found.repeated, found.contradicted) == (6, 1, 1)
    assert found.groups == (([0, 3, 4], 'alpha', ['bad', 'good']),)


@pytest.mark.parametrize('converter', ['encoder_decoder', 'prefix_lm'])
def test_packing_names_the_task_of_each_segment(converter):
    splits, _ = opened('toypage_a', 'toypage_b')
    config = DataConfig('toypage', {'inputs': 128, 'targets': 16}, 3)
    packed = overview.packing(splits.values(), {'toypage_a': 1.0, 'toypage_b': 0.0}, config, 0, converter)
    parts = [part for row in packed.sides['targets'] for part in row]
    assert {part.task for part in parts} == {'toypage_a'}, 'the other has rate 0'
    assert packed.examples() == len(parts) > 3
    for side, rows_of in packed.sides.items():
        assert 0 < packed.fill(side) <= 1
        for row in rows_of:
            assert [part.number for part in row] == list(range(1, len(row) + 1))
            ends = np.cumsum([part.length for part in row])
            assert [part.start for part in row] == [0, *ends[:-1]] and ends[-1] <= packed.room[side]


def test_histograms_count_every_example_once():
    lengths = np.array([[3, 1], [5, 1], [5, 2], [400, 1]])
    found = data_page.histogram(lengths, 'inputs', 64)
    assert sum(found.counts) == 4 and found.counts[-1] == 1 and (found.truncated, found.longest) == (1, 400)
    assert found.counts[3 // found.width] >= 1 and found.median == 5 and 0 < found.cut_at < 1
