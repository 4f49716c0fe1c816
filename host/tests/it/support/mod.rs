//! What the tests are built from: the server in this process, the server as a program of
//! its own, and a client that sends any bytes.

pub(crate) mod client;
pub(crate) mod program;
pub(crate) mod server;
pub(crate) mod stores;
