"""Backupman: a database backup daemon that proves that it restores, and proves that somebody was told."""

__version__ = "1.0.0.dev0"
