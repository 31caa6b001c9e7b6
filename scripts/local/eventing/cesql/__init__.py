"""CloudEvents SQL 1.0: expressions over an event's attributes (cloudevents/spec, `cesql/spec.md`).

There is no kept Python library of it. Where the specification leaves something open, this does as the Go
implementation in Knative does.
"""

from .parser import parse
from .tokens import CesqlSyntaxError
from .values import Attributes, CesqlError, Expression

__all__ = ["Attributes", "CesqlError", "CesqlSyntaxError", "Expression", "parse"]
