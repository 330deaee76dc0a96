"""T0's tables: task groups, training sets, what is held out, and each data set's size and number of prompts.

Sizes, training sets and the rule of mixing are those of T0's release (its `datasets.csv` and `tasks.py`).
"""

from typing import NamedTuple


class Listed(NamedTuple):
    """A line of T0's list of data sets.

    Args:
        hub: the data set's name in promptsource; at the hub it belongs to an organisation, see `HUB`.
        config: its configuration, where it has several.
        train: the number of its training examples, 0 where the release leaves the field empty.
        prompts: the number of its prompts in promptsource (at the last commit; T0 was trained with those of 0.1.0).
    """

    hub: str
    config: str | None
    train: int
    prompts: int


# The groups of T0's paper (section 3). Data sets have our names, and FLAN's names where FLAN has them too.
GROUPS: dict[str, tuple[str, ...]] = {
    'multiple_choice_qa': (
        'cos_e', 'cosmos_qa', 'dream', 'qasc', 'quail', 'quarel', 'quartz', 'sciq', 'social_i_qa', 'wiki_hop', 'wiqa',
    ),
    'extractive_qa': (
        'adversarial_qa_dbidaf', 'adversarial_qa_dbert', 'adversarial_qa_droberta', 'duorc_self', 'duorc_paraphrase', 'ropes', 'quoref',
    ),
    'closed_book_qa': ('kilt_hotpotqa', 'wiki_qa'),
    'sentiment': ('amazon_polarity', 'app_reviews', 'imdb_reviews', 'rotten_tomatoes', 'yelp_review_full'),
    'topic_classification': ('ag_news_subset', 'dbpedia_14', 'trec'),
    'struct_to_text': ('common_gen', 'wiki_bio'),
    'summarization': ('cnn_dailymail', 'gigaword', 'multi_news', 'samsum', 'xsum'),
    'paraphrase': ('glue_mrpc', 'glue_qqp', 'paws_wiki'),
}  # fmt: skip

# The data sets that T0+ adds, on which GPT-3 was evaluated. They belong to the groups above, and to sentence completion.
PLUS: dict[str, tuple[str, ...]] = {
    'closed_book_qa': ('arc_challenge', 'arc_easy', 'trivia_qa', 'web_questions'),
    'extractive_qa': ('squad_v2',),
    'multiple_choice_qa': ('openbookqa', 'race_high', 'race_middle', 'piqa'),
    'sentence_completion': ('hellaswag',),
}

# The data sets that T0++ adds to these: SuperGLUE without its NLI.
PLUS_PLUS: dict[str, tuple[str, ...]] = {
    'coreference': ('wsc',),
    'extractive_qa': ('record',),
    'multiple_choice_qa': ('bool_q', 'copa', 'multirc'),
    'word_sense': ('wic',),
}

# The four groups that T0 is not trained on. T0+ is trained on HellaSwag, and T0++ on WSC, COPA and WiC as well, so these are not held out
# from them.
HELD_OUT: dict[str, tuple[str, ...]] = {
    'nli': ('rte', 'cb', 'anli_r1', 'anli_r2', 'anli_r3'),
    'coreference': ('wsc', 'winogrande'),
    'sentence_completion': ('copa', 'hellaswag', 'story_cloze'),
    'word_sense': ('wic',),
}

TRAINING: dict[str, tuple[dict[str, tuple[str, ...]], ...]] = {
    't0': (GROUPS,),
    't0_plus': (GROUPS, PLUS),
    't0_plus_plus': (GROUPS, PLUS, PLUS_PLUS),
}

