"""What a client was promised, and the comparison of all promises with what a server holds after it was killed.

A key is `(table, id)` for a row and `(table, None)` for the table itself. A change maps keys to what they become;
None means gone.
"""


class Ledger:
    """The committed work of one client. Keys of different clients' ledgers never overlap."""

    def __init__(self):
        # What the server has acknowledged.
        self.kept = {}
        # What was sent and not acknowledged: after a kill all of it is there, or nothing.
        self.doubt = {}

    def promise(self, changes):
        """The next statement that is sent commits these changes."""
        self.doubt = changes

    def acknowledge(self):
        """The server said that they are committed."""
        for key, value in self.doubt.items():
            if value is None:
                self.kept.pop(key, None)
            else:
                self.kept[key] = value
        self.doubt = {}

    def withdraw(self):
        """The server said that they are not committed."""
        self.doubt = {}

    def settle(self, found):
        """Decides by `found`, what the server holds, whether the promise was kept. Returns what is wrong."""
        if all(found.get(key) == value for key, value in self.doubt.items()):
            self.acknowledge()
        elif all(found.get(key) == self.kept.get(key) for key in self.doubt):
            self.withdraw()
        else:
            problems = [describe(key, f"{brief(self.kept.get(key))} or {brief(value)}", found.get(key))
                        for key, value in self.doubt.items()]
            return [f"neither all nor nothing of a transaction: {problem}" for problem in problems]
        return []


def compare(ledgers, found):
    """Settles all ledgers by `found` and compares every key. Returns what is wrong, a text for each."""
    problems = [problem for ledger in ledgers for problem in ledger.settle(found)]
    if problems:
        return problems
    kept = {}
    for ledger in ledgers:
        kept.update(ledger.kept)
    if kept == found:
        return []
    return [describe(key, brief(kept.get(key)), found.get(key))
            for key in sorted(kept.keys() | found.keys(), key=str) if kept.get(key) != found.get(key)]


def describe(key, wanted, found):
    """One wrong thing in words."""
    table, row = key
    what = f"table {table}" if row is None else f"row {row} of {table}"
    return f"{what}: it should be {wanted}, it is {brief(found)}"


def brief(value):
    """A value that fits a line."""
    if value is None:
        return "absent"
    if value is True:
        return "there"
    text = str(value)
    return text if len(text) <= 70 else f"{text[:40]}... ({len(text)} characters)"
