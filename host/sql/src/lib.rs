//! What a SQL statement is: a lexical scan, its facts, its digest. Pure.
