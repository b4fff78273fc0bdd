"""What a process holds: its memory, mappings, threads, open files and locked memory, as Linux tells them."""

import dataclasses
import os
import re
from pathlib import Path

KIB, MIB = 1024, 1024 * 1024


@dataclasses.dataclass
class Held:
    """One look at a process; memory in bytes."""

    resident: int
    # Of that, what no file is behind: heap, stacks, key memory.
    anonymous: int
    locked: int
    mappings: int
    threads: int
    files: int

    @classmethod
    def by(cls, pid):
        """What this process holds now."""
        place = Path("/proc") / str(pid)
        status = (place / "status").read_text()
        return cls(amount("VmRSS", status), amount("RssAnon", status),
                   amount("VmLck", status),
                   len((place / "maps").read_text().splitlines()), int(re.search(r"^Threads:\s+(\d+)", status, re.M)[1]),
                   len(os.listdir(place / "fd")))

    def __str__(self):
        return (f"resident {mib(self.resident)} (anonymous {mib(self.anonymous)}), "
                f"{self.mappings} mappings, {self.threads} threads, {self.files} files, {self.locked // KIB} KiB locked")


def amount(name, text):
    """Bytes of a line `NAME: n kB`."""
    return int(re.search(rf"^{name}:\s+(\d+) kB", text, re.M)[1]) * KIB


def mib(number):
    """For people."""
    return f"{number / MIB:.1f} MiB"


def grown(first, last, more):
    """What has grown more than it may from one look to another, a text for each. `more` maps what is compared to how much."""
    return [f"{name} grew from {getattr(first, name)} to {getattr(last, name)}, by more than {most}"
            for name, most in more.items() if getattr(last, name) - getattr(first, name) > most]


def mappings_of(pid):
    """The process's mappings, as /proc tells them with their sizes: kept where something grows that should not."""
    return (Path("/proc") / str(pid) / "smaps").read_text()
