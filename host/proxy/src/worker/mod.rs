//! Worker threads and the client sessions that they serve.
