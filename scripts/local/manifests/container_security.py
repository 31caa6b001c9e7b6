"""A container's rights and resources: nothing of it is done here, but what a cluster would refuse is refused.

Quantities are Kubernetes' (apimachinery, `resource.Quantity`): `100m`, `1.5`, `64Mi`, `1e3`.
"""

from __future__ import annotations

import re
from decimal import Decimal

from .fields import Fields

_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:(m|k|M|G|T|P|E|[KMGTPE]i|n|u)|[eE]([+-]?\d+))?")
_POWERS_OF_1024 = {
    unit: Decimal(1024) ** power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)
}
_UNITS = _POWERS_OF_1024 | {
    unit: Decimal(10) ** power
    for unit, power in {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}.items()
}
_LARGEST_ID = 2**31 - 1


def check_resources(resources: Fields) -> None:
    """Requests and limits: quantities, not below zero, no request above its limit."""
    requests, limits = (_quantities(resources.fields(name)) for name in ("requests", "limits"))
    resources.ignore("claims")
    resources.finish()
    for name, request in requests.items():
        if name in limits and request > limits[name]:
            resources.fields("requests").fault(name, "is more than its limit")


def _quantities(fields: Fields) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for name in fields:
        text = fields.number_or_text(name)
        match = _QUANTITY.fullmatch(text)
        if match is None:
            fields.fault(name, f"{text!r} is no quantity; write it as 100m, 0.5, 64Mi or 2G")
            continue
        number, unit, exponent = match.groups()
        quantity = Decimal(number) * (
            Decimal(10) ** int(exponent) if exponent else _UNITS.get(unit, Decimal(1))
        )
        if quantity < 0:
            fields.fault(name, f"{text} is less than zero")
        found[name] = quantity
    return found


def check_security_context(context: Fields) -> None:
    """The rights of a container."""
    for name in ("allowPrivilegeEscalation", "readOnlyRootFilesystem", "runAsNonRoot"):
        context.boolean(name)
    for name in ("runAsUser", "runAsGroup"):
        context.integer(name, None, 0, _LARGEST_ID)
    context.ignore("capabilities", "seccompProfile")
    context.finish()
