"""Storage that outlives a process or a machine: a folder, S3 or Google Cloud Storage."""
