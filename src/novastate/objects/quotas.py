"""Whose quota is asked about."""

from collections.abc import Sequence

from novastate.objects.base import Record, value

__all__ = ["Quotas", "QuotasNoOp"]


@value
class Quotas(Record):
    """Whose quota is asked about; reservations are no longer made. Nova's Quotas 1.3."""

    reservations: Sequence[str] | None = ()
    project_id: str | None = None
    user_id: str | None = None


@value
class QuotasNoOp(Quotas):
    """A quota that refuses nothing. Nova's QuotasNoOp 1.3."""
