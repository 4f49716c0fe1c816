//! The server as a whole: over real sockets, and as a program.

mod contract;
mod described;
mod readme;
mod support;
