"""Findings about a table, in sentences with numbers. They cover only what was measured."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tools.tables.profile import Numbers, Profile
from tools.tables.times import Series
from tools.tables.wording import code, count_of, number, share

_MAX_NAMED = 6
"""Maximum columns named for one kind of finding."""
_MIN_R = 0.5
"""Minimum |r| at which two columns are reported as correlated."""
_MIN_ROWS = 10
_MIN_SKEW = 0.3
"""Minimum distance of mean and median, in standard deviations, for a skewed column."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The measurements of a table."""

    rows: int
    duplicates: int
    profiles: tuple[Profile, ...]
    correlated: tuple[str, ...] = ()
    """The columns of `matrix`."""
    matrix: tuple[tuple[float | None, ...], ...] = ()
    series: Series | None = None

    def pairs(self) -> list[tuple[str, str, float]]:
        """Returns correlated columns, the strongest first; none for tables with few rows, where chance suffices."""
        if self.rows < _MIN_ROWS:
            return []
        found = [
            (self.correlated[j], self.correlated[i], value)
            for i, row in enumerate(self.matrix)
            for j, value in enumerate(row[:i])
            if value is not None and abs(value) >= _MIN_R
        ]
        return sorted(found, key=lambda pair: -abs(pair[2]))


def findings(facts: Facts) -> list[str]:
    """Returns sentences in Markdown."""
    if not facts.rows:
        return ["The table has a header but no rows."]
    found = [
        *_missing(facts.profiles),
        *_duplicates(facts),
        *_of_one_value(facts.profiles),
        *_outliers(facts.profiles),
        *_skewed(facts.profiles),
        *_together(facts),
        *_spellings(facts.profiles),
        *_along_time(facts.series),
    ]
    return found or ["Nothing stands out: no missing cells, no duplicate rows, no outliers, no correlated columns."]


def _missing(profiles: Sequence[Profile]) -> Iterator[str]:
    gaps = sorted((one for one in profiles if one.missing), key=lambda one: -one.missing)
    for one in gaps[:_MAX_NAMED]:
        if one.missing == one.rows:
            yield f"{code(one.name)} is empty in every row."
        else:
            rows = count_of(one.missing, "row")
            yield f"{code(one.name)} is empty in {rows} ({share(one.missing, one.rows)})."
    if len(gaps) > _MAX_NAMED:
        yield f"{count_of(len(gaps) - _MAX_NAMED, 'more column')} with missing values; the column overview has them."


def _duplicates(facts: Facts) -> Iterator[str]:
    if facts.duplicates:
        yield f"{count_of(facts.duplicates, 'duplicate row')} ({share(facts.duplicates, facts.rows)})."


def _of_one_value(profiles: Sequence[Profile]) -> Iterator[str]:
    names = [code(one.name) for one in profiles if one.constant]
    if names:
        has = "has" if len(names) == 1 else "have each"
        yield f"{_listed(names)} {has} a single value in all filled rows."


def _outliers(profiles: Sequence[Profile]) -> Iterator[str]:
    found = [one for one in profiles if one.numbers and one.numbers.outliers and not one.identifier]
    found.sort(key=lambda one: -(one.numbers.outliers if one.numbers else 0))
    for one in found[:_MAX_NAMED]:
        assert one.numbers
        yield (
            f"{code(one.name)} has {count_of(one.numbers.outliers, 'outlier')} "
            f"({share(one.numbers.outliers, one.filled)}): {_beyond(one.numbers)}; its values run from "
            f"{number(one.numbers.minimum)} to {number(one.numbers.maximum)}."
        )
    if len(found) > _MAX_NAMED:
        yield f"{count_of(len(found) - _MAX_NAMED, 'more column')} with outliers; the column overview has them."


def _beyond(numbers: Numbers) -> str:
    low, high = (number(fence) for fence in numbers.fences)
    if not numbers.low or not numbers.high:
        return f"above {high}" if numbers.high else f"below {low}"
    return f"{numbers.low:,} below {low} and {numbers.high:,} above {high}"


def _skewed(profiles: Sequence[Profile]) -> Iterator[str]:
    for one in [one for one in profiles if not one.identifier][:200]:
        numbers = one.numbers
        if numbers is None or numbers.mean is None or not numbers.deviation:
            continue
        distance = (numbers.mean - numbers.quartiles[1]) / numbers.deviation
        if abs(distance) >= _MIN_SKEW:
            where = "above" if distance > 0 else "below"
            yield (
                f"{code(one.name)} is skewed: its mean {number(numbers.mean)} is well {where} its median "
                f"{number(numbers.quartiles[1])}."
            )


def _together(facts: Facts) -> Iterator[str]:
    pairs = facts.pairs()
    for first, second, r in pairs[:_MAX_NAMED]:
        how = "rise together" if r > 0 else "go in opposite directions"
        yield f"{code(first)} and {code(second)} {how} (r = {r:.2f}); this does not show a cause."
    if len(pairs) > _MAX_NAMED:
        yield f"{count_of(len(pairs) - _MAX_NAMED, 'more pair')} of columns with |r| of at least {_MIN_R}."


def _spellings(profiles: Sequence[Profile]) -> Iterator[str]:
    for one in [one for one in profiles if one.spellings and not one.identifier][:_MAX_NAMED]:
        differ = "spelling that differs" if one.spellings == 1 else "spellings that differ"
        yield f"{code(one.name)} has {one.spellings:,} {differ} from another only in capitals or outer spaces."
    for one in [one for one in profiles if one.blank][:_MAX_NAMED]:
        yield f"{code(one.name)} has {count_of(one.blank, 'cell')} with only spaces; they do not count as missing."


def _along_time(series: Series | None) -> Iterator[str]:
    if series is None:
        return
    inner = range(1, len(series.rows) - 1)  # the first and last stretch may be incomplete
    if len(inner) > 1 and max(series.rows) > 1:
        most, least = max(inner, key=lambda i: series.rows[i]), min(inner, key=lambda i: series.rows[i])
        yield (
            f"By {code(series.column)}, the {series.unit} with the most rows begins {_date(series, most)} "
            f"({series.rows[most]:,}), the one with the fewest {_date(series, least)} ({series.rows[least]:,}); the "
            "first and the last are left out, since they may be incomplete."
        )
    if series.empty:
        yield f"{count_of(series.empty, series.unit)} between the first and the last date without a row."


def _date(series: Series, place: int) -> str:
    return series.places[place] if series.unit == "hour" else series.places[place][:10]


def _listed(names: Sequence[str]) -> str:
    shown = [*names[:_MAX_NAMED], *([f"{len(names) - _MAX_NAMED} more"] if len(names) > _MAX_NAMED else [])]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
