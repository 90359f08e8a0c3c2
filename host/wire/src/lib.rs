//! The PostgreSQL wire protocol, versions 3.0 and 3.2, both directions, without IO and without a clock.
