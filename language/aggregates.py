"""A question about a table as SQL: one count, sum, mean or extreme, in all or by group, of some rows or of all."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from language.terms import Terms

ASKS_FOR_SQL = "Write one SELECT statement"
"""How an instruction begins that wants a question as SQL."""
NOT_UNDERSTOOD = " -- not understood: "
"""Follows a statement, before the words of the question that it ignores."""
MAX_GROUPS = 100
_MAX_MATCHING_VALUES = 12

Type = str
"""`number`, `date`, `text` or another type, of which nothing is computed."""


@dataclass(frozen=True, kw_only=True)
class Column:
    name: str
    type: Type
    values: Sequence[str] = ()
    """The distinct texts, if they are few."""
    key: bool = False
    """Whether its numbers only tell rows apart, as those of orders do."""


@dataclass(frozen=True, kw_only=True)
class Table:
    name: str
    columns: Sequence[Column]

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> Table:
        """described: `{"name", "columns": [{"name", "type", "values"?}]}`."""
        columns = [
            Column(name=one["name"], type=one["type"], values=tuple(one.get("values", ())), key=bool(one.get("key")))
            for one in described["columns"]
        ]
        return cls(name=described["name"], columns=columns)


def _any(*words: str) -> re.Pattern[str]:
    return re.compile("|".join(words), re.IGNORECASE)


_MEAN: Final = _any(
    r"\baverages?\b", r"\bmean\b", r"durchschnitt", r"\bmittel(?:wert)?\b", r"im schnitt", r"\bon average\b"
)
_MEDIAN: Final = _any(r"\bmedian\b")
_SUM: Final = _any(
    r"\b(?:totals?|sums?|overall|altogether)\b",
    r"in all\b",
    r"insgesamt|\bsumme|\bgesamt",
    r"how much|wie ?viel\b|wie hoch",
)
_COUNT: Final = _any(r"how many", r"\bnumber of\b", r"\bcount", r"wie ?viele", r"anzahl")
_MOST: Final = _any(
    r"\b(?:most|highest|largest|biggest|greatest|max|maximum|best|top|longest|expensive)\b",
    r"höchst|größt|meist|maximal|best[en]|teuerst|längst|stärkst",
)
_LEAST: Final = _any(
    r"\b(?:least|lowest|smallest|fewest|min|minimum|worst|cheapest|shortest)\b",
    r"niedrigst|kleinst|wenigst|minimal|schlechtest|billigst|günstigst|kürzest|schwächst",
)
_BY: Final = r"\b(?:by|per|for each|for every|each|pro|je|nach|in each)\s+(?:the\s+)?"
_WHICH: Final = r"\b(?:which|what|welche[rsnm]?)\s+"
_PERIODS: Final = {
    "month": _any(rf"(?:{_BY}|{_WHICH})(?:calendar )?(?:month|monat)", r"\bmonthly\b", r"monatlich", r"\bmonth with\b"),
    "year": _any(rf"(?:{_BY}|{_WHICH})(?:year|jahr)", r"\byearly\b", r"jährlich"),
    "quarter": _any(rf"(?:{_BY}|{_WHICH})(?:quarter|quartal)", r"\bquarterly\b"),
    "week": _any(rf"(?:{_BY}|{_WHICH})(?:week|woche)", r"\bweekly\b", r"wöchentlich"),
    "day": _any(rf"(?:{_BY}|{_WHICH})(?:day|tag)\b", r"\bdaily\b", r"täglich"),
}
_MONTHS: Final = (
    *(r"jan(?:uary|uar)?", r"feb(?:ruary|ruar)?", r"mar(?:ch)?|märz", r"apr(?:il)?", r"may|mai", r"june?|juni"),
    *(r"july?|juli", r"aug(?:ust)?", r"sept?(?:ember)?", r"o[ck]t(?:ober)?", r"nov(?:ember)?", r"de[cz](?:ember)?"),
)
_YEAR: Final = re.compile(r"\b(?:19|20)\d{2}\b")
_SOLD: Final = _any(r"\bsold\b", r"\bsells?\b", r"\bsales\b", r"verkauf", r"\bearn")
_FIGURES: Final = (_MEAN, _MEDIAN, _SUM, _COUNT, _MOST, _LEAST)
_PLAIN: Final = """
all any are csv data did entries entry file give had have list made one opened record records row rows show table there
which alle daten datei einträge eingetragen gab gemacht haben tabelle zeilen
"""
"""Words of a question that say nothing about the table."""
_BEYOND: Final = _any(
    r"\b(?:not|no|nor|without|except|excluding|or|either|over|above|below|under|between|before|after|since|until)\b",
    r"\b(?:more|less|fewer|greater|smaller) than\b|\bat (?:least|most)\b|\b(?:top|first|last|second|half|Q[1-4])\b",
    r"n['’]t\b|\b(?:but|outside|aside|rather|minus|less|net)\b",
    r"percent|\bshare\b|\bratio\b|differen[ct]e? between|\bdifference\b|\bgrow|\bchange|\brunning\b|\bcumulat",
    r"\b(?:nicht|kein\w*|ohne|außer|oder|über|unter|zwischen|seit|bis|vor|mehr als|weniger als|mindestens|höchstens)\b",
    r"anteil|prozent|unterschied|differenz|wachstum|veränder|\berste[nrs]?\b|\bletzte[nrs]?\b",
)
"""Words of questions that one plain figure cannot answer."""
_USUAL: Final = (
    "total",
    "revenue",
    "amount",
    "turnover",
    "umsatz",
    "betrag",
    "sum",
    "cost",
    "price",
    "preis",
    "value",
    "wert",
    "quantity",
    "menge",
)
"""Columns that are meant by “how much”, the likeliest first."""


def sql_for(question: str, tables: Sequence[Table], terms: Terms) -> str | None:
    """Returns one SELECT statement in DuckDB's SQL; None if the question names nothing that the tables have."""
    found = [statement for table in tables if (statement := _Statement(question, table, terms)).is_asked]
    return max(found, key=lambda one: one.weight).sql() if found else None


