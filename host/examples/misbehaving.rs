//! The server with the guest of its tests, which misbehaves on order, for `cargo xtask bench`:
//! `misbehaving serve ...` takes what `tenantry serve` takes. A chat with the message
//! `misbehave=loop` runs until its deadline.

#![forbid(unsafe_code)]

use anyhow::{Result, bail};
use tenantry::{
    opts::{self, Task},
    run,
};
use tenantry_misbehaving_component::MISBEHAVING;

fn main() -> Result<()> {
    let task = match opts::parse(std::env::args_os(), None) {
        Ok(task) => task,
        Err(error) => error.exit(),
    };
    let Task::Serve(task) = task else {
        bail!("usage: misbehaving serve");
    };
    Ok(run::serve_guest(*task, &MISBEHAVING)?)
}
