"""EleutherAI's lm-evaluation-harness on a model of flanlite: its interface `LM`, and its evaluation of tasks.
Needs the extra `harness`.

Requests are computed in the ranker's and the decoder's batches, whatever their lengths and order.
"""

import collections
import contextlib
import json
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from flanlite.config import closest
from flanlite.data.cache import cache
from flanlite.eval import rank
from flanlite.eval.generate import Decoding
from flanlite.eval.load import Model, load
from flanlite.eval.rank import Question
from flanlite.eval.splits import DEFAULT_TARGET_LENGTH
from flanlite.mesh import partitioning
from flanlite.paths import at_home, check_folder
from flanlite.reading import read_json
from flanlite.report import results

try:
    import lm_eval
    from lm_eval import tasks as harness_tasks
    from lm_eval import utils as harness_utils
    from lm_eval.api.model import LM
    from lm_eval.api.registry import register_model
except ImportError as error:
    raise ImportError(
        f'lm-evaluation-harness cannot be imported ({error}); install flanlite[harness]'
    ) from error

RESULTS = 'results.json'
CONTINUATIONS = ('targets', 'text')
LONGEST = ('max_gen_toks', 'max_new_tokens', 'max_tokens', 'max_completion_tokens')  # one and the same there
# What the harness's tasks say of decoding, and what it is called here.
DECODING = {'temperature': 'temperature', 'top_k': 'top_k', 'top_p': 'top_p', 'num_beams': 'beams'}


