"""Answer each line of a file: JSONL or plain text in, JSONL out, a few hundred lines at a time."""

import collections
import contextlib
import io
import itertools
import os
import pathlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TextIO

import jax
import numpy as np
from jax.experimental import multihost_utils

from flanlite import checksums
from flanlite.config import check_field, shown, to_json
from flanlite.data.cache import cache
from flanlite.data.specs.json_rows import Surrogates
from flanlite.eval import answers
from flanlite.eval.generate import Decoding
from flanlite.eval.load import Model, load
from flanlite.limits import Count
from flanlite.mesh import partitioning, processes
from flanlite.paths import at_home, check_file
from flanlite.reading import parse_json
from flanlite.training.base import fingerprint
from flanlite.writing import explained

MAX_INPUT_LENGTH = 16_384  # tokens, of which a small model makes an answer on a CPU in a minute


def infer(
    checkpoint: str | None = None,
    input: str = '-',
    output: str = '-',
    max_length: int = 64,
    beams: int = 1,
    temperature: float = 0.0,
    vocabulary: str | None = None,
    lines_at_a_time: int = 512,
    model_changes: Mapping[str, Any] | None = None,
    data_dir: str | None = None,
    cache_dir: str | None = None,
    base: str | None = None,
    prompt: str | None = None,
    max_input_length: int = MAX_INPUT_LENGTH,
) -> int:
    """Answer every line of a file and return how many there were.

    A line is a text, or a JSON object with `inputs`; with `options` the best one is the answer, and all are
    scored; with `targets` their log-probability is given; with `prompt` it is asked with the soft prompt of
    that name. An answer is the line's object with `prediction`, and `scores` or `score`. A file of answers is
    there when all lines are answered; until then they are beside it, in `FILE.unfinished`, and the same call
    goes on with them, to the same bytes. Standard output has them as they come.

    Args:
        checkpoint: a run's folder, one of its checkpoints, or a released parameter file.
        input: a .jsonl file, a file of text lines, or - for standard input (JSONL where its first line begins
            with a brace).
        output: the file to write, or - for standard output.
        max_length: the longest generated answer, in tokens.
        beams: beam search with that many beams; 1 is greedy.
        temperature: above 0, samples instead.
        vocabulary: by default the one that the model was trained with.
        model_changes: fields of the model's config to replace, such as {'dtype': 'float32'}.
        data_dir: the folder of local data; by default that of FLANLITE_DATA_DIR.
        cache_dir: the folder of the token cache, in which compiled programs are kept too; by default that of
            FLANLITE_CACHE_DIR.
        base: of an adapter's checkpoint, where the model that it belongs to lies; by default where it was in
            training.
        prompt: the soft prompt of lines that name none, where the model has several.
        lines_at_a_time: how many lines are read, answered and written together.
        max_input_length: the longest text of a line, in tokens.

    Raises:
        ValueError: there is no such checkpoint or input, or a line is no JSON object with texts or has one
            that is too long, the message names the line, and of a file all lines are looked at before the
            first is answered; or a log-probability is not finite, the message shows the input.
    """
    input, output = at_home(input), at_home(output)
    if output != '-':
        check_file(output)
    if not checkpoint:
        raise ValueError('infer needs a model; give one with --checkpoint=PATH')
    check_field('lines_at_a_time', lines_at_a_time, Count)
    check_field('max_input_length', max_input_length, Count)
    if input != '-' and not pathlib.Path(input).is_file():
        raise ValueError(
            f'no input file {input!r}; expected a .jsonl file, a text file, or - for standard input'
        )
    written = () if output == '-' else (output, answers.unfinished(output))
    if input != '-' and any(os.path.exists(each) and os.path.samefile(input, each) for each in written):
        raise ValueError(f'{input!r} is both the input and the output; name another output')
    decoding = {'max_length': max_length, 'beams': beams, 'temperature': temperature}
    Decoding(**decoding)  # what cannot be is refused before the model is loaded
    processes.join()
    partitioning.keep_compiled(cache.cache_folder(cache_dir) / 'jax')
    if input != '-':
        with opened(input, 'r') as source:  # a bad line is named before a model is loaded
            collections.deque(read(source, input), maxlen=0)
    made_by = decoding | {
        'prompt': prompt,
        'vocabulary': vocabulary,
        'lines_at_a_time': lines_at_a_time,
        'model_changes': to_json(model_changes or {}),
    }
    # What is no ordinary file, such as a pipe, is written as it goes.
    kept = output != '-' and (os.path.isfile(output) or not os.path.exists(output))
    if kept:
        answers.check_made_by(output, made_by)
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(opened(input, 'r'))
        records = read(source, input)
        path, adapter = (base, checkpoint) if base else (checkpoint, None)
        model = load(path, vocabulary, data_dir=data_dir, adapter=adapter, **(model_changes or {}))
        model.config.check_prompts([prompt] if prompt else [])
        if input != '-':
            check_lengths(model, read(stack.enter_context(opened(input, 'r')), input), max_input_length)
        made_by |= {'model': fingerprint(model.params, exact=True), 'tokens': model.vocabulary.fingerprint()}
        asked_of = {} if input == '-' else {'input': str(checksums.of_file(pathlib.Path(input)))}
        processes.compare('settings', {name: str(each) for name, each in made_by.items()} | asked_of)
        first = jax.process_index() == 0
        sink = stack.enter_context(
            answers.kept(output, made_by) if first and kept else streamed(output if first else os.devnull)
        )
        answered = sink.go_on(records, lines_at_a_time)
        if jax.process_count() > 1:
            there = int(multihost_utils.broadcast_one_to_all(np.int32(answered)))
            collections.deque(itertools.islice(records, there - answered), maxlen=0)
            answered = there
        if answered:
            tell(f'going on after {answered:,} answered lines')
        try:
            while chunk := list(itertools.islice(records, lines_at_a_time)):
                check_lengths(model, chunk, max_input_length)
                asked = [record for _, record in chunk]
                sink.write(answer(model, asked, decoding | {'seed': answered}, prompt))
                answered += len(chunk)
                if output != '-':
                    tell(f'answered {answered:,} {"line" if answered == 1 else "lines"}')
        except ValueError as error:
            if not answered:
                raise
            there = f'in {answers.unfinished(output)}: the same command goes on there' if kept else 'written'
            raise ValueError(f'{error}; the answers to {answered:,} lines before are {there}') from error
    if not answered:
        tell(f'answered 0 lines: there are none in {"standard input" if input == "-" else input}')
    return answered


