"""Lock files: what a preset resolves to, whose code builds it and which files it starts from, stated and held to.

::

    lockfile      what `atrous.lock` says; YAML in a fixed order
    facts         what is here
    drift         how the two differ, by name
    locking       `lock`, `check_lock`, and the guard of `registry.build`

Nothing here imports TensorFlow.
"""

from registry.locking.locking import Guard, check_lock, lock

__all__ = ["Guard", "check_lock", "lock"]
