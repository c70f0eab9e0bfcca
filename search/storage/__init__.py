"""Keeps files that outlive a process or a machine: in a folder, on S3 or on Google Cloud Storage.

Nothing is imported here, because pyarrow takes long to load: import `Storage` from `search.storage.filesystem`, and
`resolve_location`, which needs no pyarrow, from `search.storage.location`.
"""
