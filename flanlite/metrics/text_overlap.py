"""Metrics that compare texts: exact match and token F1, ROUGE, BLEU, edit distance.

The packages that compute ROUGE and BLEU are imported when the first text is scored.
"""

import functools
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from flanlite.metrics.metric import ratio

BLEU_ORDER = 4  # the longest n-grams that BLEU counts
ROUGE_TYPES = ('rougeLsum', 'rougeL', 'rouge1', 'rouge2')
# Scripts that set no blanks between words, where each letter is a token, as sets of the package regex.
WITHOUT_BLANKS = ''.join(
    rf'\p{{{script}}}' for script in ('Han', 'Hiragana', 'Katakana', 'Thai', 'Lao', 'Khmer', 'Myanmar')
)
# A letter of these with its marks; a run of other letters, marks and digits; or a pictograph. Of ASCII these
# are the runs of letters and digits.
ROUGE_TOKEN = (
    rf'[{WITHOUT_BLANKS}]\p{{M}}*'
    rf'|[[\p{{L}}\p{{N}}]--[{WITHOUT_BLANKS}]][[\p{{L}}\p{{M}}\p{{N}}]--[{WITHOUT_BLANKS}]]*'
    r'|[\p{So}&&[\u2600-\U0010ffff]]'
)
SQUAD_PUNCTUATION = str.maketrans('', '', string.punctuation)
TRIVIA_QA_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation + '‘’´', ' '))


def normalize_squad(text: str) -> str:
    """Convert to lower case and drop ASCII punctuation, articles and extra white space, as SQuAD's scorer
    does: "rock-n-roll" becomes "rocknroll".
    """
    return drop_articles(text.lower().translate(SQUAD_PUNCTUATION))


def normalize_trivia_qa(text: str) -> str:
    """Convert to lower case, turn punctuation into blanks and drop articles and extra white space, as
    TriviaQA's scorer does: "rock-n-roll" becomes "rock n roll".
    """
    return drop_articles(text.lower().translate(TRIVIA_QA_PUNCTUATION))


def drop_articles(text: str) -> str:
    """Drop "a", "an", "the" and extra white space."""
    return ' '.join(re.sub(r'\b(a|an|the)\b', ' ', text).split())


def token_f1(predicted: Sequence[str], expected: Sequence[str]) -> float:
    """Return the F1 of two texts' normalised words, from 0 to 1, as SQuAD's scorer computes it."""
    if not predicted or not expected:
        return float(not predicted and not expected)
    shared = sum((Counter(predicted) & Counter(expected)).values())
    return 2 * shared / (len(predicted) + len(expected))


def count_match_and_f1(normalize: Callable[[str], str]) -> Callable[[str, Sequence[str]], Sequence[float]]:
    """Make a function that returns (exact match, token F1, 1) of normalised texts, both the best over the
    answers.
    """

    def count(prediction: str, answers: Sequence[str]) -> tuple[float, float, float]:
        predicted, right = normalize(prediction), [normalize(answer) for answer in answers]
        f1 = max((token_f1(predicted.split(), answer.split()) for answer in right), default=0.0)
        return float(predicted in right), f1, 1.0

    return count


def count_f1_and_match(prediction: str, answers: Sequence[str]) -> tuple[float, float, float]:
    """Return the counts of `count_match_and_f1` by SQuAD's rule, with F1 first."""
    match, f1, one = count_match_and_f1(normalize_squad)(prediction, answers)
    return f1, match, one


@functools.cache
def rouge_scorer() -> object:
    """Make the ROUGE scorer once per process; its package takes a second to import."""
    from rouge_score import rouge_scorer as rouge

    return rouge.RougeScorer(ROUGE_TYPES, tokenizer=RougeTokenizer())


class RougeTokenizer:
    """The tokens of ROUGE in any script: those of rouge_score for ASCII text, whose own tokenizer takes every
    other letter for a blank.
    """

    def __init__(self) -> None:
        import regex

        self._token = regex.compile(ROUGE_TOKEN, regex.V1)

    def tokenize(self, text: str) -> list[str]:
        """Return the tokens of a text, in lower case and composed (NFC)."""
        return self._token.findall(unicodedata.normalize('NFC', text.lower()))


@functools.cache
def stemming_rouge_scorer() -> object:
    """Make the scorer of ROUGE-L with stems and rouge_score's own tokens, once per process."""
    from rouge_score import rouge_scorer as rouge

    return rouge.RougeScorer(['rougeL'], use_stemmer=True)


