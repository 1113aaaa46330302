"""The process ends at once, with the right exit code and without losing output."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest

from nanogen.ending import UNWRITTEN

BUFFERED = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
NANOGEN = [sys.executable, "-m", "nanogen"]


def ended(*words: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([*NANOGEN, *words], stderr=subprocess.PIPE, text=True, env=BUFFERED, **options)


def ended_after(code: str) -> subprocess.CompletedProcess:
    """Run the function ``main`` that ``code`` defines with `run_and_end`."""
    end = "from nanogen.ending import run_and_end\nrun_and_end(main)"
    return subprocess.run(
        [sys.executable, "-c", f"{code}\n{end}"], capture_output=True, text=True, env=BUFFERED
    )


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--version"], 0),
        (["params", "--study", "nano", "--task", "imagenet", "--method", "no-such"], 2),
        (["grid", "--no-such-option"], 2),
        (["launch", "--processes", "1", "--", "config", "--study", "no-such-study"], 2),
    ],
)
def test_exit_codes(words, code):
    assert ended(*words, stdout=subprocess.DEVNULL).returncode == code


CONFIG = ["config", "--study", "nano", "--method", "jit", "--task", "imagenet"]


def test_what_goes_through_a_pipe_is_complete():
    done = ended(*CONFIG, stdout=subprocess.PIPE)
    assert done.returncode == 0
    assert done.stdout.startswith("study: nano\n")
    assert re.fullmatch("hash: [0-9a-f]{16}\n", done.stdout.splitlines(keepends=True)[-1])


def test_a_disk_that_is_full_is_no_success():
    with open("/dev/full", "w") as full:
        done = ended(*CONFIG, stdout=full)
    assert done.returncode == UNWRITTEN
    assert done.stderr == "nanogen: cannot write <stdout>: No space left on device\n"


def test_a_reader_that_is_gone_is_no_success():
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as pipe:
        done = ended(*CONFIG, stdout=pipe)
    assert (done.returncode, done.stderr) == (UNWRITTEN, "")


def test_what_others_do_at_the_end_is_done_and_what_they_say_is_whole():
    done = ended_after(
        "import atexit, logging, sys\n"
        "def main():\n"
        "    logging.basicConfig(format='%(message)s')\n"
        "    atexit.register(lambda: logging.warning('closed'))\n"
        "    print('a' * 100000, end='')\n"
        "    return 3"
    )
    assert (done.returncode, done.stderr) == (3, "closed\n")
    assert done.stdout == "a" * 100000


def test_threads_that_write_are_waited_for():
    done = ended_after(
        "import threading, time\n"
        "def work():\n"
        "    time.sleep(0.2)\n"
        "    print('written')\n"
        "def main():\n"
        "    threading.Thread(target=work).start()\n"
        "    return 0"
    )
    assert (done.returncode, done.stdout) == (0, "written\n")


def test_an_error_of_the_program_is_shown():
    done = ended_after("def main():\n    raise ValueError('why')")
    assert done.returncode == 1
    assert done.stderr.endswith("ValueError: why\n")


IN_A_GROUP = (
    "import torch.distributed as dist\n"
    "class Held:\n"
    "    def __del__(self):\n"
    "        print('torn down')\n"
    "held = Held()\n"
    "def main():\n"
    "    dist.init_process_group('gloo', rank=0, world_size=1, store=dist.HashStore())\n"
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "code", "written"),
    [
        ("return 2", 2, ""),
        ("raise SystemExit(75)", 75, ""),
        ("raise ValueError('why')", 1, "ValueError: why\n"),
    ],
)
def test_a_failure_inside_a_process_group_waits_for_no_other_process(end, code, written):
    """NCCL's group, when the interpreter destroys it, would wait for the other processes."""
    done = ended_after(f"{IN_A_GROUP}    {end}")
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.endswith(written)


def test_ctrl_c_is_130_and_no_traceback(tmp_path):
    os.mkfifo(tmp_path / "stage.json")  # reading it blocks
    words = [*NANOGEN, "make-data", "--config", str(tmp_path / "stage.json"), "--output", "never.h5"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    with open(tmp_path / "stage.json", "w"):  # opens once the process reads
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert (process.returncode, said) == (130, "nanogen make-data: interrupted\n")


WRAPPED = """
import os, signal
from nanogen.cli import main
from nanogen.cli import config

def run(args):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt as error:
        raise ValueError("an error of its own") from error

config.run = run
raise SystemExit(main(["config", "--study", "nano"]))
"""


def test_ctrl_c_that_a_library_turns_into_an_error_is_130_and_no_traceback():
    """Pydantic does this if it is interrupted while it builds a model."""
    done = subprocess.run([sys.executable, "-c", WRAPPED], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "nanogen config: interrupted\n")


def test_ctrl_c_during_the_imports_leaves_no_traceback():
    """`-X importtime` names each module once it is imported."""
    words = [sys.executable, "-X", "importtime", "-m", "nanogen", "config", "--study", "nano"]
    with subprocess.Popen(
        words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        while "argparse" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == -signal.SIGINT
    assert "Traceback" not in said
