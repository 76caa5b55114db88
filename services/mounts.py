"""Checks the file system of the data dir: SQLite needs locks and shared memory, which some do not have."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from pathlib import Path

from settings import refuse

logger = logging.getLogger(__name__)

MOUNTS = Path("/proc/self/mountinfo")
UNFIT = frozenset({"nfs", "nfs3", "nfs4", "cifs", "smb3", "smbfs"})
"""Databases were damaged on these: their locks may be lost, and processes on two machines share no memory."""
DOUBTFUL = frozenset(
    {"9p", "afs", "beegfs", "ceph", "coda", "davfs", "gfs2", "glusterfs", "gpfs", "lustre", "ocfs2", "orangefs"}
    | {"prl_fs", "vboxsf", "virtiofs", "vmhgfs"}
    | {
        f"fuse.{name}"
        for name in ("ceph", "cephfs", "davfs2", "gcsfuse", "glusterfs", "grpcfuse", "juicefs", "osxfs", "rclone")
    }
    | {f"fuse.{name}" for name in ("s3fs", "seaweedfs", "smbnetfs", "sshfs", "vmhgfs-fuse")}
)
"""File systems of another machine, or of the host of a virtual one; they are untested."""
_OCTAL = re.compile(r"\\([0-7]{3})")


def check_local(path: Path) -> None:
    """End the process when SQLite files cannot live in this directory; warn when they perhaps cannot."""
    kind = kind_at(path.resolve(), MOUNTS.read_text(errors="replace").splitlines()) if MOUNTS.exists() else ""
    if kind in UNFIT:
        refuse(
            f"LONGHAUL_DATA_DIR cannot be used: it lies on a network file system ({kind}), on which SQLite loses data. "
            "Choose a directory of this machine, or set DATABASE_URL (docs/deploy.md)."
        )
    if kind in DOUBTFUL:
        logger.warning("data directory on a network file system", extra={"fields": {"kind": kind}})


def kind_at(path: Path, mounts: Iterable[str]) -> str:
    """Returns the type of the file system that holds an absolute path; empty if no mount does.

    `mounts` are the lines of `/proc/self/mountinfo` (proc(5)): the fifth field is the mount point, with octal escapes,
    and the type follows a single hyphen. Of two mounts at one point, the later one hides the earlier.
    """
    kind, length = "", -1
    for line in mounts:
        place, _, rest = line.partition(" - ")
        fields, kinds = place.split(" "), rest.split(" ")
        if len(fields) < 5 or not kinds[0]:
            continue
        point = Path(_OCTAL.sub(lambda code: chr(int(code[1], 8)), fields[4]))
        if path.is_relative_to(point) and len(point.parts) >= length:
            kind, length = kinds[0], len(point.parts)
    return kind
