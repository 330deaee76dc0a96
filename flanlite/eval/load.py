"""A trained model as an object for notebooks and scripts: texts in, scores, rankings, answers, logits and
losses out.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from flanlite.data.batches import batches
from flanlite.data.tokens.vocabulary import Vocabulary
from flanlite.eval import generate, rank
from flanlite.eval.generate import Decoding
from flanlite.eval.rank import Question
from flanlite.mesh import partitioning
from flanlite.mesh.partitioning import Partitioner, make_partitioner
from flanlite.model import models
from flanlite.model.models import ModelConfig
from flanlite.training import losses, parameters

Prompts = str | None | Sequence[str | None]


class Ranking(NamedTuple):
    """The best of some options: its text, its index, and all options' log-probabilities."""

    text: str
    index: int
    scores: np.ndarray


class Model:
    """A model with its vocabulary. Methods take one text or several and return as many results as there are
    inputs. Where a log-probability is not finite, they raise a `ValueError` that shows the input. Of a model
    with several soft prompts, `prompt` names the one to ask with, or one for each input.

    Args:
        config: the model's.
        params: its parameters.
        vocabulary: turns texts into the tokens it was trained on; None leaves `logits` and `loss` of batches
            made elsewhere.
        partitioner: the mesh; by default all devices, the model whole on each.
        tokens_per_batch: padded tokens that are computed together, about.
    """

    def __init__(
        self,
        config: ModelConfig,
        params: models.Params,
        vocabulary: Vocabulary | None,
        partitioner: Partitioner | None = None,
        tokens_per_batch: int = 4096,
    ) -> None:
        self.config, self._vocabulary, self.tokens_per_batch = config, vocabulary, tokens_per_batch
        self.partitioner = partitioner or make_partitioner()
        self.params = partitioning.spread(params, models.shardings(config, self.partitioner))

    def __repr__(self) -> str:
        named = self._vocabulary.name if self._vocabulary else None
        size = sum(leaf.size for leaf in jax.tree.leaves(self.params))
        return f'Model({type(self.config).__name__}, {size:,} parameters, vocabulary {named!r})'

    @property
    def vocabulary(self) -> Vocabulary:
        """Return what turns texts into tokens; a `ValueError` where the model came without, or with fewer
        embeddings.
        """
        if self._vocabulary is None:
            raise ValueError(parameters.NO_VOCABULARY.format('the model'))
        self.config.check_vocabulary(self._vocabulary.name, self._vocabulary.size)
        return self._vocabulary

    def with_adapter(self, path: str) -> 'Model':
        """Return the model with another adapter, or with its first. Both share the model's own arrays, so
        that many adapters take little memory.

        Args:
            path: the adapter's checkpoint.

        Raises:
            ValueError: there is none, or it belongs to another model.
        """
        config, params = parameters.adapt(path, self.config, self.params)
        return Model(config, params, self._vocabulary, self.partitioner, self.tokens_per_batch)

    def score(
        self, inputs: str | Sequence[str], targets: str | Sequence[str], prompt: Prompts = None
    ) -> np.ndarray:
        """Compute the log-probability of each target given its input, end of text included.

        Args:
            inputs: n texts.
            targets: as many.
            prompt: see `Model`.

        Returns:
            float32[n].
        """
        inputs, targets = as_list(inputs), as_list(targets)
        check_as_many(inputs, targets, 'targets')
        questions = [
            Question(source, [target])
            for source, target in zip(self.encode_inputs(inputs, prompt), self.encode(targets), strict=True)
        ]
        return np.concatenate([np.zeros(0, np.float32), *self._rank(questions, inputs)])

    def rank(
        self,
        inputs: str | Sequence[str],
        options: Sequence[str] | Sequence[Sequence[str]],
        prompt: Prompts = None,
    ) -> list[Ranking]:
        """Find the most probable option for each input; of options that are the same tokens, the first.

        Args:
            inputs: n texts.
            options: texts that all inputs share, or n lists of texts.
            prompt: see `Model`.
        """
        inputs = as_list(inputs)
        shared = not isinstance(options, str) and all(isinstance(option, str) for option in options)
        if not shared and (single := [each for each in (options, *options) if isinstance(each, str)]):
            raise ValueError(
                f'got the options {single[0]!r}; expected a list of texts, or one for each input'
            )
        choices = [list(options)] * len(inputs) if shared else [list(each) for each in options]
        check_as_many(inputs, choices, 'lists of options')
        if not all(choices):
            raise ValueError('got an input without options; expected at least one for each')
        tokens = {text: ids for text, ids in self._encode_unique(text for each in choices for text in each)}
        questions = [
            Question(ids, [tokens[text] for text in each])
            for ids, each in zip(self.encode_inputs(inputs, prompt), choices, strict=True)
        ]
        rankings = []
        for each, question, scores in zip(choices, questions, self._rank(questions, inputs), strict=True):
            best = rank.best(question, scores)
            rankings.append(Ranking(each[best], best, scores))
        return rankings

    def generate(
        self, inputs: str | Sequence[str], max_length: int = 64, prompt: Prompts = None, **decoding: Any
    ) -> list[str]:
        """Write an answer to each input; greedily, unless told otherwise.

        Args:
            inputs: n texts.
            max_length: the longest answer, in tokens.
            prompt: see `Model`.
            **decoding: `beams`, `temperature`, `top_k`, `top_p`, `alpha` and `seed` of
                `flanlite.eval.generate.Decoding`.
        """
        settings = Decoding(max_length=max_length, **decoding)
        inputs = as_list(inputs)
        answers = generate.generate(
            self.config,
            self.params,
            self.partitioner,
            self.encode_inputs(inputs, prompt),
            settings,
            self.vocabulary.eos_id,
            self.tokens_per_batch,
            name=namer(inputs),
        )
        return [self.vocabulary.decode(tokens) for tokens in answers]

    def logits(self, batch: Mapping[str, Any]) -> np.ndarray:
        """Compute logits_BTV in float32 for a batch with SeqIO's keys, such as `batch` makes."""
        if not all(np.size(tokens) for tokens in batch.values()):
            return np.zeros((*np.shape(batch['decoder_target_tokens']), self.config.vocab_size), np.float32)
        return np.asarray(jit_logits(self.config)(self.params, dict(batch)))

    def loss(self, batch: Mapping[str, Any]) -> float:
        """Compute the mean cross entropy over a batch's target tokens, without z-loss; a `ValueError` where
        there are none.
        """
        if not np.any(batch['decoder_loss_weights']):
            raise ValueError('got a batch without target tokens; the loss is a mean over at least one')
        sums = jit_loss(self.config)(self.params, dict(batch))
        return float(sums['loss'] / sums['weight_sum'])

    def batch(
        self, inputs: str | Sequence[str], targets: str | Sequence[str], prompt: Prompts = None
    ) -> dict[str, np.ndarray]:
        """Make a batch of texts, a row each, padded to the longest; no texts make one without rows."""
        inputs, targets = as_list(inputs), as_list(targets)
        check_as_many(inputs, targets, 'targets')
        pairs = list(zip(self.encode_inputs(inputs, prompt), self.encode(targets), strict=True))
        lengths = tuple(max((len(pair[side]) for pair in pairs), default=0) for side in (0, 1))
        return batches.CONVERTERS[self.config.converter].pad(pairs, lengths)

    def encode_inputs(self, texts: Sequence[str], prompt: Prompts = None) -> list[np.ndarray]:
        """Turn texts into token ids, with BOS and EOS as the vocabulary's inputs have them, and the ids of a
        soft prompt before them.
        """
        if isinstance(prompt, str):
            self.config.check_prompts([prompt])
        names = [prompt] * len(texts) if prompt is None or isinstance(prompt, str) else prompt
        check_as_many(texts, names, 'prompts')
        return [
            np.concatenate([self.config.prompt(name), self.vocabulary.as_inputs(ids)])
            for name, ids in zip(names, self.encode(texts), strict=True)
        ]

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Turn texts into token ids with EOS."""
        return self.vocabulary.encode_arrays(list(texts))

    def _encode_unique(self, texts: Any) -> list[tuple[str, np.ndarray]]:
        unique = list(dict.fromkeys(texts))
        return list(zip(unique, self.encode(unique), strict=True))

    def _rank(self, questions: Sequence[Question], inputs: Sequence[str]) -> list[np.ndarray]:
        model = (self.config, self.params, self.partitioner)
        return rank.score(*model, questions, self.tokens_per_batch, name=namer(inputs))


@functools.lru_cache
def jit_logits(config: ModelConfig) -> Any:
    """Compile the logits of a batch."""
    return jax.jit(lambda params, batch: models.bind(config, params)(batch))


@functools.lru_cache
def jit_loss(config: ModelConfig) -> Any:
    """Compile the loss sums of a batch."""

    def sums(params: models.Params, batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        return losses.loss_sums(
            models.bind(config, params)(batch), batch['decoder_target_tokens'], batch['decoder_loss_weights']
        )

    return jax.jit(sums)


def namer(inputs: Sequence[str]) -> Callable[[int], str]:
    """Return a function that names the answer to an input, given its index."""
    return lambda number: f'an answer to {inputs[number][:60]!r}'


def as_list(texts: str | Sequence[str]) -> list[str]:
    """Take one text as a list of one."""
    return [texts] if isinstance(texts, str) else list(texts)


def check_as_many(inputs: Sequence[Any], others: Sequence[Any], name: str) -> None:
    """Refuse lists of unequal length."""
    if len(inputs) != len(others):
        raise ValueError(f'got {len(inputs)} inputs and {len(others)} {name}; expected as many of both')


def load(
    path: str,
    vocabulary: str | None = None,
    partitioner: Partitioner | None = None,
    config: ModelConfig | None = None,
    data_dir: str | None = None,
    adapter: str | None = None,
    **config_changes: Any,
) -> Model:
    """Load a model to score, rank and generate with.

    Args:
        path: a run's folder (its last checkpoint is taken), one of its checkpoints, either with `/ema` behind
            it for the moving average, a parameter file of ours, a T5X checkpoint, a folder of Hugging Face or
            of PEFT.
        vocabulary: a name or path for `vocabularies.load`; by default the one that the model was trained
            with, where that is known; no other one is taken then.
        partitioner: the mesh; by default all devices.
        config: the model's; by default what the checkpoint tells. A T5X checkpoint tells its sizes, and a
            gated MLP is taken for T5 1.1's.
        data_dir: the folder of local data, where T5's vocabulary may lie; by default that of
            FLANLITE_DATA_DIR.
        adapter: the checkpoint of an adapter to put beside the model of `path`. An adapter's own checkpoint
            as `path` finds its model where that was in training.
        **config_changes: fields of the config to replace, such as dtype='float32'.

    Raises:
        ValueError: there is no checkpoint, or its vocabulary cannot be found; without one, no text can be
            asked for.
    """
    path, base = (adapter, path) if adapter else (path, None)
    run = parameters.load_run(path, config, base, **config_changes)
    loaded = parameters.load_vocabulary(path, vocabulary, data_dir, base=base)
    return Model(run.config, run.params, loaded, partitioner)
