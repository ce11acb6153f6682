"""A SLURM of one node on this machine, of this user alone, everything it writes in one folder."""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "sinfo")
SYSTEM = ("/usr/sbin", "/usr/local/sbin", "/sbin")  # not on every user's path
SETTINGS = """\
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge,cred_expire=10
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=1,sched_interval=2
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
KillWait=10
OverTimeLimit=0
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=32 RealMemory=512000 Gres=gpu:4 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""  # the node claims what the profile asks for; nothing holds a job to it


class Cluster:
    """The daemons, and the environment in which SLURM's commands reach them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = os.pathsep.join([str(folder / "bin"), os.environ.get("PATH", os.defpath), *SYSTEM])
        self.environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": path}
        self.daemons: list[subprocess.Popen] = []

    def missing(self) -> list[str]:
        """Programs that are not installed here."""
        return [name for name in NEEDED if not shutil.which(name, path=self.environment["PATH"])]

    def start(self) -> None:
        """Start the daemons and wait until the node takes jobs."""
        self._write()
        munge = [
            f"--{name}={self.folder}/{name}" for name in ("key-file", "pid-file", "log-file", "seed-file")
        ]
        self._daemon("munged", "--foreground", "--force", f"--socket={self.folder}/munge", *munge)
        self._wait(lambda: (self.folder / "munge").exists(), "munged")
        self._daemon("slurmctld", "-D", "-i")
        self._daemon("slurmd", "-D", "-N", socket.gethostname().split(".")[0])
        self._wait(lambda: self.call("sinfo", "--noheader", "--format=%t") == "idle", "the node")

    def stop(self) -> None:
        """Stop what was started, the last first."""
        if self.daemons:
            subprocess.run(
                ["scancel", "--full", "--state=RUNNING", "--user", _user()], env=self.environment, check=False
            )
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()

    def call(self, *words: str) -> str:
        """What a command of SLURM says."""
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    def _write(self) -> None:
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        self.folder.chmod(0o755)
        key = self.folder / "key-file"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            other.bind(("127.0.0.1", 0))
            ports = [one.getsockname()[1], other.getsockname()[1]]
        host = socket.gethostname().split(".")[0]
        for number in range(4):
            (self.folder / f"gpu{number}").touch()
        (self.folder / "gres.conf").write_text(f"Name=gpu File={self.folder}/gpu[0-3]\n")
        (self.folder / "slurm.conf").write_text(
            SETTINGS.format(folder=self.folder, host=host, ports=ports, user=_user())
        )

        srun = self.folder / "bin" / "srun"  # Snakemake's jobs forget where the configuration is
        srun.parent.mkdir()
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {shutil.which("srun")} "$@"\n')
        srun.chmod(0o755)

    def _daemon(self, *words: str) -> None:
        with (self.folder / f"{words[0]}.out").open("w") as said:
            self.daemons.append(
                subprocess.Popen(
                    words,
                    env=self.environment,
                    stdout=said,
                    stderr=said,
                    cwd=self.folder,
                    start_new_session=True,
                )
            )

    def _wait(self, ready, what: str, seconds: int = 40) -> None:
        """Wait until something is so; RuntimeError with the daemons' last words if it never is."""
        until = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > until or any(daemon.poll() is not None for daemon in self.daemons):
                said = "".join(path.read_text()[-2000:] for path in self.folder.glob("*.out"))
                raise RuntimeError(f"{what} does not start:\n{said}")
            time.sleep(0.2)


def _user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name
