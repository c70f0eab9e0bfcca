"""A campaign's folder: its files, tables, manifest, ledger, and the preset that it gives."""
