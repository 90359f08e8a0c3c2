"""Reads of the users in the setting `users` go to replicas, everything else to the primary.

The users are looked up once per client, who get class 1. So an answer can be remembered by digest and class.
"""

from howdah import Kind, accept, only, primary, replica, texts

LISTED = 1

users = []


def configure(settings):
    global users
    only(settings, "users")
    users = texts(settings, "users")


def session(client):
    return accept(session_class=LISTED) if client.user in users else None


def route(statement):
    to_replica = statement.session_class == LISTED and statement.kind == Kind.READ
    return (replica() if to_replica else primary()).by_digest_and_class()
