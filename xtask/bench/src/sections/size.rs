//! What is shipped, in bytes.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use super::{Bench, Found, Kind};
use crate::results::Figure;

pub(super) const KIND: Kind = Kind {
    name: "size",
    title: "Sizes",
    about: "The component is WebAssembly, before it is compiled for the processor and embedded; \
            the program is one static file.",
    run,
};

fn run(bench: &Bench) -> Result<Found> {
    let kib = |file: &Path| -> Result<f64> {
        let file = fs::metadata(file).with_context(|| file.display().to_string())?;
        Ok(file.len() as f64 / 1024.0)
    };
    let component = kib(&bench.component)?;
    let program = kib(&bench.server)? / 1024.0;
    Ok(Found {
        comparisons: Vec::new(),
        figures: vec![
            Figure::new(
                "the component of the sandboxes",
                component,
                "KiB",
                Some(200.0),
            ),
            Figure::new("the program that ships", program, "MiB", Some(8.0)),
        ],
    })
}
