"""Instruction tuning in the style of FLAN, in JAX: templates, mixtures, a partitioned T5 loop and
leave-one-cluster-out evaluation.

Define a data set, and look at it:

    DatasetSpec, Template, Splits        a data set in one place
    Collection, register                 the data sets that belong together, made known by name
    JsonLines, Tfds, HuggingFace, Files, InMemory  where rows come from
    few_examples, proxy_tasks            a few rows of each data set; tasks that plain text answers by itself
    blank_task, anchor_task              the same: blanks of label words; which words a link is
    co_training                          text beside the data sets of a collection, at a ratio
    Retrieved                            a source with passages of a corpus as a field
    examples, batches, texts             rendered examples, packed batches, and the texts in these

Train:

    train(TrainConfig(...))              all that decides a run is one value: it prints, compares and saves
    DataConfig, MixtureConfig, Shots     what it trains on
    PromptMix                            how rows are asked, drawn for each
    Stage, BanditConfig                  rates that change by step, or by what the model learns
    T5Config, DecoderOnlyConfig,
    LlamaConfig, T5GemmaConfig           the model; FromCheckpoint that of the checkpoint to begin with
    LoRA, IA3, SoftPrompt, SoftPrefix,
    Attempt, HyperPrompt, SchemaPrompt   an adapter of it, which trains alone
    schemas                              the fields of data sets, for a SchemaPrompt
    Adafactor, AdamW, LinearSchedule     the optimizer and its learning rate
    StepConfig, MeshConfig               how a batch becomes a gradient, on which devices
    CheckpointConfig, RecordsConfig      what is saved and written down
    from_gin('gin/runs/pocket_train.gin')   the same values from gin files

Evaluate:

    evaluate(...)                        a checkpoint on a mixture, or a model on a list of examples
    loco(SweepConfig(...))               leave one cluster out: tune, score, compare, report
    ablate(AblationConfig(...))          the same held out, tuned on more and more
    conflict(ConflictConfig(...))        gradients between clusters, and what one does for another
    mix(MixConfig(...))                  mixing rates, chosen by small runs
    transfer(TransferConfig(...))        prompts of some tasks, reused for others
    few_shot(FewShotConfig(...))         each task on a few of its examples, several draws
    compare(first, second)               two models on the same examples
    robustness(RobustnessConfig(...))    other orders of options, other words, unseen templates
    load('runs/pocket_train')            a model to rank, score and generate with
    Metric(name, names, count)           a metric of your own

`pandas.DataFrame(result.rows())` makes a table of any result. The command line does the same from gin files:
`flanlite --help`. docs/python.md walks through all of it.
"""

import importlib
from typing import TYPE_CHECKING, Any

from flanlite.version import __version__ as __version__

# Type checkers and editors read these; at run time a name is imported when it is first asked for.
if TYPE_CHECKING:
    from flanlite.api import evaluate, from_gin
    from flanlite.data.config import DataConfig
    from flanlite.data.mixing.mixtures import MixtureConfig, schemas
    from flanlite.data.mixing.stages import Stage
    from flanlite.data.preview import batches, examples, texts
    from flanlite.data.rendering.fewshot import Shots
    from flanlite.data.specs.anchors import anchor_task
    from flanlite.data.specs.blanks import blank_task
    from flanlite.data.specs.co_training import co_training
    from flanlite.data.specs.collection import Collection
    from flanlite.data.specs.few_examples import few_examples
    from flanlite.data.specs.files import Files
    from flanlite.data.specs.prompt_mix import PromptMix
    from flanlite.data.specs.proxies import proxy_tasks
    from flanlite.data.specs.registry import register
    from flanlite.data.specs.retrieval import Retrieved
    from flanlite.data.specs.sources import HuggingFace, InMemory, JsonLines, Tfds
    from flanlite.data.specs.specs import DatasetSpec, Splits, TextSpec
    from flanlite.data.specs.templates import Template
    from flanlite.eval.ablation import AblationConfig, ablate
    from flanlite.eval.conflict import ConflictConfig, conflict
    from flanlite.eval.evaluate import EvalConfig
    from flanlite.eval.evaluator import ScoringConfig
    from flanlite.eval.few_shot import FewShotConfig, few_shot
    from flanlite.eval.generate import Decoding
    from flanlite.eval.load import Model, load
    from flanlite.eval.loco import loco
    from flanlite.eval.mix import MixConfig, mix
    from flanlite.eval.robustness import RobustnessConfig, robustness
    from flanlite.eval.sweep import SweepConfig
    from flanlite.eval.transfer import transfer
    from flanlite.eval.transfer_config import TransferConfig
    from flanlite.mesh.partitioning import MeshConfig
    from flanlite.metrics.metric import Metric
    from flanlite.model.attempt import Attempt
    from flanlite.model.decoder_only import DecoderOnlyConfig
    from flanlite.model.kinds import FromCheckpoint
    from flanlite.model.linear_adapters import IA3, LoRA
    from flanlite.model.llama import LlamaConfig
    from flanlite.model.rotary import RotaryConfig
    from flanlite.model.soft_prefix import HyperPrompt, SoftPrefix
    from flanlite.model.soft_prompt import SchemaPrompt, SoftPrompt
    from flanlite.model.t5 import T5Config
    from flanlite.model.t5gemma import T5GemmaConfig
    from flanlite.report.paired import compare
    from flanlite.training.bandit import BanditConfig
    from flanlite.training.checkpoints import CheckpointConfig
    from flanlite.training.config import RecordsConfig, TrainConfig
    from flanlite.training.optimizers import Adafactor, AdamW, Optimizer
    from flanlite.training.run import train
    from flanlite.training.schedules import (
        ConstantSchedule,
        CosineSchedule,
        FactorSchedule,
        LinearSchedule,
        RsqrtSchedule,
    )
    from flanlite.training.step import StepConfig
    from flanlite.training.weights_biases import WandbConfig

