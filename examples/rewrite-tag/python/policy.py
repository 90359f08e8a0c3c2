"""A SELECT whose comment has the tag `cap` gets a LIMIT, if it has none.

An application caps what its reports may return by `SELECT … /* cap='1000' */`.
"""

import re

from howdah import Facts, Kind, Remember, changed, tag, unchanged

OTHERS = Facts.SEVERAL | Facts.LOCKS_ROWS | Facts.COPY
SELECT = re.compile("select", re.IGNORECASE)
COMPLICATED = re.compile("limit|fetch|--", re.IGNORECASE)
CAP = re.compile("[0-9]{1,9}")


def rewrite(statement):
    if statement.kind != Kind.READ or statement.facts & OTHERS:
        return unchanged(Remember.DIGEST)
    text = capped(statement.sql, tag("cap"))
    return unchanged(Remember.TEXT) if text is None else changed(text, Remember.TEXT)


def capped(sql, cap):
    """The text with a LIMIT; None when it cannot simply be put behind."""
    if cap is None or not CAP.fullmatch(cap):
        return None
    text = sql.rstrip(" \t\r\n;")
    if not SELECT.match(text) or COMPLICATED.search(text):
        return None
    return f"{text} LIMIT {cap}"