class _Statement:
    """The parts of a question about one table."""

    def __init__(self, question: str, table: Table, terms: Terms) -> None:
        self._question = question
        self._terms = terms
        self._table = table
        self._asked = [*dict.fromkeys(terms.of(question))]
        self._period = next((period for period, pattern in _PERIODS.items() if pattern.search(question)), None)
        self._dates = [column for column in table.columns if column.type == "date"]
        self._numbers = [column for column in table.columns if column.type == "number" and not column.key]
        names = [term for column in table.columns for term in terms.of(_spaced(column.name))]
        self._named = {near for term in names for near in terms.like(term, self._asked)}
        self._filters = self._values_named()
        self._group = None if self._period else self._group_named()
        self._measure = self._best(self._numbers)
        self._extreme = "DESC" if _MOST.search(question) else "ASC" if _LEAST.search(question) else ""
        self.weight = sum(self._likeness(column) for column in table.columns) + 2 * len(self._filters)

    @property
    def is_asked(self) -> bool:
        """Whether the question asks for one figure of this table, and for nothing that the rules cannot express."""
        if self._asks_more():
            return False
        if self._needs_number() and not (self._measure or self._usual()):
            return False
        if self._period or self._group or self._filters or self._measure:
            return True
        return any(one.search(self._question) for one in (_MEAN, _MEDIAN, _SUM, _COUNT)) and not self._unused()

    def sql(self) -> str:
        unused = self._unused()
        return self._select() + (f"{NOT_UNDERSTOOD}{', '.join(unused)}" if unused else "")

    def _asks_more(self) -> bool:
        """Whether the question compares, excludes, or asks for two figures at once: its plain words would mislead."""
        rest = self._without_values()
        years, months = self._years(), self._months()
        if (years or months) and self._date() is None:
            return True
        numbers = re.findall(r"\d+", _YEAR.sub(" ", rest))
        figures = [one for one in (_MEAN, _MEDIAN, _MOST, _LEAST) if one.search(rest)]
        named = [column for column in self._numbers if self._likeness(column) == 1]
        sums_two = len(named) > 1 and bool(re.search(r"\b(?:and|und)\b", rest, re.IGNORECASE))
        mean_count = bool(_MEAN.search(rest) and _COUNT.search(rest))
        beyond = bool(_BEYOND.search(rest) or numbers or sums_two or mean_count or self._names_without_using())
        return beyond or len(figures) > 1 or len(years) > 1 or len(months) > 1

    def _names_without_using(self) -> bool:
        """Whether the question names a column of texts or of yes and no that nothing is made of: `were returned`."""
        others = [column for column in self._table.columns if column.type not in {"number", "date"}]
        unused = [column for column in others if column is not self._group and column.name not in self._filters]
        return any(self._likeness(column) == 1 and column is not self._counted() for column in unused)

    def _without_values(self) -> str:
        rest = self._question
        for values in self._filters.values():
            for value in values:
                rest = re.sub(re.escape(value), " ", rest, flags=re.IGNORECASE)
        return rest

    def _years(self) -> list[str]:
        return [*dict.fromkeys(_YEAR.findall(self._without_values()))]

    def _months(self) -> list[int]:
        found = [re.search(rf"\b(?:{names})\b", self._without_values(), re.IGNORECASE) for names in _MONTHS]
        return [number for number, match in enumerate(found, 1) if match and (match.group() != "may" or self._in_may())]

    def _in_may(self) -> bool:
        return bool(re.search(r"\b(?:in|of|during) may\b", self._question))

    def _needs_number(self) -> bool:
        return bool(_MEAN.search(self._question) or _MEDIAN.search(self._question))

    def _unused(self) -> list[str]:
        """Returns the words of the question that name neither a figure nor anything of the table."""
        rest = self._question
        for pattern in (*_FIGURES, *_PERIODS.values(), _YEAR, _SOLD):
            rest = pattern.sub(" ", rest)
        names = [
            self._table.name,
            *(column.name for column in self._table.columns),
            *(value for values in self._filters.values() for value in values),
        ]
        known = {term for name in names for term in self._terms.of(_spaced(name))} | set(self._terms.of(_PLAIN))
        months = re.compile("|".join(_MONTHS), re.IGNORECASE)
        words = [word for word in re.findall(r"[^\W\d_]{2,}", rest) if not months.fullmatch(word)]
        return [
            word
            for word in dict.fromkeys(words)
            if any(not self._terms.like(term, known) for term in self._terms.of(word))
        ]

    def _select(self) -> str:
        source = f"FROM {_quoted(self._table.name)}{self._where()}"
        if (period := self._date()) is not None and self._period:
            key = (
                f"strftime({_quoted(period.name)}, '{_FORMATS[self._period]}')"
                if self._period in _FORMATS
                else f"date_trunc('{self._period}', {_quoted(period.name)})::DATE"
            )
            order = f"2 {self._extreme}" if self._extreme else "1"
            return f"SELECT {key} AS {self._period}, {self._value()} {source} {_grouped(order)}"
        if self._group is not None:
            order = f"2 {self._extreme or 'DESC'}, 1"
            return f"SELECT {_quoted(self._group.name)}, {self._value()} {source} {_grouped(order)}"
        if (
            self._extreme
            and self._measure is not None
            and not _SUM.search(self._question)
            and not _COUNT.search(self._question)
        ):
            return f"SELECT * {source} ORDER BY {_quoted(self._measure.name)} {self._extreme} NULLS LAST LIMIT 1"
        return f"SELECT {self._value()} {source}"

    def _value(self) -> str:
        measure = self._measure
        if _MEAN.search(self._question) or _MEDIAN.search(self._question):
            column = measure or self._usual()
            if column is not None:
                function = "median" if _MEDIAN.search(self._question) else "avg"
                return f"round({function}({_quoted(column.name)}), 2) AS {_quoted(f'{function} of {column.name}')}"
        counts = bool(_COUNT.search(self._question)) or (
            self._extreme and measure is None and not _SUM.search(self._question) and not self._means_money()
        )
        if counts and (distinct := self._counted()) is not None:
            return f"count(DISTINCT {_quoted(distinct.name)}) AS {_quoted(f'different {distinct.name}')}"
        if not counts or (measure is not None and self._is_counted(measure)):
            column = measure or self._usual()
            if column is not None:
                return f"round(sum({_quoted(column.name)}), 2) AS {_quoted(f'sum of {column.name}')}"
        return 'count(*) AS "rows"'

    def _is_counted(self, measure: Column) -> bool:
        """Whether “how many” is meant of the column's numbers: `how many hours`, `how many lanterns (quantity)`."""
        match = re.search(rf"(?:{_COUNT.pattern})\s+(\w+)", self._question, re.IGNORECASE)
        near = bool(match) and any(self._near(term, measure) == 1 for term in self._terms.of(match[1] if match else ""))
        return near or f"({measure.name.casefold()})" in self._question.casefold()

    def _counted(self) -> Column | None:
        """Returns the text column whose values “how many” counts: `how many different customers`."""
        match = re.search(
            rf"(?:{_COUNT.pattern})\s+(?:different|distinct|unique|verschiedene)?\s*(\w+)",
            self._question,
            re.IGNORECASE,
        )
        texts = [
            column
            for column in self._table.columns
            if column.type == "text" and column is not self._group and column.name not in self._filters
        ]
        said = self._terms.of(match[1]) if match else []
        return next((column for column in texts for term in said if self._near(term, column) == 1), None)

    def _means_money(self) -> bool:
        return bool(_SOLD.search(self._question))

    def _usual(self) -> Column | None:
        by_name = {column.name.casefold(): column for column in self._numbers}
        return next(
            (by_name[name] for name in _USUAL if name in by_name),
            self._numbers[-1] if len(self._numbers) == 1 else None,
        )

    def _date(self) -> Column | None:
        return self._best(self._dates) or (self._dates[0] if self._dates else None)

    def _where(self) -> str:
        wanted = [f"{_quoted(name)} {_among(values)}" for name, values in self._filters.items()]
        date = self._date()
        if date is not None:
            wanted += [f"month({_quoted(date.name)}) = {month}" for month in self._months()]
            wanted += [f"year({_quoted(date.name)}) = {year}" for year in self._years()]
        return f" WHERE {' AND '.join(wanted)}" if wanted else ""

    def _values_named(self) -> dict[str, list[str]]:
        """Returns the values of text columns that the question names, by column."""
        said = f" {_plain(self._question)} "
        found: dict[str, list[str]] = {}
        for column in self._table.columns:
            exact = [value for value in column.values if _plain(value) and f" {_plain(value)} " in said]
            similar = exact or self._values_like(column)
            if similar:
                found[column.name] = similar
        return found

    def _values_like(self, column: Column) -> list[str]:
        """Returns the values that share a rare word with the question, such as `Brass lantern` for `lanterns`."""
        rare = [term for term in self._asked if term not in self._named and len(term) > 3]
        having = [value for value in column.values if not set(self._terms.of(value)).isdisjoint(rare)]
        return having if 0 < len(having) <= min(_MAX_MATCHING_VALUES, len(column.values) - 1) else []

    def _group_named(self) -> Column | None:
        """Returns the column behind “by”, “per” or “which”."""
        groups = [
            column
            for column in self._table.columns
            if column.type in {"text", "number"} and column.name not in self._filters
        ]
        for match in re.finditer(rf"(?:{_BY}|{_WHICH})((?:\w+[ -]?){{1,2}})", self._question, re.IGNORECASE):
            said = self._terms.of(match[1])
            near = [(max((self._near(term, column) for term in said), default=0.0), column) for column in groups]
            best = max(near, key=lambda one: (one[0], one[1].type == "text"), default=(0.0, None))
            if best[1] is not None and best[0] >= 0.6:
                return best[1]
        return None

    def _best(self, columns: Sequence[Column]) -> Column | None:
        others = [column for column in columns if column is not self._group]
        best = max(others, key=self._likeness, default=None)
        return best if best is not None and self._likeness(best) > 0 else None

    def _likeness(self, column: Column) -> float:
        return max((self._near(term, column) for term in self._asked), default=0.0)

    def _near(self, term: str, column: Column) -> float:
        return max(self._terms.like(term, self._terms.of(_spaced(column.name))).values(), default=0.0)


_FORMATS = {"month": "%Y-%m", "year": "%Y"}


def _grouped(order: str) -> str:
    return f"GROUP BY 1 ORDER BY {order} LIMIT {MAX_GROUPS}"


def _among(values: Sequence[str]) -> str:
    texts = ["'" + value.replace("'", "''") + "'" for value in values]
    return f"= {texts[0]}" if len(texts) == 1 else f"IN ({', '.join(texts)})"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))


def _spaced(name: str) -> str:
    """Returns a column's name as words: `order_date` and `orderDate` are `order date`."""
    return re.sub(r"(?<=[a-zäöüß])(?=[A-ZÄÖÜ])|[_\W]+", " ", name)
