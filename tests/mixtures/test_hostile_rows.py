"""The text of every data set that we ship is the same natively and in its `seqio.Task`, on rows unlike those
of the data.
"""

import dataclasses
import os

import flan2021_rows
import hostile
import pytest
import t0_rows

from flanlite.data.rendering import rendering
from flanlite.data.seqio_bridge import tasks
from flanlite.data.specs import sources
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.mixtures import flan2021, pocket, t0

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
pytest.importorskip('tensorflow')

SPECS = {
    spec.name: spec
    for collection in (*flan2021.COLLECTIONS, *t0.COLLECTIONS, pocket.COLLECTION)
    for spec in collection.specs
    if isinstance(spec, DatasetSpec) and not hasattr(spec.source, 'prompt')
}
ROWS = {
    **flan2021_rows.ROWS,
    **t0_rows.OWN,
    **{name: t0_rows.BIG_BENCH for name in SPECS if name.startswith('bigbench_')},
    'sentiment140_faithful': flan2021_rows.ROWS['sentiment140'],
}
COUNT = 40  # rows of a data set, so that each of its templates has some
READ = Splits('train', None, None)


def example(spec, row):
    """Return a row's example, None where it is dropped, or the error that it raises."""
    try:
        return spec.example(row)
    except (ValueError, LookupError) as error:
        return error


def told(inputs, targets, template, options, answers):
    """Gather an example's texts from both ways in one form."""
    texts = [inputs, targets, *options, '', *answers]
    return template, [text.decode() if isinstance(text, bytes) else text for text in texts]


@pytest.mark.parametrize('name', SPECS)
def test_native_text_is_seqios_text(name):
    """The same rows are kept, and give the same texts by every template; what is an error in one is an error
    in the other.
    """
    spec = SPECS[name]
    row = ROWS.get(name) or next(iter(spec.source.rows(spec.splits.test)))
    shown = (*spec.templates, *spec.baselines, spec.bare_template())
    shows_options = any('{options_}' in template.inputs for template in shown)
    good, bad, examples = [], [], []
    for changed in hostile.rows(row, COUNT, name):
        found = example(spec, changed)
        if isinstance(found, Exception):
            bad.append(changed)
        # A row without options is an error only of the templates that show them.
        elif not (found and shows_options and not found['options']):
            good.append(changed)
            examples.append(found)
    native = dataclasses.replace(
        spec, source=sources.InMemory(lambda split: good), splits=READ, templates=shown
    )
    expected = {
        item.row: told(
            item.inputs,
            item.targets,
            item.template,
            examples[item.row]['options'],
            examples[item.row]['answers'],
        )
        for item in rendering.render(native, 'train')
    }
    assert len(expected) >= COUNT / 4
    rows = tasks.rows_dataset(good + bad)
    rendered = tasks.render_tensors(rows, spec=spec, shown=shown, rendering=0).ignore_errors()
    found = {
        int(item['row']): told(
            *(item[key] for key in ('inputs', 'targets', 'template', 'options', 'answers'))
        )
        for item in rendered.as_numpy_iterator()
    }
    assert found == expected
