"""Reads go to replicas, everything else to the primary."""

from howdah import Kind, primary, replica


def route(statement):
    return replica().by_digest() if statement.kind == Kind.READ else primary().by_digest()
