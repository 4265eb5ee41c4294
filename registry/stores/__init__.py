"""Stores: where files come from, and the cache that they come into.

::

    handle           a text that says where something is, taken apart    (digest: what a file must hash to)
    store            what a store is: handle → file or folder on this machine
    download_store   a store that hands out bytes                        (opened: a file that it has opened)
    downloading      one file into the cache: once, resumed, checked     (patience: attempts, pauses, slowness)
    cache            where files are kept, records, locks                (inventory: what is in there; cleaning)
    web · hugging_face · kaggle · local      the stores of atrous        (clients, remembering: of the hubs)
    offline          the switch                                          (messages: what is said of what is missing)

`registry.weights.handles` finds the store of a handle, plugins' stores included. A plugin imports from here what it
needs to write one: `DownloadStore`, `OpenedFile`, `BusyError`; or `Store`, where a client brings the files. Nothing
here imports TensorFlow, and hubs and HTTP are imported when they are used.
"""

from __future__ import annotations

from registry.stores.download_store import DownloadStore
from registry.stores.handle import Handle
from registry.stores.opened import BusyError, OpenedFile
from registry.stores.store import FetchOptions, ForeignCache, Found, Store

__all__ = [
    "BusyError",
    "DownloadStore",
    "FetchOptions",
    "ForeignCache",
    "Found",
    "Handle",
    "OpenedFile",
    "Store",
]