def count_natural_instructions(prediction: str, answers: Sequence[str]) -> tuple[float, float, float]:
    """Return (ROUGE-L, exact match, 1) as Super-NaturalInstructions' script, each the best over the answers.

    Texts match that are equal in lower case without ASCII punctuation and extra white space.
    """
    scorer = stemming_rouge_scorer()
    rouge = max((scorer.score(answer, prediction)['rougeL'].fmeasure for answer in answers), default=0.0)
    plain = [' '.join(text.lower().translate(SQUAD_PUNCTUATION).split()) for text in (prediction, *answers)]
    return rouge, float(plain[0] in plain[1:]), 1.0


def split_sentences(text: str) -> str:
    """Put each sentence on a line of its own where a full stop stands between blanks, as T5's evaluation does
    for rougeLsum.
    """
    return text.replace(' . ', ' .\n')


def count_rouge(types: Sequence[str]) -> Callable[[str, Sequence[str]], tuple[float, ...]]:
    """Make a function that counts the F-measures of some of `ROUGE_TYPES`, each the best over the references,
    then 1; words are not stemmed.
    """

    def count(prediction: str, answers: Sequence[str]) -> tuple[float, ...]:
        predicted = split_sentences(prediction)
        per_answer = [rouge_scorer().score(split_sentences(answer), predicted) for answer in answers]
        return *(max((scores[name].fmeasure for scores in per_answer), default=0.0) for name in types), 1.0

    return count


@functools.cache
def bleu_scorer() -> object:
    """Make sacrebleu's BLEU of the tokens `intl`, which T5 and FLAN count, once per process."""
    from sacrebleu.metrics import BLEU

    return BLEU(tokenize='intl', effective_order=True)


def count_bleu(prediction: str, answers: Sequence[str]) -> tuple[float, ...]:
    """Return the matching n-grams and all n-grams, by order, the lengths of prediction and reference, and 1;
    zeros without an answer.
    """
    if not answers:
        return (0.0,) * (2 * BLEU_ORDER + 3)
    score = bleu_scorer().sentence_score(prediction, list(answers))
    return *score.counts, *score.totals, score.sys_len, score.ref_len, 1.0


def corpus_bleu(sums_K: np.ndarray) -> np.ndarray:
    """Return corpus BLEU from sums [..., K] as sacrebleu computes it: [..., 1].

    Orders of n-grams that match nothing are smoothed exponentially, and the brevity penalty applies.
    """
    correct, total = sums_K[..., :BLEU_ORDER], sums_K[..., BLEU_ORDER : 2 * BLEU_ORDER]
    system, reference, count = np.moveaxis(sums_K[..., 2 * BLEU_ORDER :], -1, 0)
    missed = (correct == 0) & (total > 0)
    smoothed = np.where(missed, 0.5 ** np.cumsum(missed, axis=-1), correct)
    logs = np.log(np.maximum(ratio(smoothed, total), 1e-300))
    penalty = np.where(system >= reference, 1.0, np.exp(np.minimum(0.0, 1 - ratio(reference, system))))
    scored = (total > 0).all(axis=-1) & (correct > 0).any(axis=-1)
    bleu = 100 * penalty * np.exp(np.where(scored[..., None], logs, 0.0).mean(axis=-1))
    return np.where(count > 0, np.where(scored, bleu, 0.0), np.nan)[..., None]


def edit_distance(first: str, second: str) -> int:
    """Return the Levenshtein distance: the fewest insertions, deletions and substitutions of characters
    between two texts.

    The table is filled a row at a time. Insertions run along the row; subtracting a ramp turns that recursion
    into a running minimum, which numpy computes at once.
    """
    ids = np.array([ord(character) for character in second], np.int64)
    ramp = np.arange(len(second) + 1)
    row = ramp.copy()
    for index, character in enumerate(first):
        best = np.minimum(row[1:] + 1, row[:-1] + (ids != ord(character)))
        row = np.minimum.accumulate(np.concatenate([[index + 1], best]) - ramp) + ramp
    return int(row[-1])


def count_similarity(prediction: str, answers: Sequence[str]) -> tuple[float, float, float]:
    """Return (edit similarity, exact copy, 1), both the best over the answers; similarity is 1 - distance /
    the longer length.
    """
    similarities = [
        1 - edit_distance(prediction, answer) / max(len(prediction), len(answer), 1) for answer in answers
    ]
    return max(similarities, default=0.0), float(prediction in answers), 1.0