# Where each public name is, which keeps `import flanlite` from importing JAX. A test holds it equal to the
# imports above.
HOMES = {
    name: module
    for module, names in {
        'api': ('evaluate', 'from_gin'),
        'data.config': ('DataConfig',),
        'data.mixing.mixtures': ('MixtureConfig', 'schemas'),
        'data.mixing.stages': ('Stage',),
        'data.preview': ('batches', 'examples', 'texts'),
        'data.rendering.fewshot': ('Shots',),
        'data.specs.sources': ('HuggingFace', 'InMemory', 'JsonLines', 'Tfds'),
        'data.specs.anchors': ('anchor_task',),
        'data.specs.blanks': ('blank_task',),
        'data.specs.co_training': ('co_training',),
        'data.specs.few_examples': ('few_examples',),
        'data.specs.files': ('Files',),
        'data.specs.prompt_mix': ('PromptMix',),
        'data.specs.proxies': ('proxy_tasks',),
        'data.specs.retrieval': ('Retrieved',),
        'data.specs.collection': ('Collection',),
        'data.specs.registry': ('register',),
        'data.specs.specs': ('DatasetSpec', 'Splits', 'TextSpec'),
        'data.specs.templates': ('Template',),
        'eval.ablation': ('AblationConfig', 'ablate'),
        'eval.conflict': ('ConflictConfig', 'conflict'),
        'eval.evaluate': ('EvalConfig',),
        'eval.evaluator': ('ScoringConfig',),
        'eval.few_shot': ('FewShotConfig', 'few_shot'),
        'eval.generate': ('Decoding',),
        'eval.load': ('Model', 'load'),
        'eval.loco': ('loco',),
        'eval.mix': ('MixConfig', 'mix'),
        'eval.robustness': ('RobustnessConfig', 'robustness'),
        'eval.sweep': ('SweepConfig',),
        'eval.transfer': ('transfer',),
        'eval.transfer_config': ('TransferConfig',),
        'mesh.partitioning': ('MeshConfig',),
        'metrics.metric': ('Metric',),
        'model.linear_adapters': ('IA3', 'LoRA'),
        'model.attempt': ('Attempt',),
        'model.soft_prefix': ('HyperPrompt', 'SoftPrefix'),
        'model.soft_prompt': ('SchemaPrompt', 'SoftPrompt'),
        'model.decoder_only': ('DecoderOnlyConfig',),
        'model.llama': ('LlamaConfig',),
        'model.rotary': ('RotaryConfig',),
        'model.kinds': ('FromCheckpoint',),
        'model.t5': ('T5Config',),
        'model.t5gemma': ('T5GemmaConfig',),
        'report.paired': ('compare',),
        'training.bandit': ('BanditConfig',),
        'training.checkpoints': ('CheckpointConfig',),
        'training.config': ('RecordsConfig', 'TrainConfig'),
        'training.optimizers': ('AdamW', 'Adafactor', 'Optimizer'),
        'training.run': ('train',),
        'training.schedules': (
            'ConstantSchedule',
            'CosineSchedule',
            'FactorSchedule',
            'LinearSchedule',
            'RsqrtSchedule',
        ),
        'training.step': ('StepConfig',),
        'training.weights_biases': ('WandbConfig',),
    }.items()
    for name in names
}
__all__ = sorted(HOMES)


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        from flanlite.config import closest

        raise AttributeError(
            f'flanlite has no {name!r}; {closest(name, HOMES)}help(flanlite) lists what it has'
        )
    return getattr(importlib.import_module(f'flanlite.{HOMES[name]}'), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *HOMES})
