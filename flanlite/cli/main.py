"""The `flanlite` command: absl-style flags, gin files and `--gin.NAME=VALUE` overrides, one clear line for bad input."""

import argparse
import importlib
import os
import re
import sys
from collections.abc import Sequence

import flanlite
from flanlite import config
from flanlite.cli import gin_config

USAGE_ERROR = 2
MISSING = 'No values supplied by Gin'
# Importing these registers all that gin can configure.
CONFIGURED = ('flanlite.train.run', 'flanlite.eval.evaluate', 'flanlite.eval.loco', 'flanlite.eval.infer')
MACRO_FLAGS = {'mixture': 'MIXTURE_OR_TASK_NAME', 'model_dir': 'MODEL_DIR'}  # flags that are short for a gin macro
# Flags that are short for a gin binding.
GIN_FLAGS = {
    'lineage': 'mixture.lineage', 'shots': 'mixture.shots', 'drop': 'mixture.drop', 'profile_steps': 'Profiler.steps',
    'wandb': 'WandbConfig.project',
}  # fmt: skip


def train(args: argparse.Namespace) -> None:
    """Train on a mixture, as gin says."""
    need_gin_file(args, 'gin/runs/pocket_train.gin')
    from flanlite.train import run

    load_config(args)
    run.train(**given(args, 'explain'))


def evaluate(args: argparse.Namespace) -> None:
    """Evaluate a checkpoint on a mixture, per template."""
    from flanlite.eval import evaluate

    load_config(args)
    evaluate.evaluate_checkpoint(**given(args, *FLAGS['eval']))


def loco(args: argparse.Namespace) -> None:
    """Hold out one cluster at a time: tune, evaluate zero-shot, compare, report."""
    need_gin_file(args, 'gin/runs/pocket.gin')
    from flanlite.eval import loco as leave_one_cluster_out

    load_config(args)
    leave_one_cluster_out.loco(**given(args, 'only'))


def report(args: argparse.Namespace) -> None:
    """Merge what jobs with a cluster each left in one or several folders, and write the report again."""
    from flanlite.eval import loco as leave_one_cluster_out

    if not args.model_dir:
        raise ValueError('report needs the folder of a sweep, or several with commas: --model_dir=FOLDER[,FOLDER ...]')
    leave_one_cluster_out.merge(args.model_dir.split(','), args.output)


def infer(args: argparse.Namespace) -> None:
    """Answer each line of a file: JSONL or plain text in, JSONL out."""
    from flanlite.eval import infer as inference

    load_config(args)
    inference.infer(**given(args, *FLAGS['infer']))


def cache(args: argparse.Namespace) -> None:
    """Turn the tasks of a mixture into the token cache."""
    from flanlite.cli import catalogue

    load_config(args)
    beam_flags = [f'--runner={args.runner}', *args.beam_flags] if args.runner else ()
    catalogue.build_cache(beam_flags=beam_flags, **given(args, 'mixture', 'split', 'vocabulary', 'fail_fast', 'rebuild', 'processes'))


def show(args: argparse.Namespace) -> None:
    """Print a mixture's tasks, counts, caps, rates and shares, and rendered examples with their tokens."""
    from flanlite.cli import catalogue

    load_config(args)
    catalogue.show(**given(args, *FLAGS['show']))


def datasets(args: argparse.Namespace) -> None:
    """List data sets: cluster, source, licence, counts, caps, rates, templates, lineage."""
    from flanlite.cli import catalogue

    catalogue.datasets(**given(args, *FLAGS['datasets']))


def audit(args: argparse.Namespace) -> None:
    """Search a mixture's training data for text of what it holds out."""
    from flanlite.cli import catalogue

    load_config(args)
    catalogue.audit(**given(args, *FLAGS['audit']))


def lint(args: argparse.Namespace) -> None:
    """Check the templates of one collection, or of all."""
    from flanlite.cli import catalogue

    faults = catalogue.lint(**given(args, *FLAGS['lint']))
    if faults:
        raise ValueError(f'{faults} faults in templates')


def convert(args: argparse.Namespace) -> None:
    """Write a checkpoint of ours, T5X's or Hugging Face's as a Hugging Face folder, or as one safetensors file."""
    from flanlite.model import kinds
    from flanlite.train import parameters

    load_config(args)
    for flag in ('checkpoint', 'output'):
        if not getattr(args, flag):
            raise ValueError(f'convert needs --{flag}=PATH')
    config = kinds.model() if args.gin_file else None
    parameters.convert(config=config, **given(args, *FLAGS['convert']))


def compile_ahead(args: argparse.Namespace) -> None:
    """Compile a run's train step for a TPU slice that is not here, and say what each chip would need."""
    from flanlite.train import compile

    need_gin_file(args, 'gin/runs/finetune.gin')
    if not args.topology:
        raise ValueError('compile needs --topology=CHIP:SIZE, such as v5e:16x16 or v5p:4x4x4')
    load_config(args)
    compile.compile_ahead(args.topology, try_all=args.search)


