"""Made-up rows of FLAN 2021's data sets in TFDS's shapes, and the check that a row renders with every
template.
"""

from flanlite.data.specs import templates

EMPTY_FIELDS = {'title', 'activity'}  # what some rows of the data lack

NLI = {
    'premise': 'The ferry does not run in winter.',
    'hypothesis': 'In winter there is no ferry.',
    'idx': 3,
    'label': 0,
}
ANLI = {
    'uid': 'a1',
    'context': 'The Harrow Bell is a weekly. Two brothers founded it.',
    'hypothesis': 'It is a daily.',
    'label': 2,
}
ARC = {
    'id': 'q1',
    'question': 'Which of these carries sap to the leaves?',
    'choices': {'text': ['bark', 'wood', 'pollen', 'fruit'], 'label': [0, 1, 2, 3]},
    'answerKey': 1,
}
GLUE_PAIR = {
    'sentence1': 'The hall closes on Monday.',
    'sentence2': 'On Monday the hall shuts.',
    'idx': 5,
    'label': 1,
}
ROWS = {
    'anli_r1': ANLI,
    'anli_r2': ANLI,
    'anli_r3': ANLI,
    'cb': {
        'premise': "A: Nobody walks it. B: ``I doubt that the path is there,'' he said.",
        'hypothesis': 'the path is there',
        'label': 1,
    },
    'rte': NLI,
    'mnli_matched': NLI,
    'mnli_mismatched': NLI,
    'qnli': {
        'question': 'When did the tower lose its roof?',
        'sentence': 'It was begun in 1420.',
        'idx': 1,
        'label': 1,
    },
    'wnli': GLUE_PAIR,
    'snli': {'premise': 'A man is mending a net.', 'hypothesis': 'He waits for his son.', 'label': 1},
    'sst2': {'sentence': "a slow , honest and ``quite'' moving picture ", 'idx': 2, 'label': 1},
    'imdb_reviews': {'text': 'I went in expecting little.<br /><br />I got less.', 'label': 0},
    'yelp_polarity_reviews': {
        'text': 'Third time they lost my booking.\\nThe \\"soup\\" is good.',
        'label': 0,
    },
    'sentiment140': {
        'polarity': 4,
        'date': 'Mon',
        'query': 'tea',
        'user': 'someone',
        'text': 'tea &amp; toast &lt;3 &quot;yes&quot; ',
    },
    'glue_mrpc': GLUE_PAIR,
    'glue_qqp': {
        'question1': 'How do I shell peas? ',
        'question2': 'Is there a knack to shelling peas?',
        'idx': 5,
        'label': 1,
    },
    'paws_wiki': {
        'sentence1': "Ann calls it `` the Bell '' .",
        'sentence2': "It calls Ann `` the Bell '' .",
        'label': 0,
    },
    'stsb': {**GLUE_PAIR, 'label': 3.4},
    'copa': {
        'premise': 'The candle went out.',
        'choice1': 'A window was open.',
        'choice2': 'It rang.',
        'question': 'cause',
        'label': 0,
    },
    'hellaswag': {
        'context': '[header] How to whet a knife [title] Wet the stone. a man',
        'endings': ['draws the blade.', '[step] He runs.', 'eats it.', 'sings to it.'],
        'activity_label': 'Whetting knives',
        'label': 0,
        'split_type': 'indomain',
        'source_id': 'wikihow~1',
    },
    'piqa': {
        'id': '1',
        'goal': 'To get gum out of a shirt,',
        'sol1': 'freeze the shirt.',
        'sol2': 'warm the shirt.',
        'label': 0,
    },
    'story_cloze': {
        'context': 'Tom took salt for sugar. The cake rose.',
        'endings': ['It tasted vile. ', 'He sold it.'],
        'label': 1,
    },
    'arc_challenge': ARC,
    'arc_easy': ARC,
    'natural_questions': {'question': 'who built the lighthouse', 'answer': ['Agnes Tolland', 'A. Tolland']},
    'trivia_qa': {
        'question': 'Which Skerry keeper wrote a novel?',
        'question_id': 't1',
        'question_source': 'quiz',
        'answer': {
            'aliases': ['Tolland', 'Agnes Maud Tolland'],
            'normalized_aliases': ['tolland'],
            'value': 'Agnes Tolland',
            'normalized_value': 'agnes tolland',
        },
    },
    'definite_pronoun_resolution': {
        'sentence': 'The shepherds called the dogs because they were about to leave.',
        'pronoun': 'they',
        'candidates': ['The shepherds', 'the dogs'],
        'label': 0,
    },
    'winogrande': {
        'sentence': 'The jug did not fit the shelf as the _ was too tall.',
        'option1': 'jug',
        'option2': 'shelf',
        'label': 0,
    },
    'wsc': {
        'text': 'Ann thanked the miller, because he had lent a ladder.',
        'span1_text': 'the miller',
        'span2_text': 'he',
        'span1_index': 2,
        'span2_index': 5,
        'idx': 4,
        'label': 1,
    },
    'wsc273': {
        'text': 'René thanked the miller, because he had lent a ladder.',
        'pronoun_text': 'he',
        'pronoun_start': 33,
        'pronoun_end': 35,
        'option1': 'René',
        'option2': 'The miller',
        'option1_normalized': 'René',
        'option2_normalized': 'the miller',
        'label': 1,
        'idx': 0,
    },
    'bool_q': {
        'question': 'can you go up the lighthouse',
        'passage': 'It is closed.',
        'title': 'Skerry Point',
        'answer': False,
    },
    'multirc': {
        'paragraph': ' At the ford Edda met a pedlar. ',
        'question': 'Who met Edda?',
        'answer': 'A pedlar',
        'idx': {'paragraph': 0, 'question': 0, 'answer': 1},
        'label': 1,
    },
    'openbookqa': {
        'question': {
            'stem': 'A stone in the sun will be',
            'choice_A': 'damp',
            'choice_B': 'warm',
            'choice_C': 'light',
            'choice_D': 'magnetic',
        },
        'answerKey': 1,
    },
    'squad_v1': {
        'id': 's1',
        'title': 'Skerry_Point',
        'context': 'The present tower, of granite, dates from 1856.',
        'question': 'What is the tower made of?',
        'answers': {'text': ['granite', 'granite'], 'answer_start': [22, 22]},
    },
    'squad_v2': {
        'id': 's2',
        'title': 'Skerry_Point',
        'context': 'The present tower, of granite, dates from 1856.',
        'question': 'What was the first tower made of?',
        'answers': {'text': [], 'answer_start': []},
        'plausible_answers': {'text': ['granite'], 'answer_start': [22]},
        'is_impossible': True,
    },
    'drop': {
        'passage': 'The fleet lost 11 boats, and 4 more in the spring.',
        'question': ' How many boats were lost in all?',
        'answer': '15',
        'validated_answers': ['15', '', 'fifteen'],
        'query_id': 'd1',
    },
    'record': {
        'passage': 'Ida Harrow has left the council of Skerry\n@highlight\nJon Tolland thanked '
        'her.\n@highlight\nA seat is empty ',
        'query': 'On Friday @placeholder gave a speech.',
        'entities': ['Ida Harrow', 'Jon Tolland', 'Skerry', 'Tolland'],
        'answers': ['Jon Tolland', 'Tolland'],
        'idx': {'passage': 3, 'query': 1},
    },
    'cosmos_qa': {
        'id': 'c1',
        'context': 'I had packed for six , and there were two of us .',
        'question': 'Why was food left over ?',
        'answer0': 'Most did not come .',
        'answer1': 'The dog does not eat .',
        'answer2': 'The lake was closed .',
        'answer3': 'None of the above choices .',
        'label': 0,
    },
    'wic': {
        'word': 'bank',
        'sentence1': 'They moored at the bank.',
        'sentence2': 'Willows lined the bank.',
        'idx': 1,
        'label': 1,
    },
    'cola': {'sentence': 'Whose did you borrow bicycle?', 'idx': 1, 'label': 0},
    'trec': {'label-coarse': 4, 'label-fine': 8, 'text': "How tall is the ``Great Light'' ?"},
    'aeslc': {
        'email_body': ' The room is being painted.\nWe meet in the canteen.',
        'subject_line': 'Meeting moved ',
    },
    'ag_news_subset': {
        'title': 'Oil climbs',
        'description': 'Crude rose\\by a  #36;1 &lt;A HREF="x"&gt;share&lt;/A&gt;.',
        'label': 2,
    },
    'samsum': {
        'id': '1',
        'dialogue': 'Edda: got the tickets?\r\nTom: not yet',
        'summary': 'Tom has no tickets yet. ',
    },
    'opinion_abstracts_rotten_tomatoes': {
        '_movie_name': 'The Keeper',
        '_movie_id': 'm/keeper',
        '_critic_consensus': ' Slow &amp; fine, <em>The Keeper</em> has mood.',
        '_critics': {'key': ['1', '2', '3'], 'value': ['Two hours of fog.', '', 'I was &quot;moved&quot;.']},
    },
    'opinion_abstracts_idebate': {
        '_debate_name': 'This House would abolish fees',
        '_claim_id': 'c1',
        '_claim': 'Fees keep the poor away.',
        '_argument_sentences': {'key': ['0', '1'], 'value': ['Loans frighten them.', 'Fewer came.']},
    },
    'wiki_lingua_english_en': {
        'gem_id': 'w1',
        'gem_parent_id': 'w1',
        'source': ' Salt draws water out. A wide jar is easier to fill.',
        'target': 'Salt the cabbage. Press it into a jar.',
        'source_aligned': {'en': ''},
        'target_aligned': {'en': ''},
        'references': [],
    },
    'cnn_dailymail': {
        'article': 'The ferry will be out of service until May. ' * 200,
        'highlights': 'Its hull has a crack .\nNo service before May . ',
        'publisher': 'cnn',
        'id': 'a1',
    },
    'gigaword': {
        'document': "the `` skerry '' -lrb- a ferry -rrb- is out of service .",
        'summary': "`` skerry '' laid up",
    },
    'multi_news': {
        'document': 'The ferry is out of service. \n ||||| Islanders are angry.'
        + ' They had warned.' * 200
        + ' |||||',
        'summary': '– The Skerry ferry is laid up.',
    },
    'newsroom': {
        'text': 'For eleven winters she climbed the steps. ',
        'summary': 'A light that one woman would not leave alone.',
        'title': 'The last keeper',
        'url': '',
        'date': '',
        'density_bin': 'low',
        'coverage_bin': 'low',
        'compression_bin': 'low',
        'density': 0.5,
        'coverage': 0.5,
        'compression': 2.0,
    },
    'xsum': {
        'document': 'It was found on Monday.\nThe mail comes by helicopter.',
        'summary': 'The ferry is laid up.',
        'id': '1',
    },
    'common_gen': {
        'gem_id': 'c1',
        'gem_parent_id': 'c1',
        'concept_set_id': 1,
        'concepts': ['net', 'man', 'mend'],
        'target': 'A man mends a net.',
        'references': ['A man mends a net.', 'The net was mended by a man.'],
    },
    'true_case': {'en': 'The Ferry  to Ærø leaves\ton Mondays. ', 'da': ''},
    'fix_punct': {
        'en': '"If it isn\'t mended (by May)," she said, "there\'s no ferry for 3.5 weeks!" ',
        'da': '',
    },
    'word_segment': {'en': 'The ferry  leaves on Mondays.', 'da': ''},
    'math_dataset': {'question': 'Solve 14*k - 3 = 9*k - 18 for k.', 'answer': '-3'},
    'quac': {
        'context': 'In 1955 she came to Skerry Point. She kept the light on her own. CANNOTANSWER',
        'followup': 'y',
        'yesno': 'x',
        'question': 'Was she paid?',
        'answers': {'text': ['CANNOTANSWER', 'on her own'], 'answer_start': [64, 52]},
        'orig_answer': {'text': 'CANNOTANSWER', 'answer_start': 64},
        'section_title': 'At Skerry Point',
        'background': 'Agnes Tolland was a lighthouse keeper. CANNOTANSWER',
        'title': 'Agnes Tolland',
    },
    'coqa': {
        'source': 'mctest',
        'story': 'At the ford Edda met a pedlar. ',
        'questions': ['Whom did Edda meet?', 'Where?'],
        'answers': {
            'input_text': ['a pedlar', 'at the ford'],
            'answer_start': [21, 0],
            'answer_end': [29, 11],
        },
    },
    'e2e_nlg': {
        'meaning_representation': 'name[The Lantern], food[English]',
        'target': 'The Lantern is English.',
        'references': [],
    },
    'web_nlg_en': {
        'input': ['Skerry_Light | opened | "1856"', 'Skerry_Light | height | 30'],
        'category': 'Building',
        'webnlg_id': 'Id1',
        'target': 'Opened in 1856, the light is 30 high.',
        'references': ['Opened in 1856, the light is 30 high.', 'The light is 30 high and opened in 1856.'],
    },
    'dart': {
        'dart_id': 1,
        'tripleset': ['Northern League | CHAMPION | Skerry United'],
        'subtree_was_extended': False,
        'target_sources': ['e2e'],
        'target': 'Skerry United is the champion.',
        'references': [],
    },
}

