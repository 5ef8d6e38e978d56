import os

# Read when numba is imported, which takes time that few modules here need.
os.environ.setdefault(
    "NUMBA_CACHE_LOCATOR_CLASSES",
    "tasks.big_data.compiled.Locator,InTreeCacheLocator,UserWideCacheLocator",
)