@register_model('flanlite')
class FlanliteLM(LM):
    """A model as the harness asks it.

    Args:
        checkpoint: for `flanlite.load`; or a loaded model.
        continuations: what a text after a context is. `targets`: an answer, as in training and in
            `flanlite eval`: its tokens are its own, a blank before it is none of them, and its end counts as
            its last. `text`: it goes on the context, as in the harness's own models: of a decoder alone
            both are turned into tokens together, nothing ends the context, and no end counts.
        max_length: the longest window, in tokens, in which `loglikelihood_rolling` reads a text.
        tokens_per_batch: padded tokens that are computed together, about.
        **settings: further ones of `flanlite.load`.

    Raises:
        ValueError: another word for `continuations`, or a checkpoint that does not exist.
    """

    def __init__(
        self,
        checkpoint: str | Model,
        continuations: str = 'targets',
        max_length: int = 1024,
        tokens_per_batch: int = 4096,
        **settings: Any,
    ) -> None:
        super().__init__()
        if continuations not in CONTINUATIONS:
            raise ValueError(f'got continuations={continuations!r}; expected {" or ".join(CONTINUATIONS)}')
        for given in ('batch_size', 'max_batch_size', 'device'):  # what the harness gives every model
            settings.pop(given, None)
        self.model = checkpoint if isinstance(checkpoint, Model) else load(checkpoint, **settings)
        self.continuations, self.max_length = continuations, int(max_length)
        self.tokens_per_batch = int(tokens_per_batch)
        self.alone = self.model.config.converter != 'encoder_decoder'

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Compute the log-probability of each continuation, and whether greedy decoding writes it."""
        del disable_tqdm
        pairs = [request.args[:2] for request in requests]
        scored = self._scored([self._tokens(*pair) for pair in pairs])
        found = [(float(score), bool(greedy)) for score, greedy in scored]
        for pair, each in zip(pairs, found, strict=True):
            self.cache_hook.add_partial('loglikelihood', pair, each)
        return found

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Compute the log-probability of whole texts, without their end. A text that is longer than a window
        is read in several; all windows but the first are full.

        An encoder-decoder model writes each window with nothing to read, or with the window before it.
        """
        del disable_tqdm
        vocabulary, pairs, owners = self.model.vocabulary, [], []
        for number, request in enumerate(requests):
            ids, start = vocabulary.encode(request.args[0]), 0
            for asked, predicted in harness_utils.get_rolling_token_windows(ids, -1, self.max_length, 1):
                # Of a decoder alone, what a window has before the tokens that it predicts.
                room = len(asked) - len(predicted) + 1 if self.alone else self.max_length
                pairs.append((self._context(ids[max(0, start - room) : start]), predicted))
                owners.append(number)
                start += len(predicted)
        found = [0.0] * len(requests)
        for owner, (score, _) in zip(owners, self._scored(pairs), strict=True):
            found[owner] += float(score)
        for request, score in zip(requests, found, strict=True):
            self.cache_hook.add_partial('loglikelihood_rolling', request.args, score)
        return found

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Write a text after each context, up to one of the texts that end it."""
        del disable_tqdm
        groups: dict[tuple[tuple[str, Any], ...], list[int]] = collections.defaultdict(list)
        for number, request in enumerate(requests):
            groups[tuple(sorted(decoding_of(request.args[1]).items()))].append(number)
        found = [''] * len(requests)
        for settings, numbers in groups.items():
            asked = [requests[number].args[0] for number in numbers]
            for number, text in zip(numbers, self.model.generate(asked, **dict(settings)), strict=True):
                found[number] = cut(text, requests[number].args[1].get('until') or ())
        for request, text in zip(requests, found, strict=True):
            self.cache_hook.add_partial('generate_until', request.args, text)
        return found

    def _context(self, ids: Sequence[int]) -> np.ndarray:
        """Return the ids of a text as what the model reads before it goes on: as an input, whose end a
        decoder alone does not read here.
        """
        before, behind = self.model.vocabulary.around
        return np.array([*before, *ids, *(() if self.alone else behind)], np.int32)

    def _tokens(self, context: str, continuation: str) -> tuple[np.ndarray, Sequence[int]]:
        """Return the ids of a context and its continuation."""
        vocabulary = self.model.vocabulary
        if self.continuations == 'targets':
            target = vocabulary.encode_arrays([continuation.removeprefix(' ')])[0]
            return vocabulary.as_inputs(vocabulary.encode_arrays([context])[0]), target
        if not self.alone:
            return self._context(vocabulary.encode(context)), vocabulary.encode(continuation)
        # A blank before a word belongs to its token.
        stripped = context.rstrip()
        whole, begun = vocabulary.encode(context + continuation), vocabulary.encode(stripped)
        return self._context(whole[: len(begun)]), whole[len(begun) :]

    def _scored(self, pairs: Sequence[tuple[np.ndarray, Sequence[int]]]) -> np.ndarray:
        """Compute the log-probability of each continuation, and whether it is greedy: float32[N, 2]. The
        continuations of a context are computed together.
        """
        grouped: dict[bytes, list[int]] = {}
        for number, (context, _) in enumerate(pairs):
            grouped.setdefault(context.tobytes(), []).append(number)
        questions = [
            Question(pairs[numbers[0]][0], [np.array(pairs[number][1], np.int32) for number in numbers])
            for numbers in grouped.values()
        ]
        model = (self.model.config, self.model.params, self.model.partitioner)
        scored = np.zeros((len(pairs), 2), np.float32)
        for numbers, found in zip(
            grouped.values(), rank.score(*model, questions, self.tokens_per_batch, greedy=True), strict=True
        ):
            scored[numbers] = found
        return scored


def decoding_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a task's settings of generation as those of `Decoding`; greedy unless it samples.

    Raises:
        ValueError: a number that cannot be.
    """
    found = {ours: settings[theirs] for theirs, ours in DECODING.items() if settings.get(theirs) is not None}
    samples = settings.get('do_sample')
    if samples and 'temperature' not in found:
        found['temperature'] = 1.0  # transformers' own
    if not (found.get('temperature', 0) > 0 if samples is None else samples):
        found = {name: value for name, value in found.items() if name == 'beams'}
    lengths = (settings[name] for name in LONGEST if settings.get(name) is not None)
    longest = next(lengths, DEFAULT_TARGET_LENGTH)
    Decoding(max_length=longest, **found)
    return {'max_length': longest, **found}


