"""Any lock is read back as it was written, and its text alone decides whether two are equal."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.locking.lockfile import (
    LockedDistribution,
    LockedPlugin,
    LockedPreset,
    LockedWeights,
    LockFile,
    read_lock,
    write_lock,
)

text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=10)
digest = st.text("0123456789abcdef", min_size=64, max_size=64)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-1, 1) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
mappings = st.dictionaries(text, values, max_size=3)
weights = st.builds(
    LockedWeights,
    use=st.sampled_from(["segmentation", "encoder"]),
    source=text,
    files=st.dictionaries(text, digest, max_size=2),
)
presets = st.builds(
    LockedPreset,
    overrides=mappings,
    config_sha256=digest,
    weights=weights | st.sampled_from(["none", "unlocked"]),
    config=mappings,
)
locks = st.builds(
    LockFile,
    version=st.just(1),
    plugins=st.lists(
        st.builds(
            LockedPlugin, kind=st.sampled_from(["architecture", "encoder"]), name=text, distribution=text
        ),
        max_size=2,
    ).map(tuple),
    distributions=st.dictionaries(
        text,
        st.builds(
            LockedDistribution, version=text, code=digest | st.sampled_from(["editable", "unrecorded"])
        ),
        max_size=2,
    ),
    presets=st.dictionaries(text, presets, max_size=2),
)


@given(locks)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read(tmp_path, lock):
    path = tmp_path / "atrous.lock"
    write_lock(lock, path)
    assert read_lock(path) == lock
    before = path.read_bytes()
    write_lock(read_lock(path), path)
    assert path.read_bytes() == before
