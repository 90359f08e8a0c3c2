//! The life of one client, without IO and without a clock.
