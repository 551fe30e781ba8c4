"""What a signalling process tells the observer that it starts: on its standard input, for nobody else."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self
from urllib.parse import urlsplit

from ..admin.settings import AdminSettings
from ..errors import LocalProtocolError
from ..store.place import Place
from ..store.settings import StoreSettings
from ..telemetry.settings import HepSettings, PrivacySettings, TracingSettings

if TYPE_CHECKING:  # it brings pydantic, which the observer has no use for
    from ..config import Settings


@dataclass(frozen=True, slots=True)
class Orders:
    """All that an observer has to know."""

    boot: str  # one start of the signalling process
    version: str
    region: str | None
    folder: Path  # of the store
    key: bytes
    tracing: TracingSettings
    store: StoreSettings
    admin: AdminSettings
    privacy: PrivacySettings
    hep: HepSettings
    call_ids: tuple[str, ...] = ()  # headers by which trunks join legs
    traceparents: tuple[str, ...] = ()  # further names of traceparent
    log_level: str = "info"

    @classmethod
    def of(
        cls, settings: Settings, place: Place, *, boot: str, version: str, log_level: str, page: str = ""
    ) -> Self:
        """Of the settings what is for the observer. `page`: where the last observer had its page, which stays
        there also when it was the kernel that chose the port.
        """
        trunks = settings.trunks.values()
        admin, address = settings.admin, urlsplit(page).netloc
        if address and (admin.address or "").endswith(":0"):
            admin = replace(admin, listen=address)
        return cls(
            boot,
            version,
            settings.region,
            place.folder.absolute(),
            place.key,
            settings.tracing,
            settings.store,
            admin,
            settings.privacy,
            settings.hep,
            tuple({trunk.call_id_header for trunk in trunks if trunk.call_id_header}),
            tuple({name for trunk in trunks for name in trunk.trace.aliases}),
            log_level,
        )

    def sheet(self) -> int:
        """A descriptor that a child can have as its standard input. It has no name and no length limit, as a
        pipe would, which blocks whoever writes into it.
        """
        descriptor = os.memfd_create("sipproxy-orders")
        with open(descriptor, "wb", closefd=False) as file:
            pickle.dump(self, file)
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor

    @classmethod
    def read(cls, file: BinaryIO) -> Self:
        """What the parent wrote. LocalProtocolError: nobody did."""
        try:
            orders = pickle.load(file)
        except (EOFError, pickle.UnpicklingError):
            orders = None
        if not isinstance(orders, cls):
            raise LocalProtocolError("the observer is started by `sipproxy run`, not by hand")
        return orders
