"""What a monitor on a host has measured."""

from collections.abc import Mapping
from datetime import datetime

from novastate.objects.base import Record, value
from novastate.objects.values import UNSET, Unset
from novastate.objects.vocabulary import MonitorMetricType

__all__ = ["MonitorMetric"]


@value
class MonitorMetric(Record):
    """One reading of one monitor. Nova's MonitorMetric 1.1.

    It has *value*, in hundredths where its name ends in ``percent``; or *numa_membw_values*, by NUMA cell.
    """

    name: MonitorMetricType
    value: int | Unset = UNSET
    numa_membw_values: Mapping[str, int] | Unset | None = UNSET
    timestamp: datetime
    source: str
