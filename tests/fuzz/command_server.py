"""Runs commands in forked children, each under limits: a crash, a hang or lost memory ends that child alone.

The server has imported everything and has never run a network, so that forking it is safe. It reads one JSON request a
line and answers with the exit code, negative for a signal.
"""

import contextlib
import gc
import importlib
import json
import os
import resource
import signal
import sys
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
NOBODY = 65534  # a user without rights
SCRIPTS = {"centerdet": "centerdet.cli.main", "main.py": "main", "train.py": "train", "visualize.py": "tools.visualize"}
TOOLS = "benchmark", "profile_training", "symmetry", "robustness", "replay_batch"  # imported when they run
PRELOADED = [
    *("centerdet.data.validate", "centerdet.data.dataset", "centerdet.data.predict", "centerdet.cli.writers"),
    *("centerdet.evaluation.html_report", "centerdet.training.own_images", "centerdet.export.onnx", "tqdm"),
    *("sympy", "torch._dynamo", "onnxruntime", "shapely", "torch.utils.tensorboard", "encodings.utf_8_sig"),
]


def open_stream(kind, descriptor):
    """Makes a standard stream of the child closed, broken, full, or a file."""
    if kind == "closed":
        os.close(descriptor)
        return
    if kind == "broken":
        read, write = os.pipe()
        os.close(read)
    else:
        write = os.open("/dev/full" if kind == "full" else kind, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(write, descriptor)
    os.close(write)


def run(request):
    """Runs the command of a request in this process, and ends it."""
    os.chdir(request["folder"])
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        open_stream(request[name], descriptor)
    sys.stdout = None if request["stdout"] == "closed" else open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = (
        None if request["stderr"] == "closed" else open(2, "w", closefd=False, errors="backslashreplace", buffering=1)  # noqa: SIM115
    )
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + request["memory"],) * 2)
    if request["file_size"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_size"],) * 2)
    if request["unprivileged"] and os.getuid() == 0:
        os.setresuid(NOBODY, NOBODY, NOBODY)
    signal.alarm(request["seconds"])
    tools = {f"{name}.py": f"tools.{name}" for name in TOOLS}
    code = importlib.import_module((SCRIPTS | tools)[request["script"]]).main(request["arguments"])
    for stream in (sys.stdout, sys.stderr):  # as the interpreter does at its end
        if stream is not None:
            stream.flush()
    return code


def serve():
    """Answers requests until the input ends."""
    sys.path.insert(0, str(ROOT))
    for module in [*SCRIPTS.values(), *PRELOADED]:
        importlib.import_module(module)
    gc.freeze()  # a child that looks for garbage among the modules would copy their memory
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 99  # a traceback
            try:
                code = run(json.loads(line))
            except SystemExit as stop:
                code = stop.code
            except BaseException:
                with contextlib.suppress(Exception):
                    os.write(2, traceback.format_exc().encode(errors="backslashreplace"))
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(code, flush=True)


if __name__ == "__main__":
    serve()
