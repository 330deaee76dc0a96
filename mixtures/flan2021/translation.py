"""Translation: between English and another language. FLAN's eight data sets.

The answer is the foreign sentence; the templates that ask for the English one count as turned around. T5's vocabulary was made for
English, German, French and Romanian: it lacks Cyrillic, and letters of Czech, Turkish and Spanish.
"""

from typing import Any

from flanlite.data.specs import text
from flanlite.data.specs.sources import Tfds
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import Template


def translation_templates(language: str) -> tuple[Template, ...]:
    """Make the ten templates for a language; their wording is the same for all."""
    return (
        Template(f'Put this into {language}.\n\nEnglish: {{english}}\n{language}:'),
        Template(f'"{{english}}"\n\nThe same in {language}, please.'),
        Template(f'You are the interpreter at a conference, in the {language} booth. The speaker says, "{{english}}" What do those who '
                 f'listen in {language} hear?'),
        Template(f'Ann has to leave a note for a neighbour who reads nothing but {language}, which Ann has never learnt. Write it for her. '
                 'This is what it should say: {english}'),
        Template(f'Phrase book for travellers\nEnglish: {{english}}\nWhat people say in {language}:'),
        Template(f'Render the sentence in good {language}; leave nothing out and add nothing.\n\nSentence: {{english}}'),
        Template(f'Client: So far our web page is in English only. One line reads, "{{english}}"\n'
                 f'Translator: Then the {language} page will have this line:'),
        Template(f'A letter has come, and it is in {language}. Tell me in English what this part of it means: {{answer}}',
                 '{english}', inverted=True),
        Template(f'{language} lessons, third year. Translate into English without a dictionary.\n\n1. {{answer}}',
                 '{english}', inverted=True),
        Template(f'The actors speak {language}, and the film needs English subtitles. Line: "{{answer}}" Subtitle:',
                 '{english}', inverted=True),
    )


def translation(name: str, source: Tfds, language: str, code: str, splits: Splits, lineage: tuple[str, ...], **facts: Any) -> DatasetSpec:
    """Make the data set of sentence pairs in English and another language, whose code is the field's name; pairs with an empty side go."""
    return DatasetSpec(
        name=name,
        cluster='translation',
        source=source,
        splits=splits,
        fields=lambda row: {'english': text.strip(row['en']), 'answer': text.strip(row[code])},
        keep=lambda row: text.every(text.length(text.strip(row['en'])) > 0, text.length(text.strip(row[code])) > 0),
        metric='sacrebleu_intl',
        lineage=lineage,
        validation_examples=200,
        templates=translation_templates(language),
        baselines=(
            Template(f'English: {{english}}\n{language}:'),
            Template(f'question: "{{english}}" in {language}?\nanswer:'),
        ),
        **facts,
    )


# ParaCrawl: sentences of web pages that exist in two languages. There is one split; FLAN validates and tests on its end.
#     english  The museum is open from ten to six.
#     answer   El museo abre de diez a seis.
PARA_CRAWL_ENES = translation(
    'para_crawl_enes', Tfds('para_crawl/enes:1.2.0'), 'Spanish', 'es', Splits('train[:-1200]', 'train[-1200:-1000]', 'train[-1000:]'),
    ('ParaCrawl',), licence='CC0-1.0', link='https://paracrawl.eu', train_examples=30_000, test_examples=1_000,
)

# WMT: speeches, resolutions, web pages and news to train on, and news to test on, from the workshops' shared tasks of 2014 and 2016. TFDS
# reads CzEng (Czech) and the Yandex corpus (Russian) from files that are given on request; without them it cannot prepare these two pairs.
#     english  The bridge stays closed until Thursday.
#     answer   Die Brücke bleibt bis Donnerstag gesperrt.
WMT_LICENCE = 'as its parts have it, mostly research use'


def wmt16(
    code: str, language: str, train_examples: int, test_examples: int, lineage: tuple[str, ...], manual: bool = False
) -> DatasetSpec:
    """Make the data set of one of the language pairs of 2016."""
    source = Tfds(f'wmt16_translate/{code}-en:1.0.0', manual=manual)
    return translation(
        f'wmt16_translate_{code}en', source, language, code, Splits('train', 'validation[:200]', 'test'), lineage,
        licence=WMT_LICENCE, link='https://www.statmt.org/wmt16/translation-task.html', train_examples=train_examples,
        test_examples=test_examples,
    )


WMT14_ENFR = translation(
    'wmt14_enfr', Tfds('wmt14_translate/fr-en:1.0.0'), 'French', 'fr', Splits('train', 'validation[:200]', 'test'),
    ('WMT news', 'Europarl', 'MultiUN', 'News Commentary', 'Giga French-English'),
    licence=WMT_LICENCE, link='https://www.statmt.org/wmt14/translation-task.html', train_examples=40_835_840, test_examples=3_003,
)
WMT16_TRANSLATE_DEEN = wmt16('de', 'German', 4_548_800, 2_999, ('WMT news', 'Europarl', 'News Commentary'))
WMT16_TRANSLATE_TREN = wmt16('tr', 'Turkish', 205_750, 3_000, ('WMT news', 'SETimes'))
WMT16_TRANSLATE_CSEN = wmt16('cs', 'Czech', 52_335_360, 2_999, ('WMT news', 'Europarl', 'News Commentary', 'CzEng'), manual=True)
WMT16_TRANSLATE_FIEN = wmt16('fi', 'Finnish', 2_073_360, 6_000, ('WMT news', 'Europarl'))
WMT16_TRANSLATE_ROEN = wmt16('ro', 'Romanian', 610_320, 1_999, ('WMT news', 'Europarl', 'SETimes'))
WMT16_TRANSLATE_RUEN = wmt16('ru', 'Russian', 2_516_160, 2_998, ('WMT news', 'News Commentary', 'Yandex corpus'), manual=True)

SPECS = (
    PARA_CRAWL_ENES,
    WMT14_ENFR,
    WMT16_TRANSLATE_DEEN,
    WMT16_TRANSLATE_TREN,
    WMT16_TRANSLATE_CSEN,
    WMT16_TRANSLATE_FIEN,
    WMT16_TRANSLATE_ROEN,
    WMT16_TRANSLATE_RUEN,
)