@contextlib.contextmanager
def streamed(output: str) -> Iterator[answers.Stream]:
    """Open standard output or a pipe."""
    with contextlib.nullcontext() if output == '-' else explained(output), opened(output, 'w') as file:
        yield answers.Stream(file)


def tell(text: str) -> None:
    """Print a line beside the answers."""
    print(text, file=sys.stderr, flush=True)


def check_lengths(model: Model, records: Iterable[tuple[str, dict[str, Any]]], longest: int) -> None:
    """Refuse a text of more tokens than `longest`: nobody would wait for the answer."""
    for where, record in records:
        for text in (record['inputs'], record.get('targets', ''), *record.get('options', ())):
            # A token has a byte at least; of the other texts no one counts tokens.
            if 4 * len(text) > longest and (count := len(model.encode([text])[0])) > longest:
                raise ValueError(
                    f'{where} has a text of {count:,} tokens; expected at most {longest:,}: cut it, or allow '
                    'more with --max_input_length'
                )


def opened(path: str, mode: str) -> contextlib.AbstractContextManager[TextIO]:
    """Open a file, or standard input or output."""
    encoding = 'utf-8-sig' if mode == 'r' else 'utf-8'  # some editors begin a file with a byte-order mark
    if path != '-':
        return open(path, mode, encoding=encoding)
    stream = sys.stdin if mode == 'r' else sys.stdout
    if isinstance(stream, io.TextIOWrapper):  # whatever the locale says
        stream.reconfigure(encoding=encoding, errors='strict')
    return contextlib.nullcontext(stream)


