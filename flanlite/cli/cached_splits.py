"""The cached splits of a mixture that `cache` and `show` work on."""

import argparse
from typing import Any

from flanlite.cli import gin_config
from flanlite.data.cache import cache
from flanlite.data.cache.view import BuildOptions, View, view_of
from flanlite.data.mixing.mixtures import Mixture
from flanlite.data.specs import registry
from flanlite.data.tokens import vocabularies
from flanlite.data.tokens.vocabulary import Vocabulary


def vocabulary_of(args: argparse.Namespace, mixture: Mixture) -> Vocabulary:
    """Load the vocabulary that a flag or gin file names, else that of the checkpoint that a run would begin
    from, else the mixture's own.
    """
    name = args.vocabulary or gin_config.macro('VOCABULARY', None)
    if begun := gin_config.macro('INITIAL_CHECKPOINT_PATH', None):
        from flanlite.training import begin  # imports JAX

        return begin.vocabulary_for(mixture, name, begun, args.data_dir)
    return vocabularies.load(name or mixture.vocabulary, data_dir=args.data_dir)


def view(args: argparse.Namespace, mixture: Mixture, split: str) -> View:
    """Return what the examples of a mixture's split look like."""
    lengths = gin_config.macro('TASK_FEATURE_LENGTHS', None)
    return view_of(mixture, split, vocabulary_of(args, mixture), lengths)


def ensure(args: argparse.Namespace, mixture: Mixture, split: str, **options: Any) -> cache.CacheReport:
    """Build what the cache lacks of a mixture's split: of the tasks that have it, as training or evaluation
    reads them.
    """
    named = [entry.task for entry in mixture.entries]
    tasks = [task for task in named if (spec := registry.find_spec(task)) is None or spec.splits.get(split)]
    built = BuildOptions(cache_dir=args.cache_dir, data_dir=args.data_dir, **options)
    return cache.ensure(tasks, view(args, mixture, split), built)
