//! `howdah demo`: the whole road on throw-away parts.