COMMANDS = {
    'train': train, 'eval': evaluate, 'loco': loco, 'infer': infer, 'cache': cache, 'show': show, 'datasets': datasets, 'audit': audit,
    'lint': lint, 'convert': convert, 'report': report, 'compile': compile_ahead,
}  # fmt: skip

COMMON = ('gin_file', 'gin_search_paths', 'import', 'data_dir', 'cache_dir', 'promptsource_dir', 'debug')
FLAGS = {
    'train': ('mixture', 'model_dir', 'lineage', 'shots', 'drop', 'explain', 'profile_steps', 'wandb'),
    'eval': ('checkpoint', 'mixture', 'split', 'output', 'style', 'max_rows', 'shots', 'vocabulary'),
    'loco': ('only', 'model_dir', 'lineage', 'shots', 'drop'),
    'report': ('model_dir', 'output'),
    'infer': ('checkpoint', 'input', 'output', 'max_length', 'beams', 'temperature', 'vocabulary'),
    'cache': ('mixture', 'split', 'vocabulary', 'fail_fast', 'rebuild', 'shots', 'drop', 'processes', 'runner'),
    'show': ('mixture', 'vocabulary', 'examples', 'lineage', 'shots', 'drop'),
    'datasets': ('mixture', 'format'),
    'audit': ('mixture', 'held_out', 'ngram', 'max_rows', 'output', 'lineage'),
    'lint': ('mixture',),
    'convert': ('checkpoint', 'output', 'form', 'vocabulary'),
    'compile': ('topology', 'search'),
}

KINDS = {flag: {'action': 'store_true', 'default': None} for flag in ('fail_fast', 'rebuild', 'explain', 'search')}
KINDS |= {flag: {'type': int} for flag in ('examples', 'max_rows', 'max_length', 'beams', 'ngram', 'processes')}
KINDS |= {'temperature': {'type': float}, 'shots': {'type': lambda text: int(text) if text.isdecimal() else text}}

HELP = {
    'mixture': 'a collection (pocket, flan2021, t0), COLLECTION_held_out_CLUSTER, a data set, or any registered SeqIO task or mixture',
    'model_dir': 'the folder for checkpoints, metrics and reports; short for --gin.MODEL_DIR',
    'checkpoint': 'a run folder or one of its checkpoints (/ema: their average), a parameter file, a T5X checkpoint, a Hugging Face folder',
    'form': 'huggingface (a folder; the default) or safetensors (one file, for flanlite)',
    'split': 'train, validation or test; for the cache also all, the default',
    'output': 'the file or folder to write',
    'input': 'a .jsonl file with "inputs", or plain text, a line each; - for standard input',
    'only': 'what to hold out: a cluster, several with commas, or all; or other hold-outs such as intra_3, superglue and diversity_*',
    'vocabulary': 'pocket, t5, bytes, or the path of a SentencePiece model; :no_input_eos behind it leaves EOS out of inputs',
    'examples': 'how many rendered examples to print for each task',
    'style': 'instructions, baseline (plain prompts) or fields (no words of a template)',
    'max_rows': 'at most so many rows of each data set',
    'max_length': 'the longest answer, in tokens',
    'beams': 'beam search with so many beams; 1 is greedy',
    'temperature': 'above 0, samples instead',
    'lineage': 'strict drops training data that shares a corpus with held-out data, warn names it, off follows the paper',
    'shots': 'how many exemplars stand before each example: 0, 1, 2, 3, 5, 10, or multi for as many as fit, up to 16',
    'drop': 'a file that lists training examples to leave out, as audit writes it with --output',
    'held_out': 'the cluster to hold out, or another hold-out such as intra_3',
    'ngram': 'how many words in a row two texts share; 13 by default',
    'format': 'table or markdown',
    'fail_fast': 'stop at the first task that fails, instead of skipping and naming it',
    'rebuild': 'build again what is cached already',
    'explain': 'print the place of every parameter on the mesh, and train nothing',
    'profile_steps': 'trace so many steps, or those from A to B as A-B, into MODEL_DIR/profile',
    'wandb': 'log to this project of Weights & Biases, too',
    'topology': 'the chips to compile for: v5e:16x16, 2*v5e:16x16 (two slices), or h100:8 (roughly)',
    'search': 'try meshes, remat policies and microbatches, and rank those that fit',
    'processes': 'how many processes build the cache; by default as many as there are CPUs to use',
    'runner': 'build on Apache Beam: DirectRunner, DataflowRunner, FlinkRunner, SparkRunner; with it, any other flag is Beam\'s',
}


