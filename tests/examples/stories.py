"""How stories name the examples that they run."""


def of(*examples, installs=False):
    """A story of these examples, which it gets as texts behind the machine; or one that installs keyroll by itself."""
    def mark(function):
        function.examples, function.installs = examples, installs
        return function
    return mark
