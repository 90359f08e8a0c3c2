//! The opening of a client connection: encryption requests, negotiation, authentication.
