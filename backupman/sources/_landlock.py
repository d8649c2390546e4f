"""Keeps a program away from the files of this machine, by Landlock (linux/landlock.h): no root, no namespace needed.

What runs in a throwaway server may be what a dump with bad intentions has started, and the account may be our own. It
finds the programs of the system, what its C library reads, and its own folder; no config, no key, no copy. Nor can it
look into or signal a process that is not its child's or its own, or reach TCP, as far as the kernel knows that.
"""

import ctypes
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from struct import pack

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""Numbers of system calls, the same on every architecture that CPython runs on but Alpha."""

_VERSION = 1
"""The flag of landlock_create_ruleset(2) that asks what the kernel knows."""
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE, _IOCTL_DEV = (1 << bit for bit in (0, 1, 2, 3, 14, 15))
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_RIGHTS = {2: 14, 3: 15, 5: 16}
"""How many rights over files there are since which version. Before 2 (Linux 5.19) nobody could be given the one to move
a file into another folder, which servers do.
"""
_TCP_SINCE, _TCP = 4, 0b11  # to bind and to connect
_SCOPES_SINCE, _SCOPES = 6, 0b11  # abstract Unix sockets and signals

_PARTS = ("bin", "sbin", "lib", "lib32", "lib64", "libexec", "share")
"""Where programs lie, and what was installed with them; beside them there may be data and configs."""

_READABLE = (
    *(f"{place}/{part}" for place in ("/usr", "/usr/local") for part in _PARTS),
    *(f"/usr/{name}[0-9]*" for name in ("gdal", "geos", "libgeotiff", "libspatialite", "ogdi", "proj")),  # for PostGIS
    *("/bin", "/sbin", "/lib", "/lib64", "/nix/store", "/var/cache/postgresql", "/proc", "/sys"),
    *("/etc/ld.so.cache", "/etc/ld-musl-*.path", "/etc/localtime", "/etc/timezone", "/etc/locale.alias"),
    *("/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/hosts"),
    *("/etc/ssl/openssl.cnf", "/etc/pki/tls/openssl.cnf", "/etc/crypto-policies", "/etc/python3*"),
)
"""The programs of the system with what they, the C library and the languages of functions read. Of a process that is
not its own, /proc hides from it what a debugger would see: memory, environment and open files.
"""

_WRITABLE = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


@contextmanager
def kept_to(folder: Path, *programs: Path) -> Iterator[Callable[[], None] | None]:
    """What a child calls before it becomes the first of `programs`, each of which starts the next one.

    They can change nothing then but what is below `folder`.

    None where the kernel has no Landlock, or does not let us use it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)
    rights = (1 << max((count for since, count in _RIGHTS.items() if since <= version), default=0)) - 1
    attributes = pack("=QQQ", rights, _TCP * (version >= _TCP_SINCE), _SCOPES * (version >= _SCOPES_SINCE))
    if not rights or (ruleset := libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)) < 0:
        yield None
        return

    def allow(path: Path, access: int) -> None:
        with suppress(OSError):  # what is not there, or cannot be looked at, stays closed
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                kind = rights if stat.S_ISDIR(os.fstat(fd).st_mode) else _OF_FILES
                libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, pack("=Qi", access & kind & rights, fd), 0)
            finally:
                os.close(fd)

    def restrict() -> None:
        allow(Path("/proc/self"), rights)  # unshare(1) writes to it whom the program takes itself for
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.syscall(_RESTRICT_SELF, ruleset, 0):
            raise OSError(ctypes.get_errno(), "it cannot be restricted")

    try:
        system = (path for pattern in _READABLE for path in Path("/").glob(pattern[1:]))
        installed = (path for program in programs for path in _installed_with(program))
        for read in (*system, *installed, *_libraries()):
            allow(read, _READ)
        for written in (*map(Path, _WRITABLE), folder):
            allow(written, rights)
        yield restrict
    finally:
        os.close(ruleset)


def works() -> bool:
    """Whether the kernel lets us use it."""
    with kept_to(Path(os.devnull)) as restrict:
        return restrict is not None


def _installed_with(program: Path) -> Iterator[Path]:
    """What belongs to a program that is not of the system: not all that lies there, which may be data or a home."""
    folder = program.resolve().parent
    if folder.name in (parts := (*_PARTS, "scripts")):  # where MariaDB's archive has what sets a server up
        yield from (folder.parent / part for part in parts)
    else:
        yield from (path for path in folder.glob("*") if path.is_file() and os.access(path, os.X_OK))
    if folder.match("lib/postgresql/*/bin"):  # Debian's packages, unpacked elsewhere
        yield folder.parents[3] / "share"


def _libraries() -> Iterator[Path]:
    """Folders that the loader is told to look into, by the system (ldconfig(8)) or by what started us."""
    for told in (Path("/etc/ld.so.conf"), *Path("/etc/ld.so.conf.d").glob("*.conf")):
        with suppress(OSError):
            yield from map(Path, re.findall(r"^/[^\s:,=#]+", told.read_text(errors="replace"), re.MULTILINE))
    yield from (Path(place) for place in os.environ.get("LD_LIBRARY_PATH", "").split(":") if place.startswith("/"))
