"""Passages that answer a question, and what differs between two documents: by rules, word for word."""

from tools.quoting.changes import Changes, Said, changes_between
from tools.quoting.quotes import Quote, quotes_for
from tools.quoting.units import Sentences, sentences_of

__all__ = ["Changes", "Quote", "Said", "Sentences", "changes_between", "quotes_for", "sentences_of"]
