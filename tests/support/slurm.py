"""A Slurm of one node on loopback: its three daemons, with files in a folder of their own."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "sinfo", "scontrol")
READY_SECONDS = 60.0
PATHS = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
CONFIGURATION = """
ClusterName=tiny
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1
SlurmdParameters=config_overrides
MpiDefault=none
MailProg=/bin/true
NodeName={host} NodeAddr=127.0.0.1 CPUs=16 RealMemory=64000
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
"""The node claims the CPUs that two tasks of the script ask for. A task that is requeued starts after 6 seconds."""


def why_not() -> str:
    """Return why there can be no Slurm here; empty if there can be one."""
    missing = [program for program in PROGRAMS if shutil.which(program, path=PATHS) is None]
    if missing:
        return f"no {missing[0]}; on Debian: apt-get install slurmctld slurmd slurm-client munge"
    return "" if os.geteuid() == 0 else "slurmd runs as root only"


@contextlib.contextmanager
def one_node() -> Iterator[dict[str, str]]:
    """Run Slurm; yield the environment in which its commands find it."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # the path of a socket may not be long
    host = socket.gethostname().partition(".")[0]
    (folder / "slurm.conf").write_text(CONFIGURATION.format(host=host, folder=folder, ports=_free_ports(2)))
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "key").write_bytes(os.urandom(1024))
    (folder / "key").chmod(0o400)
    environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": PATHS}
    files = {"socket": "munge.socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    munge = ["munged", "--foreground", "--force", *(f"--{name}={folder / file}" for name, file in files.items())]
    try:
        with contextlib.ExitStack() as running:
            for command in (munge, ["slurmctld", "-D"], ["slurmd", "-D"]):
                running.enter_context(_daemon(command, folder / f"{command[0]}.out", environment))
            _wait_for_node(environment, folder)
            yield environment
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _daemon(command: list[str], said: Path, environment: dict[str, str]) -> Iterator[None]:
    with said.open("wb") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_node(environment: dict[str, str], folder: Path) -> None:
    until = time.monotonic() + READY_SECONDS
    command = ["sinfo", "--noheader", "--format=%t"]
    while True:
        asked = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if asked.stdout.strip() == "idle":
            return
        if time.monotonic() > until:
            said = "\n".join(path.read_text()[-2000:] for path in sorted(folder.glob("*.out")))
            raise TimeoutError(f"Slurm has no idle node: {asked.stdout}{asked.stderr}\n{said}")
        time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
