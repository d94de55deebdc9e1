# SPDX-License-Identifier: Apache-2.0
"""The exceptions of upconv: each is also the type that Keras or Python would raise."""


class ArgumentError(ValueError):
    """A wrong argument, shape, dtype or configuration; ``argument`` names it."""

    def __init__(self, message, argument=""):
        super().__init__(message)
        self.argument = argument


class FileError(OSError, ValueError):
    """A file that is not what it should be; ``path`` and ``where`` say which and where in it."""

    def __init__(self, message, path="", where=""):
        super().__init__(message)
        self.path = path
        self.where = where


class FileAccessError(FileError):
    """A file that the system does not let us read or write."""


class StateError(RuntimeError, ValueError):
    """Something that came up while running: no weights yet, no gradients, a loss that is not finite."""
