"""LocalRunner: performs the effects of a flow, one after the other, in the thread that calls it.

Rules of this file:

1. One method an effect. What an effect raises is thrown into the flow; what the flow does not catch reaches the caller.
2. Only the runner knows the store, the drivers and the clock. It stamps ``created_at`` and ``updated_at``.
3. A claim and its release change the node and the allocation in one commit, and try again when they lose.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from novastate import scheduling
from novastate.drivers import ComputeDriver
from novastate.drivers.clock import Clock, RealClock
from novastate.errors import DriverError, FlowError, NotFound, StaleState, StoreError
from novastate.flows import effects
from novastate.objects import Allocation, ComputeNode, Instance, Migration
from novastate.store import Drop, Put, Store

__all__ = ["Listener", "LocalRunner"]

R = TypeVar("R")

_log = logging.getLogger(__name__)

#: Is told every Notify: the event and its payload.
Listener = Callable[[str, Mapping[str, Any]], None]

#: How often a claim or a note that lost its compare-and-swap is tried in all.
_TRIES = 64


class LocalRunner:
    """Runs flows on a store and drivers.

    *drivers* by host name; *clock* for waiting (default: real time); *listeners* are told what flows notify; one that
    raises is logged and does not disturb the flow. One runner may serve many threads: it keeps no state of a flow.
    """

    def __init__(
        self,
        store: Store,
        drivers: Mapping[str, ComputeDriver],
        clock: Clock | None = None,
        listeners: tuple[Listener, ...] = (),
    ) -> None:
        self.store = store
        self.drivers = drivers
        self.clock: Clock = clock or RealClock()
        self.listeners = listeners
        self._perform: Mapping[type[object], Callable[[Any], Any]] = {
            effects.Call: self._call,
            effects.Load: self._load,
            effects.Find: self._find,
            effects.Save: self._save,
            effects.Schedule: self._schedule,
            effects.Claim: self._claim,
            effects.Release: self._release,
            effects.Wait: self._wait,
            effects.Now: self._now,
            effects.Send: self._send,
            effects.Note: self._note,
            effects.Recall: self._recall,
            effects.Notify: self._notify,
        }

    def run(self, flow: effects.Flow[R]) -> R:
        """Runs *flow* to its end and returns its result; raises what it raises."""
        if inspect.getgeneratorstate(flow) is not inspect.GEN_CREATED:
            raise FlowError("a flow is run once: this one has begun or ended already")
        step: Callable[[], effects.Effect] = lambda: next(flow)  # noqa: E731
        while True:
            try:
                effect = step()
            except StopIteration as end:
                result: R = end.value
                return result
            step = self._next(flow, effect)

    def _next(self, flow: effects.Flow[R], effect: effects.Effect) -> Callable[[], effects.Effect]:
        try:
            result = self.perform(effect)
        except Exception as error:  # noqa: BLE001  (whatever it is belongs to the flow)
            thrown = error
            return lambda: flow.throw(thrown)
        return lambda: flow.send(result)

    def perform(self, effect: effects.Effect) -> Any:
        """Performs one effect and returns its result."""
        try:
            perform = self._perform[type(effect)]
        except KeyError:
            raise FlowError(f"a flow yielded {effect!r}, which is no effect") from None
        return perform(effect)

    # --- one method an effect

    def _call(self, effect: effects.Call) -> Any:
        try:
            driver = self.drivers[effect.host]
        except KeyError:
            raise DriverError("no driver for this host", host=effect.host) from None
        return getattr(driver, effect.method)(*effect.args, **effect.kwargs)

    def _load(self, effect: effects.Load) -> Any:
        return self.store.load(effect.cls, effect.key)

    def _find(self, effect: effects.Find) -> Any:
        return self.store.find(effect.cls, limit=effect.limit, **effect.equals)

    def _save(self, effect: effects.Save) -> None:
        now = self._now(effects.Now())
        for obj in effect.objects:
            if isinstance(obj, Instance | Migration):
                obj.updated_at = now
                if obj.revision == 0:
                    obj.created_at = now
        first, *rest = effect.objects
        self.store.commit(Put(first, effect.expect), *map(Put, rest))

    def _schedule(self, effect: effects.Schedule) -> tuple[str, ...]:
        return scheduling.select(effect.spec, self._nodes(), effect.ignore)

    def _nodes(self) -> list[ComputeNode]:
        nodes: list[ComputeNode] = []
        while page := self.store.find(ComputeNode, limit=500, after=nodes[-1].host if nodes else ""):
            nodes += page
        return nodes

    def _claim(self, effect: effects.Claim) -> None:
        for _ in range(_TRIES):
            try:
                self.store.load(Allocation, f"{effect.consumer}/{effect.host}")
            except NotFound:
                pass
            else:
                return
            node = self.store.load(ComputeNode, effect.host)
            allocation = scheduling.claim(node, effect.consumer, effect.spec)
            try:
                self.store.commit(Put(node), Put(allocation))
            except StaleState:
                continue
            return
        raise DriverError("too many claims at once", host=effect.host)

    def _release(self, effect: effects.Release) -> None:
        for _ in range(_TRIES):
            try:
                allocation = self.store.load(Allocation, f"{effect.consumer}/{effect.host}")
                node = self.store.load(ComputeNode, effect.host)
            except NotFound:
                return
            scheduling.release(node, allocation)
            try:
                self.store.commit(Put(node), Drop(allocation))
            except StaleState:
                continue
            return
        raise DriverError("too many claims at once", host=effect.host)

    def _wait(self, effect: effects.Wait) -> str | None:
        message = self.store.take(effect.topic) if effect.topic else None
        if message is not None or effect.seconds <= 0:
            return message
        self.clock.sleep(effect.seconds)
        return self.store.take(effect.topic) if effect.topic else None

    def _now(self, _: effects.Now) -> datetime:
        return datetime.fromtimestamp(self.clock.now(), UTC)

    def _send(self, effect: effects.Send) -> None:
        self.store.post(effect.topic, effect.message)

    def _note(self, effect: effects.Note) -> None:
        for _ in range(_TRIES):
            revision, body = self.store.get_document(effect.name)
            try:
                self.store.put_document(effect.name, {**body, **effect.facts}, revision)
            except StaleState:
                continue
            return
        raise StoreError(f"document {effect.name}: too many writers at once")

    def _recall(self, effect: effects.Recall) -> Mapping[str, Any]:
        return self.store.get_document(effect.name)[1]

    def _notify(self, effect: effects.Notify) -> None:
        for listener in self.listeners:
            try:
                listener(effect.event, effect.payload)
            except Exception:  # noqa: BLE001  (whatever it is, it is logged)
                _log.exception("a listener failed on %s", effect.event)
