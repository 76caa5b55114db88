"""The forms of tools: made from the JSON Schema of their parameters, checked before a job runs."""

from handlers.forms.form import Filled, ToolForm
from handlers.forms.prefill import prefill

__all__ = ["Filled", "ToolForm", "prefill"]
