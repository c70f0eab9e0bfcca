"""Keeps files that outlive a process or a machine: in a folder, on S3 or on Google Cloud Storage."""
