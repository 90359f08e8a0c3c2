"""What the Python scripts share: checks that have names, and how their outcome is told."""
import traceback

failed = False


def equal(found, expected):
    if found != expected:
        raise AssertionError(f"found {found!r}, expected {expected!r}")


def raises(kind, act):
    """The error that an act ends with, which must be of this kind."""
    try:
        act()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def tell(name, error=None):
    global failed
    failed = failed or error is not None
    if error is None:
        print(f"ok {name}", flush=True)
    else:
        place = traceback.extract_tb(error.__traceback__)[-1].lineno
        reason = f"{type(error).__name__}: {error}".replace("\n", " ")
        print(f"not ok {name}: {reason} (line {place})", flush=True)
