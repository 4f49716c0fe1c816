//! Real servers of PostgreSQL and Redis, started on this machine and lost on purpose.

#![forbid(unsafe_code)]

mod ports;
mod postgres;
mod processes;
mod redis;

pub use self::{
    ports::free_port,
    postgres::{Postgres, Stop},
    processes::{Signal, children, signal},
    redis::Redis,
};
