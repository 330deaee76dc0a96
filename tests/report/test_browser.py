"""The report in a real browser: what it asks for, sorting and choosing by keyboard, narrow, dark, on paper."""

import gzip
import json
import re

import chromium
import pytest
from toysweep import HOSTILE, write_sweep

from flanlite.report import report

pytestmark = pytest.mark.skipif(
    not chromium.find(), reason='needs Chromium: apt-get install chromium, or CHROMIUM=its path'
)
TITLE = 'toy: leave one cluster out'


@pytest.fixture(scope='module')
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp('sweep')
    write_sweep(folder)
    report.build(folder, TITLE)
    return folder


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    page = chromium.Page(tmp_path_factory.mktemp('profile'))
    yield page
    page.close()


@pytest.fixture
def page(browser, sweep):
    browser.media()
    browser.open(sweep / 'report.html')
    return browser


def open_all(page):
    page.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")


def test_nothing_is_asked_for_and_hostile_text_is_text(page, sweep):
    open_all(page)
    assert page.requests() == [(sweep / 'report.html').as_uri()] and page.errors() == []
    assert page.run('document.title') == TITLE and page.run('document.images.length') == 0
    shown = page.run(
        "[...document.querySelectorAll('.question pre')].map((each) => each.textContent).join('\\n')"
    )
    assert '</script><script>document.title = "taken"</script><img src=x onerror=alert(1)>' in shown
    assert '⟨U+202E⟩' in shown and '⟨U+0000⟩⟨U+001B⟩ 🫠 שלום' in shown and HOSTILE[-5:] in shown
    # The policy forbids what a text might smuggle in by another way.
    page.run(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'document.title = 1'}))"
    )
    page.run("document.body.append(Object.assign(new Image(), {src: 'https://example.org/x.png'}))")
    assert page.run('document.title') == TITLE
    assert len([error for error in page.errors() if 'Content Security Policy' in error]) == 2


TABLE = "[...document.querySelectorAll('table')].find((each) => each.caption.textContent.startsWith('Scores on a'))"


def test_tables_are_sorted_by_keyboard(page, sweep):
    open_all(page)
    page.run(f"{TABLE}.querySelectorAll('.sort')[2].focus()")

    def column():
        return page.run(f'[...{TABLE}.tBodies[0].rows].map((row) => row.cells[2].textContent)')

    def headings():
        return page.run(f"[...{TABLE}.tHead.rows[0].cells].map((each) => each.getAttribute('aria-sort'))")

    before = column()
    means = [float(re.match(r'[\d.]+', cell)[0]) for cell in before]
    assert means != sorted(means) and headings() == [None] * 7
    for text, order, said in (('\r', 'ascending', False), (' ', 'descending', True)):
        page.press('Enter' if text == '\r' else ' ', text)
        assert [float(re.match(r'[\d.]+', cell)[0]) for cell in column()] == sorted(means, reverse=said)
        assert headings() == [None, None, order, None, None, None, None]
        assert f'sorted by mean ± sd, {order}' in page.run(f'{TABLE}.caption.textContent')
    # What was not measured stands last either way: of one template there is no median.
    for _ in range(2):
        page.run(f"{TABLE}.querySelectorAll('.sort')[4].click()")
        medians = page.run(f'[...{TABLE}.tBodies[0].rows].map((row) => row.cells[4].textContent)')
        assert medians[3:] == ['–'] * 3 and '–' not in medians[:3]


def test_tables_are_filtered(page):
    open_all(page)
    wide = "[...document.querySelectorAll('table')].find((each) => each.caption.textContent.startsWith('Scores on what'))"
    page.run(f"{wide}.closest('.wide').previousElementSibling.querySelector('input').focus()")
    for letter in 'nli untuned':
        page.press(letter, letter)
    shown = page.run(
        f"[...{wide}.querySelectorAll('tr:not([hidden])')].filter((row) => row.checkVisibility()).map((row) => row.textContent.trim())"
    )
    assert [line.split('  ')[0] for line in shown[1:2]] == ['nli'] and len(
        shown
    ) == 4  # heading, nli, two systems
    assert '2 of 12 rows' in page.run(f'{wide}.caption.textContent')


def test_questions_are_chosen(page, sweep):
    open_all(page)
    with gzip.open(sweep / 'nli/tuned/predictions/a.jsonl.gz', 'rt') as lines:
        right = {
            (each['row'], each['template']): each['values']['accuracy'] == 100
            for each in map(json.loads, lines)
        }
    first = "document.querySelector('.asked')"
    keys = f"[...{first}.querySelectorAll('.question')].filter((each) => !each.hidden).map((each) => each.querySelector('summary').textContent.match(/row (\\d+), template (\\d+)/).slice(1).map(Number))"
    every = [tuple(key) for key in page.run(keys)]
    assert (
        len(every) == 60
        and len({row for row, _ in every}) == 60
        and {template for _, template in every} == set(range(5))
    )

    def choose(number, value):
        page.run(
            f"(() => {{ const s = {first}.querySelectorAll('select')[{number}]; s.value = '{value}'; s.dispatchEvent(new Event('change')); }})()"
        )
        return [tuple(key) for key in page.run(keys)]

    choose(0, 's0')
    assert choose(1, 'wrong') == [key for key in every if not right[key]] != []
    assert choose(2, '3') == [key for key in every if not right[key] and key[1] == 3] != []
    assert f'{len(choose(2, "3"))} of 60 questions' in page.run(f'{first}.textContent')
    choose(2, '')
    assert choose(1, 'right') == [key for key in every if right[key]]
    assert 0 < len(choose(1, 'differ')) < 60


