"""What scripts that run private servers need of the installed MariaDB."""

import getpass
import os
import signal
import subprocess
from pathlib import Path


class SetupFailed(Exception):
    """MariaDB is not there, or made no data directory; the text holds the reason."""


def make_template(folder):
    """Makes the data directory that every server's own is a copy of."""
    command = ["mariadb-install-db", "--no-defaults", f"--datadir={folder}", f"--user={getpass.getuser()}",
               "--innodb-log-file-size=8M", "--auth-root-authentication-method=normal", "--skip-test-db"]
    with open(f"{folder}.log", "w+", encoding="utf-8") as log:
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True) as run:
            try:
                run.wait()
            except BaseException:
                # It is a shell script with a server of its own below it.
                os.killpg(run.pid, signal.SIGKILL)
                raise
        if run.returncode:
            log.seek(0)
            raise SetupFailed(f"mariadb-install-db failed:\n{log.read()[-3000:]}")


def installed_plugins():
    """The folder of the installed plugins, as the server itself says it."""
    told = subprocess.run(["mariadbd", "--no-defaults", "--verbose", "--help"],
                          capture_output=True, text=True, check=False)
    for line in told.stdout.splitlines():
        if line.startswith("plugin-dir "):
            return Path(line.split(None, 1)[1])
    raise SetupFailed("mariadbd --verbose --help does not name its plugin-dir")