def cut(text: str, stops: str | Iterable[str]) -> str:
    """Return a text up to the first of some texts that end it."""
    for stop in [stops] if isinstance(stops, str) else stops:
        text = text.partition(stop)[0] if stop else text
    return text


def harness(
    checkpoint: str,
    tasks: Sequence[str],
    include_path: str | None = None,
    output: str | None = None,
    num_fewshot: int | None = None,
    limit: int | None = None,
    continuations: str = 'targets',
    cache_dir: str | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Run the harness's tasks on a checkpoint; print its table, and write its results and samples.

    Args:
        checkpoint: for `flanlite.load`.
        tasks: names of tasks, groups or tags.
        include_path: a folder with tasks of one's own; those of the harness are looked at only where it lacks
            one.
        output: the folder for `results.json` and `samples_<task>.jsonl`; None writes nothing.
        num_fewshot: exemplars, by default as each task says.
        limit: at most so many examples of each task.
        continuations: see `FlanliteLM`.
        cache_dir: of the token cache, in which compiled programs are kept; by default FLANLITE_CACHE_DIR.
        **settings: further ones of `flanlite.load`.

    Returns:
        What the harness's `simple_evaluate` returns.

    Raises:
        ValueError: a task, folder or checkpoint that does not exist, or an output that cannot be written or
            has results of others.
    """
    if output:
        check_folder(at_home(output), 'name another --output')
        check_own(pathlib.Path(at_home(output)))
    if include_path and not os.path.isdir(at_home(include_path)):
        raise ValueError(f'no folder {include_path!r}; expected one with tasks as YAML (--include_path)')
    manager = manager_of(tasks, at_home(include_path) if include_path else None)
    partitioning.keep_compiled(cache.cache_folder(cache_dir) / 'jax')
    found = lm_eval.simple_evaluate(
        model=FlanliteLM(checkpoint, continuations, **settings),
        tasks=list(tasks),
        task_manager=manager,
        num_fewshot=num_fewshot,
        limit=limit,
        log_samples=output is not None,
    )
    print(harness_utils.make_table(found))
    if found.get('groups'):
        print(harness_utils.make_table(found, 'groups'))
    if output:
        folder = pathlib.Path(at_home(output))
        for task, samples in found.pop('samples').items():
            lines = [json.dumps(sample, ensure_ascii=False, default=str) for sample in samples]
            results.write_text(folder / f'samples_{task}.jsonl', '\n'.join([*lines, '']))
        results.write_text(folder / RESULTS, json.dumps(found, indent=1, default=str))
        print(f'wrote {folder}/{RESULTS}')
    return found


def check_own(folder: pathlib.Path) -> None:
    """Raise a `ValueError` where a folder has results that the harness did not write."""
    if not (folder / RESULTS).exists():
        return
    with contextlib.suppress(ValueError, OSError):
        found = read_json(folder / RESULTS)
        if isinstance(found, dict) and {'results', 'configs'} <= found.keys():
            return
    raise ValueError(
        f'{folder} has {RESULTS}, which flanlite harness did not write and would replace; name another '
        '--output'
    )


def manager_of(names: Sequence[str], include_path: str | None) -> Any:
    """Return the harness's list of tasks that has the named ones.

    Raises:
        ValueError: there is no such task.
    """
    if include_path:
        manager = harness_tasks.TaskManager(include_path=include_path, include_defaults=False)
        if all(manager.match_tasks([name]) for name in names):
            return manager
    manager = harness_tasks.TaskManager(include_path=include_path)
    for name in names:
        if not manager.match_tasks([name]):
            raise ValueError(
                f'the harness has no task {name!r}; {closest(name, manager.all_tasks)}expected the name of '
                'one of its tasks, or of one in --include_path'
            )
    return manager
