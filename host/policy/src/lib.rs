//! The only room that knows wasmtime: it loads policies, asks them and keeps them within their limits.