for name, code, sentence in (
    ('para_crawl_enes', 'es', 'El museo abre a las diez.'),
    ('wmt14_enfr', 'fr', 'Le musée ouvre à dix heures.'),
    ('wmt16_translate_deen', 'de', 'Das Museum öffnet um zehn.'),
    ('wmt16_translate_tren', 'tr', 'Müze saat onda açılıyor.'),
    ('wmt16_translate_csen', 'cs', 'Muzeum otevírá v deset.'),
    ('wmt16_translate_fien', 'fi', 'Museo aukeaa kymmeneltä.'),
    ('wmt16_translate_roen', 'ro', 'Muzeul se deschide la ora zece.'),
    ('wmt16_translate_ruen', 'ru', 'Музей открывается в десять.'),
):
    ROWS[name] = {'en': 'The museum opens at ten.\n', code: f' {sentence}'}


def check_example(spec, row):
    """Render every template of every style on a row and check the outcome."""
    example = spec.example(row)
    if example is None:
        return None
    texts, options, answers = example['texts'], example['options'], example['answers']
    empty = [name for name, value in texts.items() if not value.strip() and name not in EMPTY_FIELDS]
    assert not empty, f'{spec.name}: the fields {empty} are empty in {row}'
    assert texts['answer'] in answers
    if options:
        assert texts['answer'] in options
    for style in ('instructions', 'baseline', 'fields'):
        for template in spec.style_templates(style):
            inputs = templates.fill(template.inputs, texts)
            assert inputs.strip() and templates.fill(template.targets, texts).strip()
            if options and '{options_}' in template.inputs:
                assert templates.options_block(options) in inputs
    return example
