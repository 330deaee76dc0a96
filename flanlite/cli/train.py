"""`flanlite train`."""

import argparse

from flanlite.cli import command
from flanlite.cli.command import (
    BEGINS_WITH,
    DROP,
    LINEAGE,
    MIXTURE,
    MODEL_DIR,
    PROMPT_MIX,
    SETTINGS,
    SHOTS,
    VOCABULARY,
    Command,
    Flag,
)


def run(args: argparse.Namespace) -> None:
    """Train, or only tell where the parameters would lie."""
    config, gin = command.read_run(args)
    if args.explain:
        from flanlite.training import explain

        explain.show(config)
        return
    from flanlite.training import run as training

    training.train(config, gin)


COMMAND = Command(
    'train',
    'Train',
    'Train on a mixture, as gin files or saved settings say.',
    run,
    (
        SETTINGS,
        MIXTURE,
        MODEL_DIR,
        BEGINS_WITH,
        VOCABULARY,
        LINEAGE,
        SHOTS,
        PROMPT_MIX,
        DROP,
        Flag(
            'fall_back',
            'put a damaged newest checkpoint aside, and go on from the newest whole one',
            bool,
            binds=('CheckpointConfig.fall_back',),
            field='checkpoints.fall_back',
        ),
        Flag('explain', 'print the place of every parameter on the mesh, and train nothing', bool),
        Flag(
            'profile_steps',
            'trace so many steps, or those from A to B as A-B, into MODEL_DIR/profile',
            metavar='STEPS',
            binds=('RecordsConfig.profile_steps',),
            field='records.profile_steps',
        ),
        Flag(
            'wandb',
            'log to this project of Weights & Biases, too',
            metavar='PROJECT',
            binds=('WandbConfig.project',),
            field='records.wandb.project',
        ),
    ),
    example='gin/runs/pocket_train.gin',
)
