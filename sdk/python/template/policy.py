"""Sends reads to replicas, and everything else to the primary."""

from howdah import Facts, Kind, primary, replica

# What may write, or locks rows, is not for a replica, even if it is called SELECT.
STAYS = Facts.VOLATILE | Facts.LOCKS_ROWS | Facts.STICKY | Facts.HINT_PRIMARY


def route(statement):
    read = statement.kind == Kind.READ and not statement.facts & STAYS
    # Nothing but kind and facts was looked at: the answer holds for all statements like this one.
    return (replica() if read else primary()).by_digest()
