//! Tenantry's rules: which tenants there are, whose a session is, how much a tenant may
//! chat, what it answers, and the whole HTTP contract as one function,
//! [`contract::handle`].
//!
//! Data in, data out. There is no I/O here, no clock and no randomness: without the
//! standard library (`no_std`) there is not even a way to ask for them. State, time and
//! random bytes come in through [`tenancy::Tenancy`], which speaks for one tenant alone,
//! so that the same rules run natively, in a WebAssembly sandbox and in a web page.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod contract;
pub mod json;
pub mod limit;
pub mod memory;
pub mod python;
pub mod registry;
mod reply;
pub mod session;
pub mod similar;
pub mod tenancy;
pub mod tenant;
pub mod time;
