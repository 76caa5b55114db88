"""SQL types in everyday words."""

from typing import Literal

Kind = Literal["number", "date", "text", "yes/no", "other"]

_INTEGERS = {
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"),
    *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"),
}
_FLOATS = {"FLOAT", "DOUBLE"}
_TEXTS = {"VARCHAR", "UUID", "TIME"}


def is_whole(sql_type: str) -> bool:
    return sql_type in _INTEGERS


def is_float(sql_type: str) -> bool:
    return sql_type in _FLOATS


def is_number(sql_type: str) -> bool:
    nested = sql_type.endswith("]")
    return is_whole(sql_type) or is_float(sql_type) or (sql_type.startswith("DECIMAL") and not nested)


def kind_of(sql_type: str) -> Kind:
    if is_number(sql_type):
        return "number"
    if sql_type.endswith("]"):
        return "other"
    if sql_type == "DATE" or sql_type.startswith("TIMESTAMP"):
        return "date"
    if sql_type in _TEXTS or sql_type.startswith("ENUM"):
        return "text"
    return "yes/no" if sql_type == "BOOLEAN" else "other"


def in_words(sql_type: str) -> str:
    """Returns `whole number`, `number`, `date`, `date and time`, `text` or `yes/no`; else the SQL name, shortened."""
    kind = kind_of(sql_type)
    if kind == "number":
        return "whole number" if is_whole(sql_type) else "number"
    if kind == "date":
        return "date" if sql_type == "DATE" else "date and time"
    return sql_type.lower()[:40] if kind == "other" else kind
