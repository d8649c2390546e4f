"""The locks that a process holds on files by fcntl(2), as SQLite does: it loses all of a file's with any descriptor."""

from pathlib import Path


def posix_locks(pid: int) -> list[tuple[str, int]]:
    """Each lock's kind and the inode of its file: https://man7.org/linux/man-pages/man5/proc_locks.5.html."""
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    held = [line for line in lines if line[1] == "POSIX" and line[4] == str(pid)]
    return sorted((line[3], int(line[5].rpartition(":")[2])) for line in held)
