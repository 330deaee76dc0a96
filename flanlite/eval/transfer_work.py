"""What a prompt transfer trains and scores, step by step, and the files that it keeps."""

import functools
import io
import json
import pathlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import traverse_util

from flanlite.config import to_text
from flanlite.data.cache.view import view_of
from flanlite.data.mixing import mixtures
from flanlite.data.mixing.mixtures import Mixture, MixtureConfig
from flanlite.data.specs import registry
from flanlite.data.tokens.vocabulary import Vocabulary
from flanlite.eval import neurons, projector, splits
from flanlite.eval.evaluator import Evaluator
from flanlite.eval.similarity import SIMILARITIES, TaskEmbedding, weighted_prompt
from flanlite.eval.splits import Opened
from flanlite.eval.transfer_config import TransferConfig, mixture_of
from flanlite.mesh import partitioning, processes
from flanlite.model import adapters, models
from flanlite.model.soft_prompt import ONE, prompts_of
from flanlite.reading import foreign
from flanlite.report import results
from flanlite.report.results import Result
from flanlite.report.scores import TaskScores
from flanlite.report.transfer import START, ZERO_SHOT
from flanlite.training import checkpoints, parameters, run, soft_prompts
from flanlite.training.begin import choose_vocabulary

PROMPTS, RUNS = 'prompts', 'runs'  # folders
CURVE = 'curve.json'


class Scored(NamedTuple):
    """A target's splits: that which is scored, and the validation split, by which something is chosen."""

    test: Opened
    validation: Opened


