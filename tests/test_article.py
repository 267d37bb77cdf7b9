"""Articles: sentences with exact offsets, and the speakers that they name plainly."""

from __future__ import annotations

import random

import pytest

from claimstance.article import read_statements, speaker_of
from claimstance.lexicon import Lexicon

ARTICLE = """\ufeffالمرفأ مفتوح

قال مدير المرفأ إن شحنة القمح سليمة تماماً. هل وصلت شحنة ملوثة حقاً؟ لم تصل أي شحنة!
وسوم: قمح، مرفأ

«لم نستلم شيئاً من الخارج هذا الأسبوع.» هذا ما جاء في البيان…  وانتهى البيان عند ذلك الحد
The harbour master, Omar Haddad, said the wheat was clean. Tags: wheat
"""


def sentences(article: str, lexicon: Lexicon) -> list[str]:
    return [statement.text for statement in read_statements(article, lexicon)]


def test_an_article_falls_into_its_sentences(lexicon: Lexicon) -> None:
    assert sentences(ARTICLE, lexicon) == [
        "قال مدير المرفأ إن شحنة القمح سليمة تماماً.",
        "هل وصلت شحنة ملوثة حقاً؟",
        "لم تصل أي شحنة!",
        "«لم نستلم شيئاً من الخارج هذا الأسبوع.»",
        "هذا ما جاء في البيان…",
        "وانتهى البيان عند ذلك الحد",
        "The harbour master, Omar Haddad, said the wheat was clean.",
    ]


def test_offsets_point_into_the_article_as_given(lexicon: Lexicon) -> None:
    generator = random.Random(20)
    pieces = [*ARTICLE, *'\u00a0\r\n\t\u200f\ud800\0 ..؟؟!!»"د.🙂', " قال ", " said ", "Mr. ", " ،", "\n\n"]
    for article in (ARTICLE, *("".join(generator.choices(pieces, k=300)) for _ in range(300))):
        last = 0
        for statement in read_statements(article, lexicon):
            assert article[statement.start : statement.stop] == statement.text == statement.text.strip() != ""
            assert statement.speaker in statement.text
            assert statement.start >= last
            last = statement.stop


@pytest.mark.parametrize(
    "article",
    [
        "قال د. سامر الحلبي إن الوضع في المستشفى مستقر.",
        "التقى أ. د. سامر الحلبي وفداً من البلدية أمس.",
        "بلغت نسبة التضخم 3.5 في المئة هذا العام.",
        "Mr. Smith met Dr. Jones in St. Albans on Monday.",
        "The U.S. envoy met Gen. J. R. Hale in the harbour.",
        "Prices rose by 3.5 percent on the harbour market.",
    ],
)
def test_a_point_after_an_abbreviation_or_in_a_number_ends_no_sentence(article: str, lexicon: Lexicon) -> None:
    assert sentences(article, lexicon) == [article]
    assert sentences(f"{article} ثم غادر الجميع المكان. {article}", lexicon) == [
        article,
        "ثم غادر الجميع المكان.",
        article,
    ]


@pytest.mark.parametrize("short", ["خبر عاجل", "وسوم: قمح، مرفأ", "من هنا؟", "3 , . - !", "Tags: wheat, harbour", ""])
def test_a_line_of_under_four_words_is_no_statement(short: str, lexicon: Lexicon) -> None:
    assert sentences(short, lexicon) == []
    assert sentences(f"{short}\nهذه جملة من خمس كلمات\n{short}", lexicon) == ["هذه جملة من خمس كلمات"]


@pytest.mark.parametrize(
    ("sentence", "speaker"),
    [
        ("قال وزير الصحة إن اللقاح متوفر في جميع المحافظات.", "وزير الصحة"),
        ("أكدت المتحدثة باسم الوزارة أن المرفأ يعمل بشكل طبيعي.", "المتحدثة باسم الوزارة"),
        ("وأضاف مدير المستشفى أن عدد المصابين بلغ عشرين.", "مدير المستشفى"),
        ("وقالت ليلى الخطيب: «لم نرسل أحداً إلى هناك».", "ليلى الخطيب"),
        ("نفى رئيس البلدية، سامر الحلبي، أن تكون المياه ملوثة.", "رئيس البلدية"),
        ("صرّح محافظُ البنك المركزي بأن الاحتياطي كافٍ.", "محافظُ البنك المركزي"),
        ("الناطق باسم الكرملين، ديمتري بيسكوف، قال إن موسكو لم ترسل أحداً.", "ديمتري بيسكوف"),
        ("«لا صحة لما يتردد»، قالت مديرة المدرسة.", "مديرة المدرسة"),
        ("قال د. سامر الحلبي إن الوضع مستقر.", "د. سامر الحلبي"),
        ("قال\u00a0مدير المرفأ\u00a0إن الشحنة سليمة.", "مدير المرفأ"),
        ("قال إن الحكومة لن ترفع الأسعار هذا العام.", ""),
        ("قيل إن الشحنة ملوثة ولم يتأكد الخبر.", ""),
        ("هطلت الأمطار على المدينة طوال الليل.", ""),
        ("جاء النفي في وقت متأخر من مساء الاثنين.", ""),
        ("The health minister said the vaccine was available.", "The health minister"),
        ("The mayor denied that the water was polluted.", "The mayor"),
        ("Hospital director Omar Haddad confirmed the deaths.", "Hospital director Omar Haddad"),
        ("The company's chief executive, Jane Doe, said the plant would close.", "Jane Doe"),
        ('"We sent nobody there," Maria Lopez said.', "Maria Lopez"),
        ('"We sent nobody there," said Maria Lopez.', "Maria Lopez"),
        ('"We sent nobody there," said the minister.', "the minister"),
        ("He said the port had been open since Monday.", ""),
        ("It was said that the ship had sunk.", ""),
        ("The denial came late on Monday evening.", ""),
        ("It rained on the city all through the night.", ""),
    ],
)
def test_a_speaker_is_named_where_the_sentence_names_one_plainly(sentence: str, speaker: str, lexicon: Lexicon) -> None:
    assert speaker_of(sentence, lexicon) == speaker


def test_a_speaker_stands_in_the_statement_of_an_article(lexicon: Lexicon) -> None:
    assert [statement.speaker for statement in read_statements(ARTICLE, lexicon)][::6] == ["مدير المرفأ", "Omar Haddad"]


@pytest.mark.parametrize("article", ["", " \n\n ", "؟" * 1_000_000, "\n" * 1_000_000, "»" * 1_000_000, "ن" * 1_000_000])
def test_an_article_without_sentences_has_no_statement(article: str, lexicon: Lexicon) -> None:
    assert read_statements(article, lexicon) == []
