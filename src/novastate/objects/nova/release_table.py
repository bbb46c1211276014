"""The versions that each release of Nova spoke, from 34 back to 24: written by tools/nova_versions.py.

A row holds what differs from the release after it, the newest from :data:`~novastate.objects.nova.versions.CURRENT`;
None where the release did not have the object yet. Objects that are gone from Nova are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["NUMBERS", "RELEASES"]

#: Release, newest first: what differs from the release after it.
RELEASES: Final[Mapping[str, Mapping[str, str | None]]] = MappingProxyType(
    {
        "2026.2": {},
        "2026.1": {"ImageMetaProps": "1.42", "ShareMappingList": "1.0"},
        "2025.2": {"LibvirtLiveMigrateData": "1.13"},
        "2025.1": {"ImageMetaProps": "1.39"},
        "2024.2": {
            "ConsoleAuthToken": "1.2",
            "HyperVLiveMigrateData": "1.4",
            "ImageMetaProps": "1.38",
            "LibvirtLiveMigrateData": "1.12",
            "ShareMapping": "1.0",
            "ShareMetadata": None,
            "VMwareLiveMigrateData": "1.0",
        },
        "2024.1": {"ImageMetaProps": "1.37", "LibvirtLiveMigrateData": "1.11"},
        "2023.2": {
            "ConsoleAuthToken": "1.1",
            "ImageMetaProps": "1.34",
            "LibvirtLiveMigrateData": "1.10",
            "RequestSpec": "1.14",
            "ShareMapping": None,
            "ShareMappingList": None,
        },
        "2023.1": {"Instance": "2.7", "Migration": "1.7"},
        "zed": {},
        "yoga": {"BlockDeviceMapping": "1.20", "ImageMetaProps": "1.31", "InstanceExternalEvent": "1.4"},
        "xena": {"ImageMetaProps": "1.30"},
    }
)

#: The number of a release: its name.
NUMBERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "34": "2026.2",
        "33": "2026.1",
        "32": "2025.2",
        "31": "2025.1",
        "30": "2024.2",
        "29": "2024.1",
        "28": "2023.2",
        "27": "2023.1",
        "26": "zed",
        "25": "yoga",
        "24": "xena",
    }
)
