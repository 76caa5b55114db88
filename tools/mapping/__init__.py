"""A prompt for every row of a table: the template, the asking, and the answers."""

from tools.mapping.answers import Answers, added_columns
from tools.mapping.asking import Asking, Budget
from tools.mapping.template import Template

__all__ = ["Answers", "Asking", "Budget", "Template", "added_columns"]
