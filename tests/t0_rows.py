"""Made-up rows in the shapes that TFDS and the Hugging Face hub give T0's data sets."""

LETTERS = ['A', 'B', 'C', 'D', 'E', 'F', 'G', 'H']
EIGHT = ['smaller', 'sweeter', 'alive', 'magnetic', 'green', 'hollow', 'loud', 'wet']


def spans(*texts, start='answer_start'):
    return {'text': list(texts), start: [0] * len(texts)}


RACE = {
    'example_id': 'high1.txt',
    'article': 'Few know that the lighthouse had a garden. In winter no boat came.',
    'answer': 'B',
    'question': 'The keeper planted beans because _ .',
    'options': ['she liked them', 'no boat came in winter', 'the soil was rich', 'a visitor asked'],
}
ADVERSARIAL = {
    'id': 'a1',
    'title': 'Skerry_Point',
    'context': 'The tower was lit in 1811 and again in 1856.',
    'question': ' In which year did it shine anew?',
    'answers': spans('1856'),
    'metadata': {'split': 'train', 'model_in_the_loop': 'BERT'},
}
DUORC = {
    'plot_id': '/m/1',
    'plot': "A writer is sent to a lighthouse. She finds the keeper's diary.",
    'title': 'The Keeper',
    'question_id': 'q1',
    'question': 'What does the writer find?',
    'answers': ["the keeper's diary", 'a diary'],
    'no_answer': False,
}
CHOICES = {'text': ['faster', 'more slowly'], 'label': ['A', 'B']}

