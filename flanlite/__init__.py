"""Instruction tuning in the style of FLAN, in JAX: templates, mixtures, a partitioned T5 loop and leave-one-cluster-out evaluation."""

from flanlite.version import __version__ as __version__


def load(path: str, **options: object) -> object:
    """Load a run folder or checkpoint as a model to score, rank and generate with; see `flanlite.eval.load.load`."""
    from flanlite.eval.load import load as load_model  # JAX is imported only when a model is asked for

    return load_model(path, **options)
