"""What opens a guest's console to whoever holds the token."""

from novastate.objects.base import value
from novastate.objects.marks import SecretStr, Uuid
from novastate.objects.persistent import TimestampedValue
from novastate.objects.values import UNSET, Unset

__all__ = ["ConsoleAuthToken"]


@value
class ConsoleAuthToken(TimestampedValue):
    """A way to a guest's console until it expires. Nova's ConsoleAuthToken 1.3.

    *expires*: seconds since 1970, UTC. *token* opens the console, and so may *internal_access_path* (VMware puts a ticket there).
    """

    id: int | Unset = UNSET
    instance_uuid: Uuid
    console_type: str
    host: str
    port: int
    tls_port: int | None = None
    internal_access_path: SecretStr | None = None
    access_url_base: str | None = None
    token: SecretStr | Unset = UNSET
    expires: int | Unset = UNSET