# The data sets that T0 has on its own, by our names; the rows are in the shape that their source gives.
OWN = {
    'cos_e': {
        'id': 'c1',
        'question': 'Where would you leave a wet umbrella?',
        'choices': ['hallway', 'pillow', 'oven', 'library book', 'orchard'],
        'answer': 'hallway',
        'abstractive_explanation': 'Drops on the floor of a hallway do no harm.',
        'extractive_explanation': 'wet umbrella',
    },
    'dream': {
        'id': 0,
        'dialogue_id': '1',
        'dialogue': ['W: Did you return the ladder?', 'M: I shall try again tomorrow.'],
        'question': 'What will the man do tomorrow?',
        'choice': ['Go to market.', 'Return the ladder.', 'Visit the woman.'],
        'answer': 'Return the ladder.',
    },
    'quail': {
        'id': 'q1',
        'context_id': 'f1',
        'question_id': '3',
        'domain': 'fiction',
        'metadata': {'author': 'Ida Harrow', 'title': 'The Quay', 'url': 'none'},
        'context': ' At seven she was still on the quay, counting crates.',
        'question': 'Why is Edda late?',
        'question_type': 'Causality',
        'answers': ['She lost her way', 'Her work took longer', 'not enough information', 'She missed the boat'],
        'correct_answer_id': 1,
    },
    'social_i_qa': {
        'context': 'Jon lent his coat to a stranger.',
        'question': 'How would the stranger feel?',
        'answerA': 'thankful',
        'answerB': 'cheated',
        'answerC': 'sleepy',
        'label': '1',
    },
    'wiki_hop': {
        'id': 'WH_1',
        'query': 'located_in the skerry point',
        'answer': 'northern isles',
        'candidates': ['harrow', 'northern isles', 'tolland'],
        'supports': ['Skerry Point is a headland of Stennay.', 'Stennay is one of the Northern Isles.'],
        'annotations': [['follows', 'multiple']],
    },
    'race_high': RACE,
    'race_middle': {**RACE, 'example_id': 'middle1.txt'},
    'qasc': {
        'id': '1',
        'question': 'What may a boulder in a brook become?',
        'choices': {'text': EIGHT, 'label': LETTERS},
        'answerKey': 'A',
        'fact1': 'Water wears stone down.',
        'fact2': 'A boulder is a stone.',
        'combinedfact': 'A boulder in a brook is worn down.',
        'formatted_question': 'What may a boulder in a brook become? (A) smaller (B) sweeter',
    },
    'quarel': {
        'id': 'q1',
        'answer_index': 1,
        'logical_forms': ['(infer x)'],
        'logical_form_pretty': 'x',
        'world_literals': {'world1': ['wet deck'], 'world2': ['dry deck']},
        'question': 'Ann slides on the wet deck only. Which deck is rougher? (A) the wet one (B) the dry one',
    },
    'quartz': {
        'id': 'q1',
        'question': 'A stone from the loft hits the ground ___ than one from the table.',
        'choices': CHOICES,
        'answerKey': 'A',
        'para': 'The higher a stone has fallen from, the faster it hits the ground.',
        'para_id': 'p1',
        'para_anno': {
            'effect_prop': 'speed', 'cause_dir_str': 'higher', 'effect_dir_str': 'faster', 'cause_dir_sign': 'MORE',
            'effect_dir_sign': 'MORE', 'cause_prop': 'height',
        },
        'question_anno': {
            'more_effect_dir': 'faster', 'less_effect_dir': 'slower', 'less_cause_prop': 'height', 'more_effect_prop': 'speed',
            'less_effect_prop': 'speed', 'less_cause_dir': 'lower', 'more_cause_dir': 'higher', 'more_cause_prop': 'height',
        },
    },
    'sciq': {
        'question': 'What do plants give off when they turn light into sugar?',
        'distractor3': 'helium',
        'distractor1': 'ash',
        'distractor2': 'chalk',
        'correct_answer': 'oxygen',
        'support': 'In photosynthesis, oxygen is set free.',
    },
    'wiqa': {
        'question_stem': 'suppose the winter is without snow happens, how will it affect the wheel turning.',
        'question_para_step': ['Snow falls.', 'It melts.', 'The brook fills.', 'The mill wheel turns.'],
        'answer_label': 'no_effect',
        'answer_label_as_choice': 'C',
        'choices': {'text': ['more', 'less', 'no effect'], 'label': ['A', 'B', 'C']},
        'metadata_question_id': 'm1',
        'metadata_graph_id': '1',
        'metadata_para_id': '1',
        'metadata_question_type': 'EXOGENOUS_EFFECT',
        'metadata_path_len': 1,
    },
    'adversarial_qa_dbidaf': ADVERSARIAL,
    'adversarial_qa_dbert': ADVERSARIAL,
    'adversarial_qa_droberta': ADVERSARIAL,
    'duorc_self': DUORC,
    'duorc_paraphrase': DUORC,
    'ropes': {
        'id': 'r1',
        'background': 'Salt lowers the temperature at which water freezes.',
        'situation': 'Ann strewed salt on her steps, Tom strewed none.',
        'question': 'Whose steps were icy?',
        'answers': {'text': ['Tom']},
    },
    'quoref': {
        'id': 'q1',
        'question': 'Who runs the paper?',
        'context': 'Edda owes the paper to her brother. She runs it with Jon.',
        'title': 'The Bell',
        'url': 'none',
        'answers': spans('Edda', 'Jon'),
    },
    'kilt_hotpotqa': {
        'id': 'k1',
        'input': 'Was the engineer born before the painter?',
        'meta': {'left_context': '', 'mention': '', 'right_context': '', 'partial_evidence': [], 'obj_surface': [], 'sub_surface': [],
                 'subj_aliases': [], 'template_questions': []},
        'output': [{'answer': 'yes', 'meta': {'score': 1}, 'provenance': []}, {'answer': '', 'meta': {'score': 0}, 'provenance': []}],
    },
    'wiki_qa': {
        'question_id': 'Q1',
        'question': 'how tall is skerry light?',
        'document_title': 'Skerry Light',
        'answer': 'The tower is 31 metres high.',
        'label': 1,
    },
    'web_questions': {'url': 'none', 'question': 'what did agnes tolland '
                                                 'invent?', 'answers': ['fog bell', 'Tolland lamp']},
    'amazon_polarity': {'label': 1, 'title': 'Stays warm', 'content': 'At noon my tea is still hot.'},
    'app_reviews': {'package_name': 'org.tide.chart', 'review': 'Crashes whenever I open '
                                                                'it.', 'date': 'May 1 2016', 'star': 2},
    'rotten_tomatoes': {'text': 'an hour too long , and the lighthouse is the best actor in it '
                                '.', 'label': 0},
    'yelp_review_full': {'label': 2, 'text': 'Fair price,\\nbut the \\"chowder\\" came cold.'},
    'dbpedia_14': {'label': 6, 'title': 'Skerry Light', 'content': ' Skerry Light is a lighthouse on Skerry '
                                                                   'Point.'},
    'wiki_bio': {
        'input_text': {
            'table': {
                'column_header': ['name', 'occupation'],
                'row_number': [1, 1],
                'content': ['agnes tolland', 'keeper -lrb- retired -rrb-'],
            },
            'context': 'agnes tolland\n',
        },
        'target_text': "agnes tolland -lrb- born 1890 -rrb- was a `` keeper '' .\n",
    },
}  # fmt: skip