class Transfer:
    """A transfer with what its settings name.

    Args:
        config: its settings.
        mixed: what each source and target means.
        vocabulary: the model's.
    """

    def __init__(self, config: TransferConfig, mixed: Mapping[str, Mixture], vocabulary: Vocabulary) -> None:
        self.config, self.mixed, self.vocabulary = config, mixed, vocabulary
        self.folder = pathlib.Path(config.train.model_dir)
        self.own = own_pairs(config, mixed)
        self.bare = config.train.model.replace(adapter=None)
        self.partitioner = partitioning.make_partitioner(config.train.mesh)
        self.splits = functools.lru_cache(maxsize=1)(self._splits)  # the work goes from target to target

    @classmethod
    def open(cls, config: TransferConfig) -> 'Transfer':
        """Find what the settings name; builds and reads no data.

        Raises:
            ValueError: an unknown name, a target that is no task or has no validation split, too few sources
                to retrieve, or sources that no mixture can hold together.
        """
        mixed = {name: mixtures.resolve(mixture_of(config, name)) for name in config.names}
        for target in config.targets:
            tasks = [entry.task for entry in mixed[target].entries]
            if tasks != [target]:
                raise ValueError(
                    f'the target {target!r} is no task but a mixture of {len(tasks)}; expected the name of a '
                    f'task, such as {tasks[0]!r}'
                )
            if not splits.has_split(target, 'validation'):
                raise ValueError(
                    f'the target {target!r} has no validation split, on which prompts are chosen and their '
                    'steps counted; expected one that has'
                )
        own = own_pairs(config, mixed)
        for target in config.targets:
            free = [source for source in config.sources if (source, target) not in own]
            if len(free) < config.top_k:
                raise ValueError(
                    f'{config.top_k} sources are to be retrieved for {target!r} (top_k), and only '
                    f'{len(free)} do not have it in them; name more sources, or lower top_k'
                )
        collections = {id(mixed[source].collection): mixed[source].collection for source in config.sources}
        if 'mixture' in config.strategies and (len(collections) > 1 or None in collections.values()):
            raise ValueError(
                "the strategy 'mixture' trains on several sources together, and these are not of one "
                "collection; leave 'mixture' out of TransferConfig.strategies, or name sources of one"
            )
        check_projector(config)
        first = config.train.replace(**{'data.mixture': mixture_of(config, config.targets[0])})
        return cls(config, mixed, choose_vocabulary(first))

    @functools.cached_property
    def base(self) -> models.Params:
        """The parameters of the model without a prompt."""
        train = self.config.train
        return parameters.load_params(
            train.initial_checkpoint_path, self.bare, dtype=train.model.adapter.base_dtype
        )

    def params(self, prompt_PD: np.ndarray) -> models.Params:
        """Return the model's parameters with a prompt."""
        table = soft_prompts.place_of(self.bare)[0]
        path = (*table.split('/'), adapters.PART, 'prompts', ONE)
        return adapters.put_together(
            self.base, traverse_util.unflatten_dict({path: jax.numpy.asarray(prompt_PD)})
        )

    def _splits(self, target: str) -> Scored:
        """Open the splits of a target; builds what is not cached."""
        config, data = self.config, self.config.train.data
        opened = []
        for split, most in (('test', config.max_rows), ('validation', config.dev_rows)):
            view = view_of(
                self.mixed[target],
                split,
                self.vocabulary,
                data.feature_lengths,
                max_rows=most,
                soft_tokens=config.train.model.adapter.length,
            )
            opened.append(splits.open_splits([target], view, data.build_options()))
            if not opened[-1].splits:
                raise ValueError(
                    f'the {split} split of {target} cannot be read: {opened[-1].skipped[target]}'
                )
        return Scored(*opened)

    def score(self, opened: Opened, prompt_PD: np.ndarray | None) -> tuple[TaskScores, list[str]]:
        """Score the model on a target's split, with a prompt or without; return the notes, too."""
        evaluator = Evaluator(
            opened.splits, self.vocabulary, self.config.train.data.feature_lengths, self.config.scoring
        )
        bare = prompt_PD is None
        model, params = (self.bare, self.base) if bare else (self.config.train.model, self.params(prompt_PD))
        (scores,) = evaluator.run(model, params, self.partitioner).values()
        return scores, [*opened.notes, *evaluator.notes(model)]

    def train(
        self,
        folder: pathlib.Path,
        mixture: MixtureConfig,
        seed: int,
        steps: int,
        start: pathlib.Path | None = None,
    ) -> pathlib.Path:
        """Train a prompt, or go on; return the folder, in which a checkpoint of every multiple of
        `every_steps` is kept.
        """
        train, every = self.config.train, self.config.every_steps
        adapter = train.model.adapter
        if start:
            adapter = adapter.replace(init='file', file=str(start), source=None, text=None)
        changes = {
            'model_dir': str(folder),
            'data.mixture': mixture,
            'train_steps': steps,
            'seed': train.seed + seed,
            'model': train.model.replace(adapter=adapter),
            'checkpoints.every_steps': every,
            'checkpoints.keep_last': steps // every + 1,
            'checkpoints.keep_best': 0,
        }
        run.train(train.replace(**changes))
        return folder

    def prompt_at(self, folder: pathlib.Path, step: int) -> np.ndarray:
        """Read the prompt that a run had at a step."""
        path = folder / checkpoints.FOLDER / str(step)
        (prompt_PD,) = prompts_of(parameters.load_adapter(path, parameters.describe(path).config)[0]).values()
        return np.asarray(prompt_PD, np.float32)

    def prompt_file(self, name: str, seed: int) -> pathlib.Path:
        """Return where the prompt of a source or target lies."""
        return prompt_file(self.folder, name, seed)

    def prompt(self, name: str, seed: int) -> np.ndarray:
        """Read the prompt of a source or target."""
        return soft_prompts.read_file(self.prompt_file(name, seed))

    def embedded(self, name: str, seed: int) -> bool:
        """Return whether the prompt of a source or target is there, at its early step, too."""
        return embedding_file(self.folder, name, seed).is_file()

    def own_run(self, name: str, seed: int, steps: int) -> pathlib.Path:
        """Train the prompt of a source or target from its first values; return the run's folder."""
        folder = self.folder / RUNS / name / f'plain{steps}-{seed}'
        return self.train(folder, mixture_of(self.config, name), seed, steps)

    def embed(self, name: str, seed: int) -> None:
        """Train the prompt of a source or target, and keep it with its embedding."""
        config = self.config
        steps = config.steps_of_source if name in config.sources else config.train.train_steps
        folder = self.own_run(name, seed, steps)
        early_PD = self.prompt_at(folder, config.embedding_steps)
        active_N = neurons.activated(config.train.model, self.params(early_PD))
        keep_array(self.prompt_file(name, seed), self.prompt_at(folder, steps))
        content = io.BytesIO()
        np.savez(content, prompt=early_PD, neurons=active_N, settings=to_text(config))
        keep(embedding_file(self.folder, name, seed), content.getvalue())

    def systems(self, target: str, seed: int) -> Iterator[tuple[str, str]]:
        """Yield (system, source) of all that is scored of a target, in order; the sources' prompts are
        there.
        """
        config = self.config
        free = [source for source in config.sources if (source, target) not in self.own]
        taken = self.retrieved(target, seed)
        if seed == 0:
            yield 'untuned', ''
        yield 'plain', ''
        yield from ((ZERO_SHOT, source) for source in free)
        if config.starts == 'all' or 'best' in config.strategies:
            yield from ((START, source) for source in (free if config.starts == 'all' else taken))
        yield from ((strategy, '') for strategy in ('average', 'mixture') if strategy in config.strategies)
        if config.projector:
            yield 'projected', ''

    def retrieved(self, target: str, seed: int) -> tuple[str, ...]:
        """Return the k sources whose prompts are most similar to a target's, the most similar first."""
        found = embeddings(self.folder, self.config.names, seed)
        alike = similarity_of(self.config.similarity, found, self.config.sources, target, self.own)
        return most_similar(alike, self.config.top_k)

    def start_of(self, target: str, system: str, source: str, seed: int) -> pathlib.Path:
        """Return the prompt that a system begins with; makes it where it is none of the sources'."""
        config = self.config
        if system == START:
            return self.prompt_file(source, seed)
        taken = self.retrieved(target, seed)
        folder = self.folder / RUNS / target / f'{system}-{seed}'
        if system == 'average':
            alike = similarity_of(
                config.similarity, embeddings(self.folder, config.names, seed), taken, target, self.own
            )
            made = weighted_prompt(
                [self.prompt(name, seed) for name in taken], [alike[name] for name in taken]
            )
        else:
            tasks = dict.fromkeys(entry.task for name in taken for entry in self.mixed[name].entries)
            collection = self.mixed[taken[0]].collection.name
            together = mixture_of(config, collection).replace(include=tuple(tasks))
            steps = config.steps_of_source
            made = self.prompt_at(self.train(folder / 'source', together, seed, steps), steps)
        return keep_array(folder / f'start{soft_prompts.SUFFIX}', made)

    def carried(self, seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return the prompts that both models have: {name: (the other's, this one's)}."""
        return {
            name: (soft_prompts.read_file(file), self.prompt(name, seed))
            for name in self.config.names
            if (file := prompt_file(pathlib.Path(self.config.projector), name, seed)).is_file()
        }

    def projected(self, target: str, seed: int) -> np.ndarray:
        """Carry the other model's prompt of a target to this one, by a projector that never saw it."""
        pairs = self.carried(seed)
        other_PD, _ = pairs.pop(target)
        return projector.train(*zip(*pairs.values(), strict=True), self.config.train.seed + seed)(other_PD)

    def measure(self, target: str, system: str, source: str, seed: int) -> None:
        """Score one system on a target, with training before where it is one that trains; keep the result."""
        config, opened = self.config, self.splits(target)
        start, curve = time.monotonic(), []
        if system in ('untuned', ZERO_SHOT, 'projected'):
            prompts = {'untuned': lambda: None, ZERO_SHOT: lambda: self.prompt(source, seed)}
            last = prompts.get(system, lambda: self.projected(target, seed))()
        else:
            steps = config.train.train_steps
            if system == 'plain':
                folder = self.own_run(target, seed, steps)
            else:
                begins = self.start_of(target, system, source, seed)
                folder = self.folder / RUNS / target / named(system, source, seed)
                self.train(folder, mixture_of(config, target), seed, steps, begins)
                curve.append((0, np.load(begins)))
            marks = [*range(config.every_steps, steps, config.every_steps), steps]
            curve += [(step, self.prompt_at(folder, step)) for step in marks]
            last = curve[-1][1]
        trained = time.monotonic() - start
        points = [
            (step, results_of(target, *self.score(opened.validation, prompt_PD)).tasks[0].summary.mean)
            for step, prompt_PD in curve
        ]
        scores, notes = self.score(opened.test, last)
        cluster = getattr(registry.find_spec(target), 'cluster', None) or ''
        result = results_of(
            target,
            scores,
            [*config.notes, *notes],
            cluster,
            run=self.folder.name,
            system=named(system, source, seed),
            seconds={'train': trained, 'score': time.monotonic() - start - trained},
            **results.told_settings(config),
            environment=splits.environment(),
        )
        if jax.process_index() == 0:
            folder = self.folder / target / result.system
            results.write_text(folder / CURVE, json.dumps(points))
            results.save(folder, result, {target: scores})
        processes.wait_for_all(f'{target}/{result.system}')


def check_projector(config: TransferConfig) -> None:
    """Raise a `ValueError` if another model's folder lacks a prompt of a target, or of all that a projector
    learns from.
    """
    if not config.projector:
        return
    folder = pathlib.Path(config.projector)
    for target in config.targets:
        for seed in range(config.seeds):
            files = {name: prompt_file(folder, name, seed) for name in config.names}
            there = [name for name, file in files.items() if file.is_file()]
            for name in there:
                soft_prompts.read_file(files[name])
            if target not in there or len(there) < 2:
                raise ValueError(
                    f'TransferConfig.projector is {config.projector}, which has prompts of '
                    f'{", ".join(there) or "no source or target"} (seed {seed}); expected the folder of '
                    f'flanlite transfer with another model, with those of {target} and of another task'
                )


def own_pairs(config: TransferConfig, mixed: Mapping[str, Mixture]) -> frozenset[tuple[str, str]]:
    """Return the pairs (source, target) whose source has the target in it."""
    return frozenset(
        (source, target)
        for source in config.sources
        for target in config.targets
        if target in [entry.task for entry in mixed[source].entries]
    )


def similarity_of(
    name: str,
    found: Mapping[str, TaskEmbedding],
    sources: Sequence[str],
    target: str,
    own: frozenset[tuple[str, str]],
) -> dict[str, float]:
    """Return the similarity of a target with each source that has an embedding and does not have it in it."""
    free = [source for source in sources if (source, target) not in own]
    return {
        source: SIMILARITIES[name](found[source], found[target])
        for source in free
        if source in found and target in found
    }


def most_similar(alike: Mapping[str, float], count: int) -> tuple[str, ...]:
    """Return the sources with the highest similarities, the highest first."""
    return tuple(sorted(alike, key=alike.get, reverse=True)[:count])


def embeddings(folder: pathlib.Path, names: Sequence[str], seed: int) -> dict[str, TaskEmbedding]:
    """Read the embeddings of a folder, of those names that have one."""
    found = {}
    for name in names:
        if (path := embedding_file(folder, name, seed)).is_file():
            with foreign(path), np.load(path) as kept:
                found[name] = TaskEmbedding(kept['prompt'].astype(np.float64), kept['neurons'])
    return found


def prompt_file(folder: pathlib.Path, name: str, seed: int) -> pathlib.Path:
    """Return where a folder has the prompt of a source or target."""
    return folder / PROMPTS / f'{name}-{seed}{soft_prompts.SUFFIX}'


def embedding_file(folder: pathlib.Path, name: str, seed: int) -> pathlib.Path:
    """Return where the embedding of a source or target lies."""
    return folder / PROMPTS / f'{name}-{seed}.embedding.npz'


def named(system: str, source: str, seed: int) -> str:
    """Return the name of a result: `start.boolq-0`, `plain-0`."""
    return f'{system}.{source}-{seed}' if source else f'{system}-{seed}'


def results_of(
    target: str, scores: TaskScores, notes: Sequence[str], cluster: str = '', **fields: Any
) -> Result:
    """Summarize the scores of one target."""
    fields = {'run': '', 'system': ''} | fields
    return results.make_result({target: scores}, {target: (cluster, '')}, notes=tuple(notes), **fields)


def keep(path: pathlib.Path, content: bytes) -> pathlib.Path:
    """Write a file, in the first process, before any process goes on."""
    if jax.process_index() == 0:
        results.write_bytes(path, content)
    processes.wait_for_all(str(path))
    return path


def keep_array(path: pathlib.Path, array: np.ndarray) -> pathlib.Path:
    """Write an array as `keep` does."""
    content = io.BytesIO()
    np.save(content, array)
    return keep(path, content.getvalue())
