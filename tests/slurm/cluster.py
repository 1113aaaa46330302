"""A two-node SLURM cluster on this machine, run from Debian's packages.

The daemons are started and stopped by process id. The configuration must be in /etc/slurm, because
Snakemake's executor does not pass SLURM_CONF on. A machine that already has one there belongs to a
cluster and is left alone; ours is removed at the end. Each node claims 64 cores and 8 GPUs, like a node
of a real cluster; the GPUs are devices like /dev/null.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

NODES = ("c1", "c2")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "sinfo")
SETTINGS = Path("/etc/slurm")
OURS = "ClusterName=nanogen-tests"

SLURM_CONF = """
{ours}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A job that is requeued may start again when its first credential has expired.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
StateSaveLocation={folder}/state
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdSpoolDir={folder}/spool-%n
# Use the nodes as configured below, whatever hardware this machine has.
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MpiDefault=none
ReturnToService=2
MinJobAge=3600
SlurmdTimeout=10
KillWait=10
InactiveLimit=0
GresTypes=gpu
{nodes}
PartitionName={partition} Nodes=ALL MaxTime=INFINITE State=UP
"""
NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} "
    "CPUs=64 RealMemory=600000 Gres=gpu:8"
)


def unavailable() -> str:
    """Return why no cluster can be started here, or an empty string if one can."""
    if os.geteuid() != 0:
        return "only root may start a SLURM cluster"
    conf = SETTINGS / "slurm.conf"
    if conf.exists() and OURS not in conf.read_text():
        return f"{conf} exists: this machine belongs to a cluster"
    absent = [name for name in PROGRAMS if not shutil.which(name)]
    return f"not installed: {', '.join(absent)} (Debian: slurm-wlm, munge)" if absent else ""


class Cluster:
    """The daemons of the cluster, with their files in ``folder``; ``gpu`` is not a default partition."""

    partition = "gpu"

    def __init__(self, folder: Path):
        self.folder = folder
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        self.lock = open("/tmp/nanogen-slurm-tests.lock", "w")  # noqa: SIM115  held until the end

    def __enter__(self) -> Cluster:
        fcntl.flock(self.lock, fcntl.LOCK_EX)  # wait for another run of these tests
        try:
            self._configure()
            self._start_munge()
            self._start("slurmctld", "slurmctld", "-D", "-c")
            for name in NODES:
                self.start_node(name)
            self._wait_for_nodes()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self.daemons.values()):
            process.terminate()
        for process in self.daemons.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=20)
            process.kill()
        for name in NODES:
            self._end_steps(name)
        for name in ("slurm.conf", "gres.conf"):
            (SETTINGS / name).unlink(missing_ok=True)
        self.lock.close()

    def run(self, *words: str, check: bool = True) -> str:
        """Run one of SLURM's commands and return its stdout."""
        done = subprocess.run(words, capture_output=True, text=True)
        assert not check or done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def start_node(self, name: str) -> None:
        self._start(name, "slurmd", "-D", "-N", name)

    def kill_node(self, name: str) -> None:
        """Simulate a power cut: kill the daemon, its steps and all their descendants."""
        daemon = self.daemons.pop(name)
        daemon.kill()
        daemon.wait()
        self._end_steps(name)

    def submit(self, *words: str, log: Path, **environment: str) -> int:
        """Run sbatch and return the job's id."""
        options = ["sbatch", "--parsable", f"--output={log}", f"--partition={self.partition}"]
        done = subprocess.run(
            [*options, *words], capture_output=True, text=True, env={**os.environ, **environment}
        )
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    def state(self, job: int) -> str:
        return self.run("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T").strip()

    def wait_for(self, job: int, *states: str, seconds: float = 120) -> str:
        until = time.monotonic() + seconds
        while (state := self.state(job)) not in states:
            assert time.monotonic() < until, f"job {job} is {state}, not {states}"
            time.sleep(0.2)
        return state

    def _configure(self) -> None:
        for name in ("state", "munge", "devices", *(f"spool-{node}" for node in NODES)):
            (self.folder / name).mkdir()
        for index in range(8):
            device = self.folder / "devices" / f"nvidia{index}"
            os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        host, (controller, *ports) = socket.gethostname(), _free_ports(1 + len(NODES))
        nodes = [NODE.format(name=n, host=host, port=p) for n, p in zip(NODES, ports, strict=True)]
        text = SLURM_CONF.format(
            ours=OURS,
            host=host,
            controller=controller,
            folder=self.folder,
            nodes="\n".join(nodes),
            partition=self.partition,
        )
        SETTINGS.mkdir(exist_ok=True)
        (SETTINGS / "slurm.conf").write_text(text)
        (SETTINGS / "gres.conf").write_text(f"Name=gpu File={self.folder}/devices/nvidia[0-7]\n")

    def _start_munge(self) -> None:
        """Start a separate munge daemon with its own key."""
        key = self.folder / "munge" / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        places = {
            "socket": self.folder / "munge.socket",
            "key-file": key,
            "log-file": self.folder / "munge" / "log",
            "pid-file": self.folder / "munge" / "pid",
            "seed-file": self.folder / "munge" / "seed",
        }
        options = [f"--{name}={path}" for name, path in places.items()]
        self._start("munged", "munged", "--foreground", "--force", *options)
        _until(places["socket"].exists, "munged has no socket")

    def _start(self, name: str, *words: str) -> None:
        with open(self.folder / f"{name}.out", "ab") as output:
            self.daemons[name] = subprocess.Popen(words, stdout=output, stderr=output)

    def _wait_for_nodes(self) -> None:
        def all_idle() -> bool:
            states = self.run("sinfo", "-h", "-N", "-o", "%T", check=False).split()
            if any(state.startswith(("down", "drain", "unknown")) for state in states):
                self.run("scontrol", "update", "nodename=c[1-2]", "state=resume", check=False)
            return states == ["idle"] * len(NODES)

        _until(all_idle, f"the nodes of {self.folder} do not come up")

    def _end_steps(self, node: str) -> None:
        """Kill the node's steps, which outlive its daemon, and all their descendants."""
        log = str(self.folder / f"slurmd-{node}.log")
        steps = [process for process in _processes() if log in _open_files(process)]
        for process in [*steps, *_descendants(steps)]:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _open_files(process: int) -> set[str]:
    with suppress(OSError):
        return {os.readlink(path) for path in Path(f"/proc/{process}/fd").iterdir()}
    return set()


def _descendants(ancestors: list[int]) -> list[int]:
    found = []
    for ancestor in ancestors:
        with suppress(OSError):
            files = Path(f"/proc/{ancestor}/task").glob("*/children")
            children = [int(word) for file in files for word in file.read_text().split()]
            found += [*children, *_descendants(children)]
    return found


def _until(true: Callable[[], bool], complaint: str, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, complaint
        time.sleep(0.1)