NLI = {
    'premise': 'The ferry does not run in winter.',
    'hypothesis': 'In winter there is no ferry.',
    'label': 0,
    'idx': 3,
}
ARC = {
    'id': 'q1',
    'question': 'Which of these carries sap?',
    'choices': {'text': ['bark', 'wood', 'pollen', 'fruit'], 'label': ['A', 'B', 'C', 'D']},
    'answerKey': 'B',
}
ANLI = {
    'uid': 'a1',
    'premise': 'The Bell is a weekly.',
    'hypothesis': 'It is a daily.',
    'label': 2,
    'reason': 'A weekly is no daily.',
}

# Those that FLAN has too, in the shape of the Hugging Face hub, which promptsource's prompts are written for.
HUB = {
    **OWN,
    'cosmos_qa': {
        'id': 'c1', 'context': 'I had packed for '
                               'six.', 'question': 'Why was food left?', 'answer0': 'Most did not come.',
        'answer1': 'The dog ate.', 'answer2': 'The lake was closed.', 'answer3': 'None of the above choices.', 'label': 0,
    },
    'imdb_reviews': {'text': 'I went in expecting little. I got less.', 'label': 0},
    'ag_news_subset': {'text': 'Oil climbs. Crude rose by a dollar.', 'label': 2},
    'trec': {'text': 'How tall is the Great Light ?', 'coarse_label': 5, 'fine_label': 40},
    'common_gen': {'concept_set_idx': 1, 'concepts': ['net', 'man', 'mend'], 'target': 'A man mends a net.'},
    'cnn_dailymail': {'article': 'The ferry will be out of '
                                 'service.', 'highlights': 'Its hull has a crack .\nNo service .', 'id': 'a'},
    'gigaword': {'document': 'the ferry is out of service .', 'summary': 'ferry laid up'},
    'multi_news': {'document': 'The ferry is out.\n|||||\nIslanders are '
                               'angry.', 'summary': '– The ferry is laid up.'},
    'samsum': {'id': '1', 'dialogue': 'Edda: got the tickets?\r\nTom: not '
                                      'yet', 'summary': 'Tom has no tickets.'},
    'xsum': {'document': 'It was found on Monday.', 'summary': 'The ferry is laid up.', 'id': '1'},
    'glue_mrpc': {'sentence1': 'The hall closes.', 'sentence2': 'The hall shuts.', 'label': 1, 'idx': 1},
    'glue_qqp': {'question1': 'How do I shell '
                              'peas?', 'question2': 'How are peas shelled?', 'label': 1, 'idx': 1},
    'paws_wiki': {'id': 1, 'sentence1': 'Ann calls it the '
                                        'Bell.', 'sentence2': 'It calls Ann the Bell.', 'label': 0},
    'arc_challenge': ARC,
    'arc_easy': ARC,
    'trivia_qa': {
        'question': 'Which keeper wrote a '
                    'novel?', 'question_id': 't1', 'question_source': 'quiz', 'entity_pages': {'title': []},
        'search_results': {'title': []},
        'answer': {'aliases': ['Tolland'], 'normalized_aliases': ['tolland'], 'value': 'Agnes Tolland', 'type': 'WikipediaEntity'},
    },
    'squad_v2': {
        'id': 's', 'title': 'Skerry_Point', 'context': 'The tower dates from '
                                                       '1856.', 'question': 'Of when is it?', 'answers': spans('1856'),
    },
    'openbookqa': {
        'id': 'o', 'question_stem': 'A stone in the sun will be', 'answerKey': 'B',
        'choices': {'text': ['damp', 'warm', 'light', 'magnetic'], 'label': ['A', 'B', 'C', 'D']},
    },
    'piqa': {'goal': 'To get gum out of a shirt,', 'sol1': 'freeze it.', 'sol2': 'warm it.', 'label': 0},
    'hellaswag': {
        'ind': 1, 'activity_label': 'Whetting', 'ctx_a': 'A man sits.', 'ctx_b': 'he', 'ctx': 'A man sits. he', 'source_id': 'w~1',
        'endings': ['whets.', 'runs.', 'eats.', 'sings.'], 'split': 'train', 'split_type': 'indomain', 'label': '0',
    },
    'wsc': {
        'text': 'Ann thanked the miller, because he had lent a '
                'ladder.', 'span1_index': 2, 'span2_index': 5, 'span1_text': 'the miller',
        'span2_text': 'he', 'idx': 4, 'label': 1,
    },
    'record': {
        'passage': 'Ida Harrow has left Skerry.\n@highlight\nJon Tolland thanked '
                   'her', 'query': 'On Friday @placeholder gave a speech.',
        'entities': ['Ida Harrow', 'Jon Tolland'], 'entity_spans': {'text': [], 'start': [], 'end': []}, 'answers': ['Jon Tolland'],
        'idx': {'passage': 3, 'query': 1},
    },
    'bool_q': {'question': 'can you go up the lighthouse', 'passage': 'It is closed.', 'idx': 1, 'label': 0},
    'copa': {'premise': 'The candle went '
                        'out.', 'choice1': 'A window was open.', 'choice2': 'It rang.', 'question': 'cause', 'idx': 0,
             'label': 0},
    'multirc': {'paragraph': 'Edda met a pedlar.', 'question': 'Who met Edda?', 'answer': 'A pedlar', 'label': 1,
                'idx': {'paragraph': 0, 'question': 0, 'answer': 1}},
    'wic': {'word': 'bank', 'sentence1': 'They moored at the '
                                         'bank.', 'sentence2': 'Willows lined the '
                                                               'bank.', 'start1': 19, 'start2': 18,
            'end1': 23, 'end2': 22, 'idx': 1, 'label': 1},
    'rte': NLI,
    'cb': {**NLI, 'label': 1},
    'anli_r1': ANLI,
    'anli_r2': ANLI,
    'anli_r3': ANLI,
    'winogrande': {'sentence': 'The jug did not fit the shelf as the _ was too '
                               'tall.', 'option1': 'jug', 'option2': 'shelf', 'answer': '1'},
    'story_cloze': {
        'story_id': 's', 'input_sentence_1': 'Tom bakes.', 'input_sentence_2': 'He takes salt.', 'input_sentence_3': 'It looks like sugar.',
        'input_sentence_4': 'The cake rose.', 'sentence_quiz1': 'It was vile.', 'sentence_quiz2': 'He sold it.', 'answer_right_ending': 1,
    },
}  # fmt: skip
# Rows of other data sets whose prompts take the text apart, in the hub's shape, by promptsource's names.
OTHERS = {
    'discofuse': {
        'connective_string': 'but', 'discourse_type': 'PAIR_CONN', 'has_coref_type_pronoun': 0.0, 'incoherent_first_sentence': 'It rains.',
        'incoherent_second_sentence': 'We sail.', 'coherent_first_sentence': 'It rains, but we '
                                                                             'sail.', 'coherent_second_sentence': '',
    },
    'hotpot_qa': {
        'id': 'h', 'question': 'Who lit it?', 'answer': 'Agnes', 'type': 'bridge', 'level': 'easy',
        'supporting_facts': {'title': ['Light'], 'sent_id': [0]}, 'context': {'title': ['Light'], 'sentences': [['Agnes lit it.']]},
    },
    'humicroedit': {
        'id': '1', 'original': 'Keeper leaves <lighthouse/> at '
                               'last', 'edit': 'fridge', 'grades': '3210', 'meanGrade': 1.5, 'label': 1,
        **{f'{name}{number}': value for number in (1, 2) for name, value in (
            ('original', 'Keeper leaves <lighthouse/> at '
                         'last'), ('edit', 'fridge'), ('grades', '3210'), ('meanGrade', 1.5))},
    },
    'math_dataset': {'question': "b'Solve 14*k - 3 = 9*k - 18 for k.\\n'", 'answer': "b'-3\\n'"},
    'nlu_evaluation_data': {'text': 'wake me at nine', 'scenario': 'alarm', 'label': 1},
}  # fmt: skip
BIG_BENCH = {
    'idx': 0,
    'inputs': 'The ferry runs all the year round.',
    'targets': ['F'],
    'multiple_choice_targets': ['T', 'F'],
    'multiple_choice_scores': [0, 1],
}