def test_a_link_opens_what_it_names(page, sweep):
    page.run('document.querySelector(\'a[href="#nli.b"]\').click()')
    page.run('new Promise((done) => setTimeout(done, 50))')
    assert page.run("document.getElementById('nli.b').closest('details').open")
    page.open(sweep / 'report.html', '#sentiment.c')
    assert page.run("document.getElementById('sentiment.c').closest('details').open")


@pytest.mark.parametrize('width', [360, 1200])
def test_nothing_is_wider_than_the_screen_or_cut_off(page, width):
    page.resize(width)
    open_all(page)
    assert page.run('document.documentElement.scrollWidth') == width
    # Texts of plots stay inside their cards, and do not lie over each other.
    outside = page.run("""[...document.querySelectorAll('.plot text')].filter((each) => {
        const box = each.getBoundingClientRect(), card = each.closest('.card').getBoundingClientRect();
        return box.left < card.left || box.right > card.right + 1 || box.bottom > card.bottom + 1; }).map((each) => each.textContent)""")
    assert outside == []
    covered = page.run("""[...document.querySelectorAll('.plot')].flatMap((plot) => {
        const all = [...plot.querySelectorAll('text:not([transform])')].map((each) => [each.textContent, each.getBoundingClientRect()]);
        return all.flatMap(([name, a], i) => all.slice(i + 1).filter(([, b]) => a.left < b.right - 1 && b.left < a.right - 1
          && a.top < b.bottom - 3 && b.top < a.bottom - 3).map(([other]) => [name, other])); })""")
    assert covered == []


def test_words_without_end_do_not_widen_the_page(browser, sweep, tmp_path):
    endless = 'é' * 3000
    for path in sweep.glob('*/tuned/result.json'):
        kept = json.loads(path.read_text()) | {'notes': [endless], 'skipped': {endless: endless}}
        goes = tmp_path / path.relative_to(sweep)
        goes.parent.mkdir(parents=True)
        goes.write_text(
            json.dumps(
                kept
                | {'samples': [each | {'inputs': endless, 'prediction': endless} for each in kept['samples']]}
            )
        )
    report.build(tmp_path, endless)
    assert '\n- ' + endless in (tmp_path / 'report.md').read_text()
    browser.open(tmp_path / 'report.html', width=320)
    open_all(browser)
    assert (
        browser.run("document.querySelectorAll('.question').length")
        and browser.run('document.documentElement.scrollWidth') == 320
    )


def test_colours_follow_the_reader_and_paper_is_white(page):
    ground = 'getComputedStyle(document.body).backgroundColor'
    assert page.run(ground) == 'rgb(247, 247, 244)'
    page.media(prefers_color_scheme='dark')
    assert page.run(ground) == 'rgb(20, 23, 26)'
    page.media('print', prefers_color_scheme='dark')
    assert (
        page.run(ground) == 'rgba(0, 0, 0, 0)'
        and page.run('getComputedStyle(document.body).color') == 'rgb(29, 34, 38)'
    )
    seen = '(selector) => [...document.querySelectorAll(selector)].filter((each) => each.getClientRects().length).length'
    assert (
        page.run(f"({seen})('.data-set table')") >= 9 and page.run(f"({seen})('.question, .tools, nav')") == 0
    )
    assert page.printed().startswith(b'%PDF')


def test_a_screen_reader_is_told_what_everything_is(page):
    open_all(page)
    nodes = page.call('Accessibility.getFullAXTree')['nodes']
    named = {
        role: [
            node.get('name', {}).get('value', '').strip()
            for node in nodes
            if node.get('role', {}).get('value') == role and not node['ignored']
        ]
        for role in (
            'button',
            'combobox',
            'searchbox',
            'link',
            'region',
            'table',
            'image',
            'columnheader',
            'rowheader',
            'heading',
        )
    }
    for role, names in named.items():
        assert names and all(names), role
    assert (
        'Answers of' in named['combobox']
        and 'Rows with' in named['searchbox']
        and 'Scores on a' in named['table']
    )
    groups = [
        node['name']['value']
        for node in nodes
        if node.get('role', {}).get('value') == 'group' and 'name' in node
    ]
    assert 'Scores on what was held out' in groups  # whose rows a filter has
    chosen = page.run("[...document.querySelectorAll('.options .chosen')].map((each) => each.textContent)")
    assert chosen and all(each.startswith('chosen: ') for each in chosen)
