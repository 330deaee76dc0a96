"""`flanlite lint`."""

import argparse
import contextlib
import itertools
from collections.abc import Callable
from typing import Any

from rich.text import Text

from flanlite.cli.command import MIXTURE, Command
from flanlite.cli.console import CONSOLE
from flanlite.data.mixing import mixtures, naming
from flanlite.data.specs import linting, sources, specs, templates
from flanlite.data.tokens import vocabularies

LINT_ROWS = 50


def run(args: argparse.Namespace) -> None:
    """Check the templates of one collection, or of all."""
    if faults := lint(args.mixture, args.data_dir):
        raise ValueError(f'{faults} {"fault" if faults == 1 else "faults"}, listed above')


def lint(mixture: str | None = None, data_dir: str | None = None) -> int:
    """Check every template of a collection, or of all, each data set once, and print the faults; return how
    many there are.
    """
    faults, seen = 0, set()
    for name in [mixture] if mixture else naming.import_collections():
        collection = mixtures.resolve(name, data_dir).collection
        if collection is None:
            raise ValueError(
                f'{name!r} is no collection; the collections are {", ".join(naming.collection_names())}'
            )
        checked = [
            spec for spec in collection.specs if isinstance(spec, specs.DatasetSpec) and spec.name not in seen
        ]
        seen |= {spec.name for spec in checked}
        encode = encoder(collection.vocabulary, data_dir)
        for spec in checked:
            for fault in spec_faults(spec, collection.templates, data_dir, encode):
                faults += 1
                CONSOLE.print(Text(f'{spec.name}: {fault}', style='red'))
        if checked:
            CONSOLE.print(
                f'{name}: {len(checked)} data {"set" if len(checked) == 1 else "sets"}, '
                f'{sum(len(spec.templates) for spec in checked)} templates checked'
            )
    return faults


def spec_faults(
    spec: specs.DatasetSpec,
    count: int,
    data_dir: str | None = None,
    encode: Callable[[str], Any] | None = None,
) -> list[str]:
    """List the faults of a data set's templates; where its rows are at hand, some are rendered."""
    try:
        split, rows = first_rows(spec, data_dir)
    except ValueError as error:  # a file that cannot be read
        return [str(error)]
    if rows:
        return list(linting.lint(spec, rows, count, encode, split))
    fields = sorted({field for template in spec.templates for field in template.fields()})
    return list(templates.lint(spec.templates, fields, count=count))


def first_rows(spec: specs.DatasetSpec, data_dir: str | None = None) -> tuple[str, list[dict[str, Any]]]:
    """Read the first rows of a data set where they are at hand, and name their split; nothing is downloaded
    for this.
    """
    source = sources.prefer_data_folder(spec.source, data_dir)
    wanted = (spec.splits.test, spec.splits.validation, spec.splits.train)
    for split in filter(None, wanted if sources.at_hand(source, data_dir) else ()):
        with contextlib.suppress(sources.MissingDataError):  # a folder may hold some of the splits only
            if rows := list(itertools.islice(source.rows(split), LINT_ROWS)):
                return split, rows
    return '', []


def encoder(vocabulary: str, data_dir: str | None = None) -> Callable[[str], Any] | None:
    """Return what turns texts into tokens of a vocabulary, or None where it is not on this machine."""
    with contextlib.suppress(ValueError):
        return vocabularies.load(vocabulary, data_dir).encode
    return None


COMMAND = Command(
    'lint',
    'Look at data',
    'Check the templates of one collection, or of all.',
    run,
    (MIXTURE,),
    reads_gin=False,
)
