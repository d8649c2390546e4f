"""The engine: the life of a backup (runner), who runs when (executor), and the child process that moves the bytes."""
