"""Mathematics: equations to be solved. FLAN's one data set of the cluster."""

from flanlite.data.specs import text
from flanlite.data.specs.sources import Tfds
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import Template

# Mathematics Dataset, linear equations in one unknown: made by a program, as many as one likes. The answer is a whole number, and what
# counts is the number itself, sign included; hence accuracy, since `exact_match` would not see the sign.
#     question  Solve 14*k - 3 = 9*k - 18 for k.
#     answer    -3
MATH_DATASET = DatasetSpec(
    name='math_dataset',
    cluster='math',
    source=Tfds('math_dataset/algebra__linear_1d:1.0.0'),
    splits=Splits('train[:-200]', 'train[-200:]', 'test'),
    fields=lambda row: {'question': text.strip(row['question']), 'answer': text.strip(row['answer'])},
    lineage=('Mathematics Dataset',),
    licence='Apache-2.0',
    link='https://github.com/google-deepmind/mathematics_dataset',
    train_examples=1_999_780,
    validation_examples=200,
    test_examples=10_000,
    templates=(
        Template('{question}\n\nReply with nothing but the number.'),
        Template('Work out the unknown.\n\n{question}'),
        Template('Algebra, exercise 7\n{question}\nResult:'),
        Template('What is the value of the letter here? {question}'),
        Template('Teacher, at the blackboard: {question}\nPupil, after some thought: It is'),
        Template('I am checking my homework on linear equations and would like to compare results. {question} What did you get?'),
        Template('Bring the terms with the letter to one side and all others to the other, then divide.\n\nTask: {question}\nSolution:'),
        Template('solver version 2.1, linear equations\ncommand: {question}\noutput:'),
        Template('Entrance examination. No calculators, please. {question} Write a number into the box:'),
        Template('Can you do this one in your head?\n\n"{question}"'),
    ),
    baselines=(
        Template('question: {question}\nanswer:'),
        Template('Q: {question}\nA:'),
    ),
)

SPECS = (MATH_DATASET,)
