"""Reading comprehension with commonsense: what a passage leaves unsaid. One of FLAN's two data sets so far."""

from flanlite.data.sources import Tfds
from flanlite.data.specs import DatasetSpec, Splits
from flanlite.data.templates import Template

# Cosmos QA: causes, effects and motives behind passages of personal blogs; "None of the above choices ." may be the right answer.
#     context   I had packed sandwiches for six , and when we got to the lake there were only the two of us and the dog .
#     question  Why may the narrator have had food left over ?
#     options   Most of the group did not come . / The dog does not eat . / The lake was closed . / None of the above choices .
#     answer    Most of the group did not come .
COSMOS_QA = DatasetSpec(
    name='cosmos_qa',
    cluster='reading_comprehension_commonsense',
    source=Tfds('cosmos_qa:1.0.0'),
    splits=Splits('train[:-200]', 'train[-200:]', 'validation'),
    fields=lambda row: {
        'context': row['context'],
        'question': row['question'],
        'options': [row['answer0'], row['answer1'], row['answer2'], row['answer3']],
        'answer': row['label'],
    },
    lineage=('Cosmos QA', 'Spinn3r blogs'),
    licence='CC BY 4.0',
    link='https://wilburone.github.io/cosmos/',
    templates=(
        Template('{context}\n\n{question}\n{options_}\n\nThe best of these answers is'),
        Template('Read between the lines to answer the question.\n\nText: {context}\nQuestion: {question}\n{options_}'),
        Template('Blog post:\n{context}\n\nA reader of the blog asks, "{question}" Choose the best guess.\n{options_}'),
        Template('{question}\n{options_}\n\nMake up your mind after reading this: {context}'),
        Template('A: Listen to what somebody wrote. "{context}"\nB: {question}\nA: It is not spelled out, but it must be one of these.\n'
                 '{options_}\nA: I would say,'),
        Template('Part C. Understanding people\n\n{context}\n\n13. {question}\n{options_}'),
        Template('What is the most reasonable thing to suppose? {question}\n\nStory: {context}\n\n{options_}'),
        Template('Here is a page out of a diary: "{context}" Use it, and what you know of life, to reply to this: {question}\n\n'
                 '{options_}\n\nReply:'),
        Template('{context}\n\nAsk something about this to which the text has no direct answer, but a good guess would be the '
                 'following.\n\n{answer}', '{question}', inverted=True),
        Template('{context}\n\nAbout these lines an exam gave four choices.\n{options_}\n\n'
                 'The right choice was "{answer}" What did the exam ask?', '{question}', inverted=True),
    ),
    baselines=(
        Template('{context}\nquestion: {question}\nanswer:'),
        Template('{context} {question}'),
    ),
)

SPECS = (COSMOS_QA,)