LISTED: dict[str, Listed] = {
    'cos_e': Listed('cos_e', 'v1.11', 9_741, 11),
    'cosmos_qa': Listed('cosmos_qa', None, 25_262, 13),
    'dream': Listed('dream', None, 6_116, 5),
    'qasc': Listed('qasc', None, 8_134, 8),
    'quail': Listed('quail', None, 10_246, 13),
    'quarel': Listed('quarel', None, 1_941, 5),
    'quartz': Listed('quartz', None, 2_696, 8),
    'sciq': Listed('sciq', None, 11_679, 5),
    'social_i_qa': Listed('social_i_qa', None, 33_410, 6),
    'wiki_hop': Listed('wiki_hop', 'original', 43_738, 9),
    'wiqa': Listed('wiqa', None, 29_808, 8),
    'adversarial_qa_dbidaf': Listed('adversarial_qa', 'dbidaf', 10_000, 5),
    'adversarial_qa_dbert': Listed('adversarial_qa', 'dbert', 10_000, 5),
    'adversarial_qa_droberta': Listed('adversarial_qa', 'droberta', 10_000, 5),
    'duorc_self': Listed('duorc', 'SelfRC', 60_721, 9),
    'duorc_paraphrase': Listed('duorc', 'ParaphraseRC', 69_524, 9),
    'ropes': Listed('ropes', None, 10_924, 12),
    'quoref': Listed('quoref', None, 19_399, 11),
    'kilt_hotpotqa': Listed('kilt_tasks', 'hotpotqa', 88_869, 5),
    'wiki_qa': Listed('wiki_qa', None, 20_360, 11),
    'amazon_polarity': Listed('amazon_polarity', None, 3_600_000, 9),
    'app_reviews': Listed('app_reviews', None, 288_065, 4),
    'imdb_reviews': Listed('imdb', None, 25_000, 11),
    'rotten_tomatoes': Listed('rotten_tomatoes', None, 8_530, 10),
    'yelp_review_full': Listed('yelp_review_full', None, 650_000, 7),
    'ag_news_subset': Listed('ag_news', None, 120_000, 7),
    'dbpedia_14': Listed('dbpedia_14', None, 560_000, 4),
    'trec': Listed('trec', None, 5_452, 18),
    'common_gen': Listed('common_gen', None, 67_389, 9),
    'wiki_bio': Listed('wiki_bio', None, 582_659, 5),
    'cnn_dailymail': Listed('cnn_dailymail', '3.0.0', 287_113, 9),
    'gigaword': Listed('gigaword', None, 3_803_957, 9),
    'multi_news': Listed('multi_news', None, 44_972, 6),
    'samsum': Listed('samsum', None, 14_732, 7),
    'xsum': Listed('xsum', None, 204_045, 10),
    'glue_mrpc': Listed('glue', 'mrpc', 3_668, 7),
    'glue_qqp': Listed('glue', 'qqp', 363_846, 6),
    'paws_wiki': Listed('paws', 'labeled_final', 49_401, 12),
    # T0+
    'arc_challenge': Listed('ai2_arc', 'ARC-Challenge', 1_119, 6),
    'arc_easy': Listed('ai2_arc', 'ARC-Easy', 2_251, 6),
    'trivia_qa': Listed('trivia_qa', 'unfiltered', 87_622, 5),
    'web_questions': Listed('web_questions', None, 3_778, 5),
    'squad_v2': Listed('squad_v2', None, 130_319, 12),
    'openbookqa': Listed('openbookqa', 'main', 4_957, 7),
    'race_high': Listed('race', 'high', 62_445, 8),
    'race_middle': Listed('race', 'middle', 25_421, 8),
    'piqa': Listed('piqa', None, 16_113, 11),
    'hellaswag': Listed('hellaswag', None, 39_905, 11),
    # T0++
    'wsc': Listed('super_glue', 'wsc.fixed', 554, 10),
    'record': Listed('super_glue', 'record', 100_730, 20),
    'bool_q': Listed('super_glue', 'boolq', 9_427, 10),
    'copa': Listed('super_glue', 'copa', 400, 12),
    'multirc': Listed('super_glue', 'multirc', 27_243, 10),
    'wic': Listed('super_glue', 'wic', 5_428, 10),
    # held out from all three
    'rte': Listed('super_glue', 'rte', 2_490, 10),
    'cb': Listed('super_glue', 'cb', 250, 15),
    'anli_r1': Listed('anli', None, 16_946, 15),
    'anli_r2': Listed('anli', None, 45_460, 15),
    'anli_r3': Listed('anli', None, 100_459, 15),
    'winogrande': Listed('winogrande', 'winogrande_xl', 40_398, 6),
    'story_cloze': Listed('story_cloze', '2016', 0, 6),
}

# The prompt that T0's release leaves out although it trains on the data set: its cache was broken. The release leaves out 23 more, of data
# sets that it does not use.
LEFT_OUT = ('gigaword_summarize_',)