def parser() -> argparse.ArgumentParser:
    """Make the command-line parser."""
    top = argparse.ArgumentParser(prog='flanlite', description=flanlite.__doc__, allow_abbrev=False)
    top.add_argument('--version', action='version', version=f'flanlite {flanlite.__version__}')
    commands = top.add_subparsers(dest='command', metavar='COMMAND', required=True)
    for name, function in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=function.__doc__,
            description=function.__doc__,
            allow_abbrev=False,
            epilog='Any gin parameter or macro can be set with --gin.NAME=VALUE, for example --gin.TRAIN_STEPS=100.',
        )
        command.add_argument('--gin_file', action='append', default=[], metavar='FILE', help='a gin file; may repeat, later ones win')
        command.add_argument('--gin_search_paths', default='', metavar='PATHS', help='folders to look for gin files in, with commas')
        command.add_argument('--import', action='append', default=[], dest='modules', metavar='MODULE', help='a module of yours to load')
        command.add_argument('--data_dir', metavar='DIR', help='a folder with <dataset>/<split>.jsonl[.gz]; FLANLITE_DATA_DIR')
        command.add_argument('--cache_dir', metavar='DIR', help='the folder of the token cache; FLANLITE_CACHE_DIR')
        command.add_argument('--promptsource_dir', metavar='DIR', help="a checkout of promptsource, for t0's own prompts; PROMPTSOURCE_DIR")
        command.add_argument('--debug', action='store_true', help='show the traceback of an error')
        for flag in FLAGS[name]:
            command.add_argument(f'--{flag}', help=HELP[flag], **KINDS.get(flag, {}))
    return top


def given(args: argparse.Namespace, *names: str) -> dict[str, object]:
    """Keep the flags that the user gave; the rest is gin's and the functions' to say."""
    return {name: getattr(args, name) for name in names if name not in GIN_FLAGS and getattr(args, name) is not None}


def need_gin_file(args: argparse.Namespace, example: str) -> None:
    """Refuse a command that cannot know what to do without a gin file."""
    if not args.gin_file:
        raise ValueError(f'{args.command} needs a gin file; for example flanlite {args.command} --gin_file={example}')


def import_modules(names: Sequence[str]) -> None:
    """Import the user's modules, which register data sets or SeqIO tasks; the working folder is searched too, last."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise ValueError(f'cannot import {name!r}: {error}; expected a module in the working folder or on PYTHONPATH') from error


def load_config(args: argparse.Namespace) -> None:
    """Read the gin files and overrides of a command; first import what they may configure."""
    search_paths = [path for path in args.gin_search_paths.split(',') if path]
    for name in args.gin_file:
        gin_config.find_gin_file(name, search_paths)
    if args.gin_file or args.bindings:
        for module in CONFIGURED:
            importlib.import_module(module)
    unused = ['INITIAL_CHECKPOINT_PATH'] if args.gin_file and args.command not in ('train', 'loco') else []  # no other reads it
    bindings = [f'{macro}=None' for macro in unused]
    bindings += [f'{macro}={getattr(args, flag)!r}' for flag, macro in MACRO_FLAGS.items() if getattr(args, flag, None) and args.gin_file]
    bindings += [f'{name}={getattr(args, flag)!r}' for flag, name in GIN_FLAGS.items() if getattr(args, flag, None) is not None]
    gin_config.load(args.gin_file, bindings + args.bindings, search_paths, known_macros=(*MACRO_FLAGS.values(), *unused))


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line; `--gin.NAME=VALUE` flags become `bindings`, and beside `--runner` others become `beam_flags`."""
    args, rest = parser().parse_known_args(argv)
    args.bindings, args.beam_flags = [], []
    while rest:
        flag = rest.pop(0)
        if not flag.startswith('--gin.') and getattr(args, 'runner', None):
            args.beam_flags.append(flag)
            continue
        if not flag.startswith('--gin.'):
            valid = [f'--{name}' for name in (*COMMON, *FLAGS[args.command])]
            hint = config.closest(flag, valid)
            raise ValueError(f'{args.command} has no flag {flag!r}; {hint}its flags are {", ".join(valid)}, --gin.NAME')
        binding = flag.removeprefix('--gin.')
        args.bindings.append(binding if '=' in binding or not rest else f'{binding}={rest.pop(0)}')
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; bad input prints one line and returns 2."""
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')  # TensorFlow, where data needs it, greets with a page of notes
    debug = '--debug' in (sys.argv if argv is None else argv)
    try:
        args = parse(argv)
        if args.data_dir:
            os.environ['FLANLITE_DATA_DIR'] = args.data_dir
        if args.cache_dir:
            os.environ['FLANLITE_CACHE_DIR'] = args.cache_dir
        if args.promptsource_dir:
            os.environ['PROMPTSOURCE_DIR'] = args.promptsource_dir
        import_modules(args.modules)
        COMMANDS[args.command](args)
    except Exception as error:
        if debug or not expected(error):
            raise
        print(f'flanlite: error: {explain(error)}', file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        print('flanlite: interrupted; the same command goes on from here', file=sys.stderr)
        return 130
    return 0


def expected(error: Exception) -> bool:
    """Tell bad input, and what the disk or the data may do, from a fault of the program, which shows its traceback."""
    own = type(error).__module__.startswith('flanlite.')
    return own or isinstance(error, ValueError | OSError) or (isinstance(error, TypeError) and MISSING in str(error))


def explain(error: Exception) -> str:
    """Drop what gin adds below an error's own message, and name the gin parameters that have no value."""
    message = str(error).split('\n  In call to configurable', 1)[0]
    if missing := re.search(rf'{MISSING}.*?: \[(.*?)\]', message, re.DOTALL):
        return f'no value for {missing[1]}; give it in the gin file, or with --gin.NAME=VALUE'
    return message


if __name__ == '__main__':
    sys.exit(main())
