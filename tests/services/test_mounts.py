"""Where a data dir may lie: read from mount tables as systems have them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from services.mounts import kind_at

ROOT = Path(__file__).resolve().parent.parent.parent

TABLE = r"""
22 28 0:20 / /proc rw,nosuid,nodev,noexec,relatime shared:12 - proc proc rw
28 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
40 28 0:41 / /home rw,relatime shared:20 - nfs4 server:/home rw,vers=4.2,addr=192.0.2.1
41 40 0:42 / /home/local rw,relatime - xfs /dev/vdb1 rw
42 28 0:43 / /mnt/with\040space rw,relatime shared:21 master:2 - cifs //server/share rw,vers=3.0
43 28 0:44 / /auto rw,relatime shared:22 - autofs systemd-1 rw,fd=29
44 43 0:45 / /auto rw,relatime shared:23 - nfs server:/auto rw,vers=3
45 28 0:46 /there /ssh rw,nosuid,nodev,relatime - fuse.sshfs me@server: rw,user_id=0
46 28 0:47 / /mnt/c rw,noatime - 9p drvfs rw,dirsync
47 28 0:48 / /srv rw,relatime unbindable - btrfs /dev/vdc rw,subvol=/a - b
""".strip().splitlines()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/longhaul", "ext4"),
        ("/home/ada/.data", "nfs4"),
        ("/home/local/.data", "xfs"),
        ("/homes/ada", "ext4"),
        ("/mnt/with space/data", "cifs"),
        ("/auto", "nfs"),
        ("/ssh/data", "fuse.sshfs"),
        ("/mnt/c/Users/ada", "9p"),
        ("/srv/data", "btrfs"),
    ],
)
def test_the_deepest_and_latest_mount_above_a_directory_is_its_file_system(path: str, kind: str) -> None:
    assert kind_at(Path(path), TABLE) == kind


def test_lines_that_are_no_mounts_count_for_nothing() -> None:
    assert kind_at(Path("/data"), ["", "28 1 254:1", "28 1 254:1 / / rw", "- ext4", "nonsense - "]) == ""


CHECK = """
import logging, sys
from pathlib import Path
from services import mounts
logging.basicConfig(format="%(levelname)s %(message)s")
mounts.MOUNTS = Path(sys.argv[1])
mounts.check_local(Path(sys.argv[2]))
print("goes on")
"""


@pytest.mark.parametrize(
    ("path", "code", "said"),
    [
        ("/home/ada", 2, "network file system (nfs4), on which SQLite loses data"),
        ("/mnt/with space", 2, "network file system (cifs)"),
        ("/ssh", 0, "WARNING data directory on a network file system"),
        ("/srv", 0, "goes on"),
    ],
)
def test_nfs_and_smb_are_refused_in_one_line_and_others_are_warned_of(
    tmp_path: Path, path: str, code: int, said: str
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text("\n".join(TABLE))
    command = [sys.executable, "-c", CHECK, str(mounts), path]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = (ended.stderr + ended.stdout).splitlines()
    assert (ended.returncode, said in lines[0]) == (code, True), lines
    assert len(lines) == 1 or lines[-1] == "goes on"
