"""The kind of answer that a question asks for, and the sentences that look like such an answer."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final


class Want(StrEnum):
    """A kind of answer."""

    WHO = "who"
    WHEN = "when"
    AMOUNT = "amount"
    COUNT = "count"
    WHERE = "where"
    WHY = "why"
    DECISIONS = "decisions"
    ACTIONS = "actions"
    RISKS = "risks"
    PRESENT = "present"


LISTED: Final = frozenset({Want.DECISIONS, Want.ACTIONS, Want.RISKS, Want.PRESENT})
"""If they are asked for without a topic, all of them are the answer."""


def _any(*words: str) -> re.Pattern[str]:
    return re.compile("|".join(words), re.IGNORECASE)


_ASKS: Final = {
    Want.WHO: _any(r"\b(?:people|persons?) (?:who|responsible|in charge)\b", r"\bwho(?:m|se)?\b", r"\bresponsible\b", r"\bowners?\b", r"\bwe(?:r|m|n|ssen)\b", r"zuständig", r"verantwortlich", "谁"),
    Want.WHEN: _any(
        r"\bwhen\b", r"what (?:time|date|day|year)", r"deadline", r"how (?:long|soon|often)", r"\bwann\b",
        r"wie (?:lange|oft|bald)", r"\bfrist", r"\btermin", "什么时候", "何时", "哪天",
    ),
    Want.AMOUNT: _any(
        r"how (?:much|high|big|large|far)", r"\bcosts?\b", r"\bprice", r"\bamount", r"\bbudget", r"what percentage",
        r"\bpreis", r"wie ?viel\b", r"wie (?:hoch|groß|teuer|weit)", r"\bkoste", "多少",
    ),
    Want.COUNT: _any(r"how many", r"number of", r"wie ?viele", r"anzahl", "几个", "多少"),
    Want.WHERE: _any(r"\bwhere\b", r"\bwo\b", r"\bwohin\b", "哪里", "在哪"),
    Want.WHY: _any(r"\bwhy\b", r"\bcause", r"\breason", r"\bwarum\b", r"\bweshalb\b", r"\bwieso\b", r"ursache", "为什么"),
    Want.DECISIONS: _any(
        r"\bdeci(?:de|sion)", r"\bresol(?:ved?|ution)", r"\bagreed\b", r"\bvoted?\b", r"beschl(?:uss|üss|oss|ieß)",
        r"entschied|entscheid", "决定", "决议",
    ),
    Want.ACTIONS: _any(
        r"\bactions?\b", r"\bto-?dos?\b", r"next steps?", r"\btasks?\b", r"follow-?ups?", r"\bremed(?:y|ies)", r"(?:which|what) measures\b",
        r"maßnahme", r"\baufgaben?\b", r"nächste[nr]? schritte?", r"zu tun", "任务", "下一步",
    ),
    Want.RISKS: _any(r"\brisks?\b", r"\bdangers?\b", r"\bthreats?\b", r"\brisik", r"gefahr", "风险"),
    Want.PRESENT: _any(
        r"\battend", r"\bpresent\b", r"\babsent", r"\bapolog", r"took part", r"anwesend", r"teilgenommen", r"entschuldigt",
    ),
}  # fmt: skip

_MONTHS = (
    r"(?:jan(?:uary|uar)?|feb(?:ruary|ruar)?|mar(?:ch)?|märz|apr(?:il)?|may|mai|june?|juni?|july?|juli?|aug(?:ust)?"
    r"|sept?(?:ember)?|o[ck]t(?:ober)?|nov(?:ember)?|de[cz](?:ember)?|christmas|easter|weihnachten|ostern)"
)
_DAYS = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day|(?:mon|diens|donners|frei|sams|sonn)tag|mittwoch"
DATE: Final = _any(
    rf"\b\d{{1,2}}(?:st|nd|rd|th|\.)?\s+{_MONTHS}\b", rf"\b{_MONTHS}\s+\d{{1,4}}", rf"\b(?:in|by|until|from|since|im|ab|bis|seit) {_MONTHS}\b",
    r"\b\d{1,2}\.\s?\d{1,2}\.(?:\s?\d{2,4})?", r"\b\d{4}-\d{2}(?:-\d{2})?\b", r"\b\d{1,2}:\d{2}\b", r"\b(?:19|20)\d{2}\b", rf"\b(?:{_DAYS})\b",
    r"\b(?:\d{1,6}|one|two|three|four|five|six|twelve|ein(?:e[mnr]?)?|zwei|drei|vier|sechs|zwölf) (?:minute|hour|day|week|month|year|quarter|stunde|tag|woche|monat|jahr|quartal)",
    r"(?<!\d)\d{1,6}\s?(?:年|月|日|周|小时)", r"\d{1,2} uhr",
)  # fmt: skip
_NUMBER = r"(?<![\d.,])\d{1,15}(?:[.,]\d{1,15}){0,6}"
AMOUNT: Final = _any(
    rf"[$€£¥]\s?{_NUMBER}", rf"{_NUMBER}\s?(?:[$€£¥%]|eur\b|euros?\b|usd\b|dollars?\b|cents?\b|pounds?\b|per ?cent|prozent|franken|chf\b)",
    rf"{_NUMBER}\s?(?:m|k|million|billion|thousand|mio|mrd|tausend|tsd|kg|km|m²|mb|gb|kwh|hours?|stunden|days?|tage|weeks?|months?)\b",
    r"(?<!\d)\d{1,12}\s?(?:万|亿)?元", r"free of charge|kostenlos|kostenfrei",
)  # fmt: skip
_COUNTED = _any(
    r"\d", r"\b(?:no|none|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|kein|zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn|elf|zwölf)\b",
    "[一二三四五六七八九十两]",
)  # fmt: skip
_PERSON = re.compile(
    r"\b(?:Mr|Mrs|Ms|Dr|Prof|Frau|Herr|Cllr|Councillor)\.? [A-ZÄÖÜ]|\b[A-ZÄÖÜ]\. [A-ZÄÖÜ][a-zäöüß]+"
    r"|(?<![.!?] )\b[A-ZÄÖÜ][a-zäöüß]{2,} (?:[a-z]{2,3} )?[A-ZÄÖÜ][a-zäöüß]{2,}\b|\b(?:[Oo]wner|[Rr]esponsible|[Zz]uständig|[Vv]erantwortlich)\b"
    r"|\b(?:[Oo]fficer|[Ee]ngineer|[Mm]anager|[Cc]lerk|[Cc]hair|[Tt]reasurer|[Ss]ecretary|[Dd]irector|[Pp]urser|[Ss]upplier|[Tt]eam|[Ll]andlord|[Tt]enant|[Hh]ead"
    r"|Vorstand|Leiter(?:in)?|Hausmeister(?:in)?|Kassenwart(?:in)?|Vermieter|Mieter)\b"
)  # fmt: skip

_SAYS: Final = {
    Want.WHO: _PERSON,
    Want.WHEN: DATE,
    Want.AMOUNT: AMOUNT,
    Want.COUNT: _COUNTED,
    Want.WHERE: _any(r"\b(?:in|at|aboard|near|behind|on) the\b", r"\b(?:in|im|am|an der|bei|auf dem|auf der)\b", r"\broom\b|\bhall\b|\braum\b|\bsaal\b"),
    Want.WHY: _any(
        r"\bbecause\b", r"\bcaus", r"\bdue to\b", r"\bsince\b", r"\breason", r"\bas a result\b", r"\btherefore\b", r"\bweil\b",
        r"\bexplain", r"\bled to\b", r"\bblocked\b", r"\binfolge\b", r"\bliegt (?:an|daran)\b", r"\bda\b", r"\baufgrund\b", r"\bwegen\b", r"\bursache", r"\bgrund\b", r"\bexpired\b", r"因为|由于|原因",
    ),
    Want.DECISIONS: _any(
        r"^\W*(?:decisions?|resolutions?|resolved|agreed|beschluss|beschlüsse|entscheidung)\b", r"\bdecided\b", r"\bresolved (?:to|that)\b", r"\b(?:was|were|it is) agreed\b",
        r"\b(?:agreed|voted) (?:to|that|on|by)\b", r"\bapproved\b", r"\badopted\b", r"\bcarried\b", r"\brejected\b", r"\b(?:the )?motion\b", r"\bdecision\b",
        r"\bbeschl(?:ossen|ießt|uss|oss)\b", r"\b(?:genehmigt|angenommen|abgelehnt|verabschiedet|zugestimmt|einstimmig)\b", r"\bstimm(?:t|en|te|ten)\b.{0,200}?\bzu\b", "决定|通过|批准",
    ),
    Want.ACTIONS: _any(
        r"^\W*(?:action|to-?do|task|owner|maßnahme|aufgabe|auftrag)\b", r"\bowner:", r"\bdue:", r"\b(?:is|are) to\b", r"\bwill\b.{0,200}?\b(?:by|before|until)\b",
        r"\b(?:must|has to|have to|needs? to|shall)\b.{0,200}?\bby\b", r"\bbis (?:zum|ende|spätestens|mitte|anfang)\b", r"\b(?:kümmert sich|übernimmt|erledigt|beauftragt|soll(?:en)?)\b",
        r"\bby \d", "负责|之前完成",
    ),
    Want.RISKS: _any(r"\brisks?\b", r"\bdanger", r"\bthreat", r"\bmay (?:be |not )?(?:delay|fail|lose|slip)", r"\brisik", r"gefahr", "风险"),
    Want.PRESENT: _any(r"\bpresent\b", r"\battend", r"\bapolog", r"\babsent", r"anwesend", r"entschuldigt", r"teilnehmer", "出席"),
}  # fmt: skip

_HEADINGS: Final = {
    Want.WHO: _any(r"\bwho\b", r"involved", r"contacts?\b", r"responsib", r"beteiligt", r"zuständig", r"ansprechpartner"),
    Want.DECISIONS: _any(r"\bdecisions?\b", r"\bresolutions?\b", r"beschl[uü]ss", "决定"),
    Want.ACTIONS: _any(r"\bactions?\b", r"next steps", r"remed", r"to-?do", r"follow-?up", r"maßnahmen", r"aufgaben", r"schritte", "下一步"),
    Want.RISKS: _any(r"\brisks?\b", r"risik", "风险"),
    Want.WHY: _any(r"\bcause", r"\breason", r"ursache"),
    Want.PRESENT: _any(r"present", r"attend", r"anwesen", r"teilnehmer"),
}  # fmt: skip
_FORMALITIES: Final = _any(
    r"\bapolog", r"\bsorry\b", r"^\W*(?:entschuldigt|absent|present|anwesend|in attendance|attending)\b",
    r"^\W*(?:held|written|reviewed|signed|minutes taken|compiled) (?:in|at|by)\b",
    r"^\W*(?:page|seite)\s+\d", r"\bdraft until\b", r"^\W*(?:confidential|vertraulich)", r"\bthanks? (?:everybody|to|you|for)\b", r"\bdank(?:e|t)? (?:an|für|allen)\b",
    r"\bread this .*carefully\b", r"\bfor convenience only\b", r"\bclos(?:es|ed) (?:the )?(?:meeting|conference)", r"\bschließt die sitzung\b",
    r"\b(?:meeting|sitzung) (?:opened|closed|began|ended|wurde (?:eröffnet|geschlossen))", r"\bplease do not forward\b", rf"^\W*(?:{_DAYS})\b,? \d", r"^\W*(?:verfasserin|verfasser|protokollführ)",
    r"\binvented for this sample\b", r"\?\s*$", r"^\W*(?:from|to|cc|date|sent|subject|von|an|datum|gesendet|betreff):",
)  # fmt: skip
_OPENING: Final = _any(
    r"\b(?:summary|overview|abstract|in short|in brief|at a glance|introduction|key figures|in figures|highlights)\b", r"zusammenfassung|überblick|gesamtlage|kurzfassung|auf einen blick",
)  # fmt: skip


_MAX_CHARACTERS = 1_000
"""How many characters of a sentence are looked at."""


def wants_of(question: str) -> frozenset[Want]:
    return frozenset(want for want, pattern in _ASKS.items() if pattern.search(question))


def without_cues(question: str) -> str:
    """Returns the question without the words that say what kind of answer is wanted."""
    for pattern in _ASKS.values():
        question = pattern.sub(" ", question)
    return question


def says(want: Want, sentence: str, heading: str = "") -> bool:
    """Whether the sentence looks like an answer of that kind, by itself or by the heading above it."""
    above = _HEADINGS.get(want)
    return bool(_SAYS[want].search(sentence[:_MAX_CHARACTERS])) or (above is not None and bool(above.search(heading)))


def is_formality(sentence: str) -> bool:
    """Whether the sentence lists attendees, thanks, apologises or opens a meeting, and so has no news."""
    return bool(_FORMALITIES.search(sentence[:_MAX_CHARACTERS]))


def is_opening(heading: str) -> bool:
    """Whether a section with that heading summarises the whole text."""
    return bool(_OPENING.search(heading))
