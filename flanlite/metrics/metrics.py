"""The table of metrics by name.

A new metric is a function that counts one example, in the file of its kind, and a line in this table. The
packages for ROUGE and BLEU are imported when they first score, so a data set's spec can check the name of its
metric at no cost.
"""

from flanlite import config
from flanlite.metrics.classification import accuracy_and_f1, count_classes, count_equal, f1_match_and_accuracy
from flanlite.metrics.correlation import (
    count_numbers,
    count_ratings,
    moments_about_the_middle,
    pearson,
    pearson_and_spearman,
)
from flanlite.metrics.metric import Metric, means
from flanlite.metrics.text_overlap import (
    ROUGE_TYPES,
    corpus_bleu,
    count_bleu,
    count_f1_and_match,
    count_match_and_f1,
    count_rouge,
    count_similarity,
    normalize_squad,
    normalize_trivia_qa,
)

METRICS: dict[str, Metric] = {
    'accuracy': Metric(('accuracy',), count_equal, means),
    # MRPC and QQP: F1 of "yes".
    'accuracy_f1': Metric(('accuracy', 'f1'), count_classes(('yes',)), accuracy_and_f1),
    # CommitmentBank.
    'accuracy_mean_f1': Metric(('accuracy', 'f1'), count_classes(('yes', 'no', 'unclear')), accuracy_and_f1),
    # MultiRC: F1 of "yes" over the answers to all questions; exact match is the share of questions whose
    # answers are all judged right.
    'f1a': Metric(
        ('f1a', 'exact_match', 'accuracy'), count_classes(('yes',)), f1_match_and_accuracy, grouped=True
    ),
    # By the rules of SQuAD's scorer.
    'exact_match': Metric(('exact_match', 'f1'), count_match_and_f1(normalize_squad), means),
    'f1': Metric(('f1', 'exact_match'), count_f1_and_match, means),
    # By those of TriviaQA's.
    'trivia_qa': Metric(('exact_match', 'f1'), count_match_and_f1(normalize_trivia_qa), means),
    'rouge': Metric(ROUGE_TYPES, count_rouge, means),
    'bleu': Metric(('bleu',), count_bleu, corpus_bleu),
    'pearson': Metric(('pearson',), count_numbers, pearson, together=moments_about_the_middle),
    # STS-B: ratings from 0 to 5.
    'pearson_spearman': Metric(
        ('pearson', 'spearman'), count_ratings, pearson_and_spearman, together=moments_about_the_middle
    ),
    # A similarity, so that more is better.
    'edit_distance': Metric(('edit_similarity', 'copied'), count_similarity, means),
}


def get_metric(name: str) -> Metric:
    """Return a metric by its name.

    Raises:
        ValueError: there is no such metric; the message lists the valid names and suggests the closest.
    """
    if name not in METRICS:
        raise ValueError(
            f'unknown metric {name!r}; {config.closest(name, METRICS)}the metrics are {", ".join(METRICS)}'
        )
    return METRICS[name]
