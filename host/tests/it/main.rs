//! The server as a whole: over real sockets, and as a program.

mod bodies;
mod capacity;
mod connections;
mod contract;
mod cors;
mod demo;
mod described;
mod directory;
mod engine;
mod fairness;
mod guests;
mod limits;
mod load;
mod logs;
mod memory;
mod pages;
mod readme;
mod rebuild;
mod requests;
mod slow;
mod startup;
mod stopping;
mod stores;
mod support;
mod tenants;
mod world;
