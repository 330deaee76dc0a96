"""A request for one task's cached split: what decides its bytes, its folder, and opening it where it is
there.
"""

import contextlib
import dataclasses
import functools
import os
import pathlib
import re
from typing import Any

from flanlite.data.cache import cached_split, remote
from flanlite.data.cache.cached_split import CachedSplit
from flanlite.data.cache.view import View
from flanlite.data.rendering import fewshot, rendering, seqio_tasks
from flanlite.data.rendering.asking import Asking
from flanlite.data.specs import fingerprints, sources, specs
from flanlite.data.specs.prompt_mix import PromptMix
from flanlite.version import __version__

FORMAT = 2  # raise it when records or files change, so that older caches are rebuilt


@dataclasses.dataclass(frozen=True)
class Request:
    """A request for one task's cached split.

    Args:
        name: the task.
        spec: its data set or plain text, its source resolved and seen as the view says; None for a foreign
            SeqIO task.
        view: what its examples look like, narrowed to the task, with a loaded vocabulary.
        root: the local folder of all caches.
        store: the URL of the remote folder that `root` is a copy of, where there is one.
        dropped: the indices of rows to leave out.
    """

    name: str
    spec: specs.Spec | None
    view: View
    root: pathlib.Path
    store: str | None = None
    dropped: frozenset[int] = frozenset()

    @functools.cached_property
    def described(self) -> dict[str, Any]:
        """Describe for the manifest what decides the records. It travels with the request: code that was sent
        elsewhere may hash differently.
        """
        spec, view, vocabulary = self.spec, self.view, self.view.vocabulary
        made_of = seqio_tasks.seqio_fingerprint(self.name) if spec is None else spec.fingerprint()
        more = (
            (view.shots, fewshot.Exemplars, fewshot.sample_pool) if view.shots and not view.prompt_mix else ()
        )
        more += (spec.few_shot,) if view.shots and spec and spec.few_shot else ()
        more += (of_mix(view.prompt_mix),) if view.prompt_mix else ()
        more += (seqio_tasks.as_rows,) if view.shots and not spec else ()
        # The first part of more rows may be others.
        more += (sorted(self.dropped), view.max_examples) if self.dropped else ()
        return {
            'name': self.name,
            'split': view.split,
            'style': view.style,
            'renderings': view.renderings,
            'examples_per_row': rendering.examples_per_row(spec, view.split, view.style, view.renderings)
            if spec
            else 1,
            'source': sources.label(spec.source) if spec else 'SeqIO task',
            'version': spec.source.version() if spec else made_of,
            'sample_seed': None if view.split == 'train' else rendering.SAMPLE_SEED,
            'spec': fingerprints.of(
                FORMAT, made_of, view.split, view.style, view.renderings, vocabulary.fingerprint(), *more
            ),
            'templates': fingerprints.of(getattr(spec, 'templates', ()), getattr(spec, 'baselines', ())),
            'vocabulary': {
                'name': vocabulary.name,
                'size': vocabulary.size,
                'fingerprint': vocabulary.fingerprint(),
            },
            'format': FORMAT,
            'flanlite': __version__,
        }

    @property
    def folder(self) -> pathlib.Path:
        """Return the folder of the whole split; one cut to `max_examples` has `-max<number>` behind it."""
        view = self.view
        few_shot = (f'{view.shots.number}shot',) if view.shots and not view.prompt_mix else ()
        few_shot += ('mix',) if view.prompt_mix else ()
        varied = (view.variation.name,) if view.variation else ()
        words = (
            view.split,
            view.style,
            str(view.renderings),
            *few_shot,
            *varied,
            pathlib.Path(view.vocabulary.name).stem,
        )
        return self.root / file_name(self.name) / f'{file_name("-".join(words))}-{self.described["spec"]}'

    @property
    def task_url(self) -> str:
        """Return the URL of the task's remote folder."""
        return f'{self.store}/{file_name(self.name)}'

    def serving(self, names: list[str]) -> list[str]:
        """Return those of the named folders that hold the requested examples."""
        # One that was put aside has more behind its name.
        form = re.compile(f'{re.escape(self.folder.name)}(?:-max([0-9]{{1,18}}))?')
        limits = {name: found[1] for name in names if (found := form.fullmatch(name))}
        wanted = self.view.max_examples
        return [name for name, limit in limits.items() if not limit or (wanted and int(limit) >= wanted)]


@functools.cache
def of_mix(mix: PromptMix) -> str:
    """Hash a prompt mix, and the code that asks so."""
    exemplars = (fewshot.Exemplars, fewshot.sample_pool, fewshot.drawn_form) if mix.most else ()
    return fingerprints.of(mix, PromptMix, Asking, rendering.in_turn, *exemplars)


def open_cached(request: Request) -> CachedSplit | None:
    """Open a cached split that serves a request, or return None; one that lies in the remote cache only is
    copied here first.

    Raises:
        DamagedCacheError: the split's files are not what its manifest says.
        CacheFolderError: the remote cache cannot be read.
    """
    home = request.folder.parent
    there = (
        request.serving(sorted(folder.name for folder in home.iterdir() if folder.is_dir()))
        if home.is_dir()
        else []
    )
    if not there and request.store and (there := request.serving(remote.names(request.task_url))):
        remote.fetch(f'{request.task_url}/{there[0]}', home / there[0])
    if not there:
        return None
    opened = cached_split.open_checked(home / there[0])
    with contextlib.suppress(OSError):  # a shared cache may be read-only
        os.utime(home / there[0])
    limit = request.view.max_examples
    return opened if limit is None else opened.take(limit * opened.manifest['examples_per_row'])


def file_name(name: str) -> str:
    """Replace what does not belong in a file's name."""
    return re.sub(r'[^\w.=+-]', '_', name)
