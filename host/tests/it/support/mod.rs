//! What the tests are built from: the server in this process, the server as a program of
//! its own, an engine without a server, stores that answer late or never, and a client
//! that sends any bytes.

pub(crate) mod admin;
pub(crate) mod changing;
pub(crate) mod client;
pub(crate) mod database;
pub(crate) mod disk;
pub(crate) mod early;
pub(crate) mod front;
pub(crate) mod inside;
pub(crate) mod later;
pub(crate) mod openapi;
pub(crate) mod ports;
pub(crate) mod program;
pub(crate) mod proxy;
pub(crate) mod redis;
pub(crate) mod server;
pub(crate) mod stores;
#[cfg(target_os = "linux")]
pub(crate) mod terminal;
