"""The members of the envelope in which Nova sends an object, and the one namespace.

Here, and not with the rest of Nova's wire, because the generated codec writes them too, on which that stands.
"""

from typing import Final

__all__ = ["CHANGES", "DATA", "NAME", "NAMESPACE", "NOVA", "VERSION"]

NAME: Final = "nova_object.name"
NAMESPACE: Final = "nova_object.namespace"
VERSION: Final = "nova_object.version"
DATA: Final = "nova_object.data"
CHANGES: Final = "nova_object.changes"
NOVA: Final = "nova"
