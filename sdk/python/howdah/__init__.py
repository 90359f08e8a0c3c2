"""Write howdah policies in Python.

A policy is a module with a function for each hook that it has: `configure`, `session` (and `closed`), `route`,
`rewrite`, `topology`, `retry`, `observe`, `tick`, `snapshot` and `restore`. `howdah policy build` makes the component.
Each worker thread of the proxy has an instance of its own and asks it one question at a time.

What needs a grant is a module of its own, so that a policy imports only what it uses:
`howdah.metrics`, `howdah.kv`, `howdah.clock`, `howdah.random`, `howdah.nodes`, `howdah.catalog`.
"""

from wit_world.imports import log as _log, question, settings as _settings, types

try:
    from wit_world.exports import route as _route
except ImportError:
    _route = None
try:
    from wit_world.exports import rewrite as _rewrite
except ImportError:
    _rewrite = None
try:
    from wit_world.exports import retry as _retry
except ImportError:
    _retry = None
try:
    from wit_world.exports import session as _session
except ImportError:
    _session = None

Facts = types.Facts
Kind = types.Kind
Remember = types.Remember
Refusal = types.Refusal

tag = question.tag
user = question.user
database = question.database
application_name = question.application_name
literal = question.literal
relations = question.relations


class Statement:
    """A statement, or a batch of them."""

    __slots__ = ("sql", "kind", "digest", "facts", "session_class")

    def __init__(self, sql, kind, digest, facts, session_class):
        self.sql = sql
        self.kind = kind
        # The same for texts that differ only in literals, white space and comments.
        self.digest = digest
        self.facts = facts
        # What `session` said, else 0.
        self.session_class = session_class


def parameter(number):
    """The value bound to $number: str in text format, bytes in binary, None when there is none or NULL."""
    return getattr(question.parameter(number), "value", None)


def setting(name):
    """A setting at any time, or None."""
    return getattr(_settings.get(name), "value", None)


def log(level, line):
    """Writes one line to the proxy's log. `level`: "trace", "debug", "info", "warn" or "error"."""
    _log.write(_log.Level[level.upper()], line)


def info(line):
    log("info", line)


def warn(line):
    log("warn", line)


class Decision:
    """Where a statement goes. The functions below make them."""

    __slots__ = ("made",)

    def __init__(self, made):
        self.made = made

    def remembered(self, remember):
        return _route.Verdict(self.made, remember)

    def always_ask(self):
        return _route.Verdict(self.made, Remember.NEVER)

    def by_text(self):
        return _route.Verdict(self.made, Remember.TEXT)

    def by_digest(self):
        """Right when nothing but kind, facts and digest was looked at."""
        return _route.Verdict(self.made, Remember.DIGEST)

    def by_digest_and_class(self):
        return _route.Verdict(self.made, Remember.DIGEST_AND_CLASS)


def no_opinion():
    return Decision(_route.Decision_NoOpinion())


def primary():
    return Decision(_route.Decision_Primary())


def replica(max_lag_ms=None, max_lag_bytes=None, label=None, otherwise="primary"):
    """Any replica that is up and fulfils the demands. `otherwise`: "primary", "wait" or "refuse"."""
    demands = _route.Demands(max_lag_ms, max_lag_bytes, label, _route.Otherwise[otherwise.upper()])
    return Decision(_route.Decision_Replica(demands))


def node(name):
    return Decision(_route.Decision_Node(name))


def cluster(name):
    return Decision(_route.Decision_Cluster(name))


def refuse(sqlstate, message):
    return Decision(_route.Decision_Refuse(Refusal(sqlstate, message)))


def answer(columns, rows):
    """A result that the host sends without asking any server."""
    return Decision(_route.Decision_Answer(_route.Table(columns, rows)))


def pin(reason):
    return Decision(_route.Decision_Pin(reason))


def give_up():
    return _retry.Decision_GiveUp()


def again(target, delay_ms=0):
    """Sends a failed statement once more. `target`: "same", "another" or "primary". No opinion is None."""
    return _retry.Decision_Again(_retry.Again(_retry.Target[target.upper()], delay_ms))


def replay():
    """Runs the whole transaction again, when the failure is replayable."""
    return _retry.Decision_Replay()


def unchanged(remember):
    return _rewrite.Verdict(_rewrite.Outcome_Unchanged(), remember)


def changed(sql, remember):
    return _rewrite.Verdict(_rewrite.Outcome_Text(sql), remember)


def refuse_text(sqlstate, message, remember):
    return _rewrite.Verdict(_rewrite.Outcome_Refuse(Refusal(sqlstate, message)), remember)


def accept(
    user=None, database=None, cluster=None, pool_mode=None, settings=(), priority=0, max_wait_ms=None, session_class=0
):
    """Lets a client in; what is not given stays as it is. `pool_mode`: "session" or "transaction"."""
    mode = None if pool_mode is None else types.PoolMode[pool_mode.upper()]
    return _session.Decision_Accept(
        _session.Admission(user, database, cluster, mode, list(settings), priority, max_wait_ms, session_class)
    )


def refuse_client(sqlstate, message):
    return _session.Decision_Refuse(Refusal(sqlstate, message))


def only(settings, *known):
    """ValueError when there are other settings than these."""
    for name in settings:
        if name not in known:
            raise ValueError(f"unknown setting {name}; the settings are {', '.join(known)}")


def texts(settings, name):
    """A list of texts, empty when it is not set."""
    value = settings.get(name, [])
    if not isinstance(value, list):
        raise ValueError(f"{name} must be a list of texts")
    return value
