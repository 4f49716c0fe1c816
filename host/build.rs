//! Prepares what the server embeds: the guest, compiled for the target, and the scripts
//! and styles of the documentation pages.

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use flate2::{Compression, write::GzEncoder};

fn main() -> ExitCode {
    if let Err(error) = assets() {
        println!("cargo::error=the documentation's scripts and styles: {error}");
        return ExitCode::FAILURE;
    }
    let inputs = [
        "wit",
        "guest/Cargo.toml",
        "../core/Cargo.toml",
        "../Cargo.toml",
        "../Cargo.lock",
    ];
    tenantry_component::build::run("tenantry-guest", "guest", &inputs.map(Path::new))
}

/// Writes the files that /docs and /redoc load, compressed. They come with the crate
/// `aide`, inside of the pages that it makes.
fn assets() -> io::Result<()> {
    const MARK: &str = "mark-of-the-address";
    let swagger = aide::swagger::Swagger::new(MARK).html();
    let redoc = aide::redoc::Redoc::new(MARK).html();
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    for (name, page, start, end) in [
        ("swagger-ui.css", &swagger, "<style>", "</style>"),
        ("swagger-ui-bundle.js", &swagger, "<script>", "</script>"),
        (
            "redoc.standalone.js",
            &redoc,
            "<script>",
            "Redoc.init(\"mark-of-the-address\"",
        ),
    ] {
        let file = part(page, start, end).ok_or_else(|| {
            io::Error::other(format!("{name} is not where it was in aide's page"))
        })?;
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(file.trim().as_bytes())?;
        fs::write(out_dir.join(format!("{name}.gz")), gzip.finish()?)?;
    }
    Ok(())
}

/// What stands between the first `start` and the `end` behind it.
fn part<'a>(page: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, behind) = page.split_once(start)?;
    let (part, _) = behind.split_once(end)?;
    Some(part)
}
