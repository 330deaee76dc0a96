"""Write a checkpoint of any kind in another form."""

import pathlib
from collections.abc import Mapping
from typing import Any

from flanlite.data.tokens.vocabulary import Vocabulary
from flanlite.model.models import ModelConfig
from flanlite.model.soft_prompt import prompts_of
from flanlite.paths import absolute, check_file, check_folder
from flanlite.training import checkpoints, peft, released, soft_prompts
from flanlite.training.lazy import LazyArray
from flanlite.training.locate import SUFFIX, base_path, locate
from flanlite.training.parameters import (
    Known,
    describe,
    load_adapter,
    load_vocabulary,
    open_model,
    save_arrays,
)
from flanlite.writing import check_new

FORMATS = ('huggingface', 'safetensors', 'peft', 'npy')


def convert(
    checkpoint: str,
    output: str,
    form: str = 'huggingface',
    *,
    vocabulary: str | None = None,
    config: ModelConfig | None = None,
    data_dir: str | None = None,
    base: str | None = None,
) -> None:
    """Write a checkpoint of any kind as a Hugging Face folder, or as one parameter file of flanlite, in
    float32; or an adapter as a folder of PEFT.

    Args:
        checkpoint: as for `load_params`.
        output: the folder or file to write.
        form: `huggingface`, `safetensors`; for an adapter alone `peft`, and for soft prompts `npy`, a file
            or, of several, a folder.
        vocabulary: a name or path for `vocabularies.load`; by default the checkpoint's own, if it has one.
        config: as for `load_run`.
        data_dir: the folder of local data, where T5's vocabulary may lie; by default that of
            FLANLITE_DATA_DIR.
        base: as for `load_params`; what is written is the base, changed as its adapter does.

    Raises:
        ValueError: an unknown form, no checkpoint, or one that does not fit the config or the form.
    """
    if form not in FORMATS:
        raise ValueError(f'unknown format {form!r}; expected one of {", ".join(FORMATS)}')
    path, output = locate(checkpoint), check_output(output, form)
    known = describe(path, base)
    config = config or known.config
    if form in ('peft', 'npy'):
        own = load_adapter(path, config)[0] if config.adapter is not None else {}
        if form == 'npy':
            soft_prompts.write(output, prompts_of(own))
        else:
            peft.write(output, config, own, base or base_path(str(path)))
        print(f'wrote {output}')
        return
    arrays = open_model(path, config, base)
    loaded = load_vocabulary(path, vocabulary, data_dir, base=base)
    write_model(output, form, known._replace(config=config.replace(adapter=None)), arrays, loaded)
    print(
        f'wrote {output}'
        + ('' if loaded else f', without a tokenizer: {path} comes with none; --vocabulary names one')
    )


def check_output(output: str, form: str) -> pathlib.Path:
    """Return the absolute path of what is to be written; raise a `ValueError` or `OSError` if it cannot be.

    Args:
        output: the folder or file.
        form: one of `FORMATS`.
    """
    output = pathlib.Path(absolute(output))
    if form == 'safetensors' and output.suffix != SUFFIX:
        raise ValueError(f'{output} would be a file of {form}; expected a name *{SUFFIX}')
    if form == 'safetensors' or (form == 'npy' and output.suffix == soft_prompts.SUFFIX):
        check_file(output)
    elif output.suffix == SUFFIX or (output / checkpoints.FOLDER).is_dir():
        kind = (
            f'a file *{SUFFIX}, which is --form=safetensors' if output.suffix == SUFFIX else "a run's folder"
        )
        raise ValueError(f'{output} would be a folder of {form}, but is {kind}; name another output')
    else:
        check_folder(output, 'name another output')
    check_new(output)
    return output


def write_model(
    output: pathlib.Path,
    form: str,
    known: Known,
    arrays: Mapping[str, LazyArray],
    vocabulary: Vocabulary | None,
    **metadata: Any,
) -> None:
    """Write a model in float32, as a Hugging Face folder or as one parameter file.

    Args:
        output: the folder or file.
        form: `huggingface` or `safetensors`.
        known: of the model.
        arrays: its parameters by our names; one is in memory at a time.
        vocabulary: its vocabulary, if it comes with one.
        **metadata: more for the header of a parameter file, as JSON holds it.
    """
    if form == 'huggingface':
        released.write_huggingface(output, known.config, arrays, vocabulary)
        return
    metadata |= {
        'vocabulary': vocabulary.name if vocabulary else None,
        'feature_lengths': known.feature_lengths,
        'step': known.step,
    }
    save_arrays(output, arrays, known.config, 'float32', metadata)
