"""The table of metrics by name, which says whose rule a metric follows. docs/evaluation.md tells what differs
from the rule.

A new metric is a function that counts one example, in the file of its kind, and a line in this table. The
packages for ROUGE and BLEU are imported when they first score, so a data set's spec can check the name of its
metric at no cost.
"""

from flanlite import config
from flanlite.metrics.classification import (
    accuracy_and_f1,
    count_classes,
    count_equal,
    count_grade,
    count_yes,
    f1_match_and_accuracy,
)
from flanlite.metrics.correlation import (
    count_numbers,
    count_ratings,
    moments_about_the_middle,
    pearson,
    pearson_and_spearman,
)
from flanlite.metrics.metric import Metric
from flanlite.metrics.span_sets import count_span_sets
from flanlite.metrics.text_overlap import (
    ROUGE_TYPES,
    corpus_bleu,
    count_bleu,
    count_f1_and_match,
    count_match_and_f1,
    count_natural_instructions,
    count_rouge,
    count_similarity,
    normalize_squad,
    normalize_trivia_qa,
)

CB_CLASSES = ('yes', 'no', 'unclear')

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric('accuracy', ('accuracy',), count_equal),
        # MRPC and QQP: F1 of "yes".
        Metric(
            'glue_accuracy_f1', ('accuracy', 'glue_f1'), count_yes, accuracy_and_f1, classes=('yes', 'no')
        ),
        # CommitmentBank: the mean F1 of the classes.
        Metric(
            'superglue_cb',
            ('accuracy', 'macro_f1'),
            count_classes(CB_CLASSES),
            accuracy_and_f1,
            classes=CB_CLASSES,
        ),
        # F1 of "yes" over the answers to all questions; exact match is the share of questions whose answers
        # are all judged right.
        Metric(
            'superglue_multirc',
            ('multirc_f1a', 'multirc_exact_match', 'accuracy'),
            count_yes,
            f1_match_and_accuracy,
            classes=('yes', 'no'),
            grouped=True,
        ),
        Metric('squad_exact_match', ('squad_exact_match', 'squad_f1'), count_match_and_f1(normalize_squad)),
        Metric('squad_f1', ('squad_f1', 'squad_exact_match'), count_f1_and_match),
        Metric(
            'trivia_qa_exact_match',
            ('trivia_qa_exact_match', 'trivia_qa_f1'),
            count_match_and_f1(normalize_trivia_qa),
        ),
        # CLUES: sets of spans.
        Metric('span_sets', ('s1', 'exact_match'), count_span_sets),
        # Super-NaturalInstructions.
        Metric('natural_instructions', ('rougeL', 'exact_match'), count_natural_instructions),
        # BIG-bench: what the chosen option is worth.
        Metric('multiple_choice_grade', ('multiple_choice_grade',), count_grade),
        Metric('t5_rouge', ROUGE_TYPES, count_rouge(ROUGE_TYPES)),
        # The same, with another of its scores as the main one.
        *(
            Metric(first, types, count_rouge(types))
            for first in ('rouge1', 'rouge2', 'rougeL')
            for types in [(first, *(name for name in ROUGE_TYPES if name != first))]
        ),
        Metric('sacrebleu_intl', ('sacrebleu_intl',), count_bleu, corpus_bleu),
        Metric('pearson', ('pearson',), count_numbers, pearson, together=moments_about_the_middle),
        # Ratings from 0 to 5.
        Metric(
            'glue_stsb',
            ('pearson', 'spearman'),
            count_ratings,
            pearson_and_spearman,
            together=moments_about_the_middle,
        ),
        # A similarity, so that more is better.
        Metric('edit_similarity', ('edit_similarity', 'copied'), count_similarity),
    )
}


def get_metric(metric: str | Metric) -> Metric:
    """Return a metric by its name; a `Metric` of one's own is returned as it is.

    Raises:
        ValueError: there is no such metric; the message lists the valid names and suggests the closest.
    """
    if isinstance(metric, Metric):
        return metric
    if not isinstance(metric, str) or metric not in METRICS:
        close = config.closest(metric, METRICS) if isinstance(metric, str) else ''
        raise ValueError(
            f'unknown metric {metric!r}; {close}the metrics are {", ".join(METRICS)}, or a flanlite.Metric '
            'of your own'
        )
    return METRICS[metric]