def read(source: TextIO, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read records from JSONL or from lines of text, each with where it stands."""
    as_json = pathlib.Path(name).suffix in ('.jsonl', '.json')
    surrogates, label = Surrogates(), 'standard input' if name == '-' else name
    for number, line in enumerate(checked(source, name), 1):
        if number == 1 and name == '-':
            as_json = line.lstrip().startswith('{')
        where = f'line {number} of {label}'
        if not as_json:
            yield where, {'inputs': line.rstrip('\r\n')}
        elif line.strip():
            yield where, surrogates.replaced(parse(line, where), f'line {number}')
    surrogates.tell(label)


def checked(source: TextIO, name: str) -> Iterator[str]:
    """Yield lines; one that is not in UTF-8 is an error that shows it."""
    try:
        yield from source
    except UnicodeDecodeError as error:
        start, end = error.object.rfind(b'\n', 0, error.start) + 1, error.object.find(b'\n', error.start)
        line = error.object[max(start, error.start - 40) : None if end < 0 else min(end, error.start + 40)]
        if error.object.startswith(b'\x1f\x8b'):
            raise ValueError(f'{name} is compressed; unpack it first: gzip -d') from None
        raise ValueError(
            f'{name} is not in UTF-8, at {line!r}; convert it, for example with iconv -f latin1 -t utf-8'
        ) from None


def parse(line: str, where: str) -> dict[str, Any]:
    """Read a line of JSONL and check it."""
    try:
        record = parse_json(line, where, allow_nan=False)
    except ValueError as error:
        raise ValueError(
            f'{error}; text lines are read from a file that is not named .jsonl or .json, and from standard '
            'input where the first does not begin with {'
        ) from None
    if not isinstance(record, dict) or not isinstance(record.get('inputs'), str):
        raise ValueError(f'{where} has no text "inputs"; expected an object such as {{"inputs": "a text"}}')
    options = record.get('options', [''])
    if not isinstance(options, list) or not options or not all(isinstance(option, str) for option in options):
        raise ValueError(f'{where} has "options" {shown(options)}; expected a list of texts')
    for name in ('targets', 'prompt'):
        if not isinstance(record.get(name, ''), str):
            raise ValueError(f'{where} has "{name}" {shown(record[name])}; expected a text')
    return record


def answer(
    model: Model, records: list[dict[str, Any]], decoding: dict[str, Any], prompt: str | None = None
) -> list[dict[str, Any]]:
    """Answer records: by rank those with options, by generation the others; score those with targets."""

    def asked(records: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            'inputs': [record['inputs'] for record in records],
            'prompt': [record.get('prompt', prompt) for record in records],
        }

    answered = [dict(record) for record in records]
    ranked, open_ended, scored = (
        [record for record in answered if wanted(record)]
        for wanted in (
            lambda record: 'options' in record,
            lambda record: 'options' not in record,
            lambda record: 'targets' in record,
        )
    )
    if ranked:
        rankings = model.rank(options=[record['options'] for record in ranked], **asked(ranked))
        for record, ranking in zip(ranked, rankings, strict=True):
            record.update(
                prediction=ranking.text, scores=[round(float(score), 5) for score in ranking.scores]
            )
    if open_ended:
        texts = model.generate(**asked(open_ended), **decoding)
        for record, text in zip(open_ended, texts, strict=True):
            record['prediction'] = text
    if scored:
        scores = model.score(targets=[record['targets'] for record in scored], **asked(scored))
        for record, score in zip(scored, scores.tolist(), strict=True):
            record['score'] = round(score, 5)
    return answered