# The hub's names of data sets that promptsource names without an organisation.
HUB: dict[str, str] = {
    'adversarial_qa': 'UCLNLP/adversarial_qa',
    'ag_news': 'fancyzhx/ag_news',
    'ai2_arc': 'allenai/ai2_arc',
    'amazon_polarity': 'fancyzhx/amazon_polarity',
    'anli': 'facebook/anli',
    'app_reviews': 'sealuzh/app_reviews',
    'cnn_dailymail': 'abisee/cnn_dailymail',
    'common_gen': 'allenai/common_gen',
    'cos_e': 'Salesforce/cos_e',
    'cosmos_qa': 'allenai/cosmos_qa',
    'dbpedia_14': 'fancyzhx/dbpedia_14',
    'dream': 'dataset-org/dream',
    'duorc': 'ibm-research/duorc',
    'gigaword': 'Harvard/gigaword',
    'glue': 'nyu-mll/glue',
    'hellaswag': 'Rowan/hellaswag',
    'imdb': 'stanfordnlp/imdb',
    'kilt_tasks': 'facebook/kilt_tasks',
    'multi_news': 'alexfabbri/multi_news',
    'openbookqa': 'allenai/openbookqa',
    'paws': 'google-research-datasets/paws',
    'piqa': 'ybisk/piqa',
    'qasc': 'allenai/qasc',
    'quail': 'textmachinelab/quail',
    'quarel': 'community-datasets/quarel',
    'quartz': 'allenai/quartz',
    'quoref': 'allenai/quoref',
    'race': 'ehovy/race',
    'ropes': 'allenai/ropes',
    'rotten_tomatoes': 'cornell-movie-review-data/rotten_tomatoes',
    'samsum': 'knkarthick/samsum',
    'sciq': 'allenai/sciq',
    'social_i_qa': 'allenai/social_i_qa',
    'squad_v2': 'rajpurkar/squad_v2',
    'story_cloze': 'LSDSem/story_cloze',
    'super_glue': 'aps/super_glue',
    'trec': 'CogComp/trec',
    'trivia_qa': 'mandarjoshi/trivia_qa',
    'web_questions': 'stanfordnlp/web_questions',
    'wiki_bio': 'michaelauli/wiki_bio',
    'wiki_hop': 'community-datasets/qangaroo',
    'wiki_qa': 'microsoft/wiki_qa',
    'winogrande': 'allenai/winogrande',
    'wiqa': 'allenai/wiqa',
    'xsum': 'EdinburghNLP/xsum',
    'yelp_review_full': 'Yelp/yelp_review_full',
}
# The hub's branch with the rows of data sets whose main branch is a script. There `datasets` derives splits from the names of folders: it
# takes WikiBio's `val` for validation, and does not know QuAIL's `challenge`.
PARQUET = 'refs/convert/parquet'
REVISIONS: dict[str, str] = dict.fromkeys(
    ('cosmos_qa', 'dream', 'gigaword', 'multi_news', 'piqa', 'quail', 'quoref', 'social_i_qa', 'trec', 'wiki_bio', 'wiqa', 'xsum'), PARQUET
)
CONFIGS = {('wiki_hop', 'original'): 'wikihop'}  # configurations that have another name at the hub
RENAMED = {'wiki_hop': (('query', 'question'),)}  # columns: (at the hub, in promptsource)
SPLITS: dict[str, tuple[str | None, str | None, str | None]] = {
    **{f'anli_r{number}': (f'train_r{number}', f'dev_r{number}', f'test_r{number}') for number in (1, 2, 3)},
    'amazon_polarity': ('train', None, 'test'),
    'app_reviews': ('train', None, None),
    'ag_news_subset': ('train', None, 'test'),
    'dbpedia_14': ('train', None, 'test'),
    'imdb_reviews': ('train', None, 'test'),
    'story_cloze': (None, 'validation', 'test'),
    'trec': ('train', None, 'test'),
    'web_questions': ('train', None, 'test'),
    'yelp_review_full': ('train', None, 'test'),
}  # splits at the hub; data sets that are not listed have train and validation, and evaluation reads the latter


def listed(*groups: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the names of the data sets of some groups, each once, in the order of the tables."""
    return tuple(dict.fromkeys(name for group in groups for names in group.values() for name in names))
