"""Bad files of every kind, and calls under limits of memory and time."""

import multiprocessing
import os
import random
import resource
import signal
import socket
import sys
from pathlib import Path

MEMORY = 2**30  # bytes that a reader may add to those of the process
SECONDS = 20
TENTHS = range(1, 10)
FLIPS = range(8)
SPARSE_BYTES = 20 * 2**30


def write_pipe(path, content):
    os.mkfifo(path)


def write_socket(path, content):
    folder = Path.cwd()
    os.chdir(path.parent)  # the path of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(folder)


def write_sparse(path, content):
    path.write_bytes(content)
    os.truncate(path, SPARSE_BYTES)


def cut(tenth):
    return lambda path, content: path.write_bytes(content[: len(content) * tenth // 10])


def flip(seed):
    def write(path, content):
        damaged, place = bytearray(content), random.Random(seed).randrange(8 * len(content))
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)

    return write


# Files that are no regular files, or not of the right kind: every reader refuses them.
WRONG = {
    "missing": lambda path, content: None,
    "empty": lambda path, content: path.write_bytes(b""),
    "folder": lambda path, content: path.mkdir(),
    "pipe": write_pipe,
    "socket": write_socket,
    "device": lambda path, content: path.symlink_to("/dev/zero"),
    "loop of links": lambda path, content: path.symlink_to(path.name),
    "link to nowhere": lambda path, content: path.symlink_to("nowhere"),
    "sparse": write_sparse,
    "text": lambda path, content: path.write_bytes(b"hello \xff\xfe" * 100),
    "zeros": lambda path, content: path.write_bytes(bytes(5000)),
    "archive": lambda path, content: path.write_bytes(b"PK\x03\x04" + bytes(200)),
}
# Damaged files: readers without a digest may be unable to notice.
DAMAGED = {f"cut at {tenth}0 %": cut(tenth) for tenth in TENTHS} | {
    f"bit flipped, seed {seed}": flip(seed) for seed in FLIPS
}


def call_with_limits(function, *arguments, memory=MEMORY, seconds=SECONDS):
    """Calls a function in this process, which ends after some seconds; returns "" or the type and text of its error."""
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, resource.RLIM_INFINITY))
    signal.alarm(seconds)
    try:
        function(*arguments)
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
    return ""


class LimitedCalls:
    """A forked process that calls functions by name under limits. If a call ends it, the next call forks another.

    A process for each call would take longer than most calls.

    Args:
        functions: Functions by name.
    """

    def __init__(self, functions):
        self.functions, self.process, self.connection = functions, None, None

    def __call__(self, name, *arguments):
        """Returns "" or the type and text of the error, or how the process ended."""
        if self.process is None:
            self.connection, other = multiprocessing.Pipe()
            context = multiprocessing.get_context("fork")
            self.process = context.Process(target=self._serve, args=(other,), daemon=True)
            self.process.start()
            other.close()
        self.connection.send((name, arguments))
        try:
            return self.connection.recv()
        except EOFError:
            self.process.join()
            return f"died with status {self._close()}"

    def _serve(self, connection):
        self.connection.close()
        while True:
            name, arguments = connection.recv()
            connection.send(call_with_limits(self.functions[name], *arguments))

    def _close(self):
        self.connection.close()
        process, self.process = self.process, None
        return process.exitcode

    def end(self):
        """Ends the process."""
        if self.process is not None:
            self.process.terminate()
            self.process.join()
            self._close()


def call_limited(function, *arguments, memory=MEMORY, seconds=SECONDS):
    """Calls a function in a forked process with limits; returns "" or the type and text of its error."""
    sys.stdout.flush()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        message = call_with_limits(function, *arguments, memory=memory, seconds=seconds)
        os.write(writer, message.encode("utf-8", "surrogateescape")[:60_000])
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        message = file.read().decode("utf-8", "surrogateescape")
    _, status = os.waitpid(child, 0)
    return message if status == 0 else f"died with status {status}"
