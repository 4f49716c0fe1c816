//! The server as a whole: over real sockets, and as a program.

mod bodies;
mod connections;
mod contract;
mod described;
mod load;
mod readme;
mod requests;
mod slow;
mod stopping;
mod support;
