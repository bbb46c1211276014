# The tables are tuples, told in codec_read.pxi and codec_write.pxi.

from collections.abc import Callable, Sequence
from typing import Any

class Step:
    def __call__(self, held: Any) -> Any: ...

class Reader(Step):
    def __init__(
        self,
        cls: type[Any],
        rows: Sequence[tuple[Any, ...]],
        others: Sequence[tuple[str, Any]],
        held: Sequence[str] | None,
        required: Sequence[str],
        opening: Any,
        prepare: Callable[..., Any] | None,
        adds: int,
        surplus: Callable[..., Any],
        lacking: Callable[..., Any] | None,
        world: tuple[Any, ...],
    ) -> None: ...
    def __setitem__(self, index: int, part: Any) -> None: ...

class Items(Step):
    def __init__(
        self, item: Any, wrong: Callable[..., Any], slow: Callable[..., Any], invalid: type[Exception]
    ) -> None: ...
    def __setitem__(self, index: int, item: Any) -> None: ...

class Box(Step):
    def __init__(self, name: str, namespace: str, version: str, items: Any, slow: Callable[..., Any]) -> None: ...

class Writer(Step):
    def __init__(
        self,
        cls: type[Any],
        columns: Sequence[tuple[Any, ...]],
        constants: dict[str, Any],
        unset_key: str,
        past: tuple[Any, ...] | None,
        envelope: tuple[Any, ...] | None,
        held: bool,
        world: tuple[Any, ...],
    ) -> None: ...
    def __setitem__(self, index: int, part: Any) -> None: ...

class Each(Step):
    def __init__(self, item: Any) -> None: ...
    def __setitem__(self, index: int, item: Any) -> None: ...

class BoxWriter(Step):
    def __init__(self, name: str, namespace: str, version: str, items: Any, told: Callable[..., Any]) -> None: ...

def says_all(data: bytes | str, parsed: Any) -> bool: ...
