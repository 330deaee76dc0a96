"""What a cached example looks like, and how a cached split is built: two values, of which only the first
decides bytes.
"""

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from typing import Annotated

from flanlite.config import value
from flanlite.data.mixing import drop_list
from flanlite.data.mixing.mixtures import Mixture
from flanlite.data.rendering.fewshot import Shots
from flanlite.data.specs import specs
from flanlite.data.specs.prompt_mix import PromptMix
from flanlite.data.specs.variations import Variation, VariedSpec
from flanlite.data.tokens.vocabulary import Vocabulary
from flanlite.limits import Count, Processes, one_of


@value
class View:
    """What the examples of a split look like: with the task's name, all that decides the bytes of its cached
    split.

    Args:
        split: train, validation or test.
        vocabulary: the vocabulary, or what `vocabularies.load` takes.
        style: `instructions`, `baseline` (plain prompts), `fields` (no words of a template) or `names` (names
            of cluster and data set before these).
        renderings: how many templates each row gets; `all` for every one that is not inverted, as evaluation
            needs.
        shots: the few-shot exemplars before each example; None for none. Plain text has none in any case.
        templates: use only the first so many templates of each data set; None for all.
        max_examples: at most so many rows, for all tasks or by task: the first of `train`, a random sample of
            other splits; None for all.
        drop: a file that lists training rows to leave out, as an audit writes it; None for none. Of other
            splits no row is left out.
        variation: how the examples of data sets are changed; None for not at all.
        prompt_mix: draws how each row is asked, exemplars included, in place of `shots`; for all tasks or by
            task. None asks with the templates as they are. Plain text has no prompts in any case.

    Raises:
        ValueError: a split or style that does not exist, or a number below 1.
    """

    split: Annotated[str, one_of(*specs.SPLITS)]
    vocabulary: str | Vocabulary
    style: Annotated[str, one_of(*specs.STYLES)] = 'instructions'
    renderings: Count | Annotated[str, one_of('all')] = 1
    shots: Shots | None = None
    templates: Count | None = None
    max_examples: Count | Mapping[str, Count | None] | None = None
    drop: str | os.PathLike | None = None
    variation: Variation | None = None
    prompt_mix: PromptMix | Mapping[str, PromptMix] | None = None

    def of_task(self, name: str, spec: specs.Spec | None) -> 'View':
        """Return the view of one task: its own cap on rows and prompt mix, and no exemplars of plain text."""
        limit = self.max_examples.get(name) if isinstance(self.max_examples, Mapping) else self.max_examples
        mix = self.prompt_mix.get(name) if isinstance(self.prompt_mix, Mapping) else self.prompt_mix
        if isinstance(spec, specs.TextSpec):
            return dataclasses.replace(self, max_examples=limit, shots=None, prompt_mix=None)
        shots = shots_of(mix) if mix else self.shots and self.shots.within(None)
        return dataclasses.replace(self, max_examples=limit, shots=shots, prompt_mix=mix)

    def applied_to(self, spec: specs.Spec | None) -> specs.Spec | None:
        """Return a data set with the templates that the view uses, and changed as it says; what has no
        templates is returned as it is.
        """
        if not isinstance(spec, specs.DatasetSpec):
            return spec
        if self.templates:
            spec = dataclasses.replace(spec, templates=spec.templates[: self.templates])
        return VariedSpec.of(spec, self.variation) if self.variation else spec

    def dropped_rows(self) -> dict[str, frozenset[int]]:
        """Read the rows to leave out, by task.

        Raises:
            ValueError: the file cannot be read, or is no list of rows.
        """
        return drop_list.read_drop_list(self.drop) if self.drop and self.split == 'train' else {}


@functools.cache
def shots_of(mix: PromptMix) -> Shots | None:
    """Return the exemplars that a prompt mix draws from; None where it has no few-shot setting."""
    return Shots(mix.most, mix.budget, mix.seed).within(None) if mix.most else None


@value
class BuildOptions:
    """How cached splits are built and where they lie; decides no byte of them.

    Args:
        cache_dir: where caches lie, a folder or a URL such as `gs://bucket/cache`; by default
            FLANLITE_CACHE_DIR, or flanlite's part of the user's cache folder.
        data_dir: the folder of local data; by default FLANLITE_DATA_DIR.
        processes: how many processes build at once; by default as many as there are CPUs to use. Little work
            is done by this one alone.
        beam_flags: build on Apache Beam with these flags, such as `--runner=DirectRunner`; SeqIO's tasks are
            built here all the same.
        fail_fast: raise at the first task that fails, instead of skipping it.
        rebuild: build again what is there.

    Raises:
        ValueError: a number of processes below 1.
    """

    cache_dir: str | os.PathLike | None = None
    data_dir: str | os.PathLike | None = None
    processes: Processes | None = None
    beam_flags: Sequence[str] = ()
    fail_fast: bool = False
    rebuild: bool = False


def view_of(
    mixture: Mixture,
    split: str,
    vocabulary: str | Vocabulary,
    feature_lengths: Mapping[str, int] | None = None,
    style: str = 'instructions',
    max_rows: int | None = None,
    scored: bool | None = None,
    soft_tokens: int = 0,
) -> View:
    """Return how a mixture's examples look.

    What is trained on has a template a row, in turn, of the mixture's first `templates_per_task`, without the
    rows that it drops and within each task's cap. What is scored has every row with every template that is
    not inverted. Both have the mixture's exemplars, and the prompt mix that was asked for; that of a part of
    the collection is for training alone.

    Args:
        mixture: the mixture.
        split: train, validation or test.
        vocabulary: the vocabulary, or what `vocabularies.load` takes.
        feature_lengths: tokens of inputs and targets; exemplars must leave room for the example within the
            inputs' length. Without, they have FLAN's budget.
        style: see `View`.
        max_rows: at most so many rows of each task, in place of the mixture's caps.
        scored: whether the examples are scored rather than trained on; by default those of all splits but
            `train` are.
        soft_tokens: the room that a soft prompt takes of the inputs'.
    """
    scored = split != 'train' if scored is None else scored
    room = feature_lengths and feature_lengths['inputs'] - soft_tokens
    shots = mixture.shots and mixture.shots.within(room)
    mix = mixture.prompt_mix if isinstance(mixture.prompt_mix, PromptMix) else None
    if scored:
        return View(
            split,
            vocabulary,
            style,
            renderings='all',
            shots=shots,
            max_examples=max_rows,
            prompt_mix=mix and mix.within(room),
        )
    caps = max_rows or {entry.task: entry.max_examples for entry in mixture.entries}
    mixes = mixture.prompt_mixes()
    narrowed = {each: each.within(room) for each in set(mixes.values())}
    return View(
        split,
        vocabulary,
        style,
        shots=shots,
        templates=mixture.templates_per_task,
        max_examples=caps,
        drop=mixture.drop,
        prompt_mix={name: narrowed[each] for name, each in mixes.items()} or None,
    )
