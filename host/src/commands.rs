//! What is done once and without a server: checking a file, importing and exporting tenants,
//! bringing a database up to date.

use std::{
    fs, io,
    io::{IsTerminal as _, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    opts::{ExportTask, ImportTask},
    state::{
        Author, SystemClock,
        sql::{self, ExportError, Exported, ImportError, OpenError, Place, StoreSettings},
    },
    tenants_file::{self, ReadError},
    terminal::{Escaping, Kind, escaped_lines},
};

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The tenants file was not taken.
    #[error(transparent)]
    Tenants(#[from] ReadError),
    /// Nothing was imported.
    #[error(transparent)]
    Import(ImportError),
    /// The database was not brought up to date.
    #[error(transparent)]
    Migrate(#[from] OpenError),
    /// Tenants were not exported, or not all of them.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The file to export to cannot be made.
    #[error("{}: the file cannot be written", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Standard output is closed.
    #[error("standard output cannot be written to")]
    Output(#[source] io::Error),
}

impl Error {
    /// What the program exits with: 2 where a file is wrong, 1 where the machine or the
    /// database is not as it should be.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Tenants(_) => 2,
            Self::Import(_)
            | Self::Migrate(_)
            | Self::Export(_)
            | Self::Unwritable { .. }
            | Self::Output(_) => 1,
        }
    }
}

/// Checks a tenants file: says on `out` what is odd about it, and how many tenants it has.
///
/// # Errors
/// It cannot be read, or has problems, which are all named.
pub fn check(path: &Path, out: &mut dyn Write) -> Result<(), Error> {
    let parsed = tenants_file::read(path)?;
    let file = tenants_file::named(path).display().to_string();
    let mut lines = String::new();
    for warning in &parsed.warnings {
        lines += &format!("{}\n", warning.in_file(&file));
    }
    lines += &format!("{file}: {parsed}\n");
    out.write_all(escaped_lines(&lines).as_bytes())
        .map_err(Error::Output)
}

/// Puts the tenants of a file into a database, and says on `out` how many they are.
///
/// # Errors
/// The file cannot be read or has problems, or the database cannot be used or has tenants.
pub fn import(task: &ImportTask, out: &mut dyn Write) -> Result<(), Error> {
    let path = &task.file;
    let text = tenants_file::text(path)?;
    let by = Author {
        who: "tenantry import".to_owned(),
        request_id: String::new(),
    };
    let file = tenants_file::named(path).display().to_string();
    let mut lines = String::new();
    match sql::import(&store(task.place.clone()), &text, by, &SystemClock::new()) {
        Ok(imported) => {
            for warning in &imported.parsed.warnings {
                lines += &format!("{}\n", warning.in_file(&file));
            }
            let (place, parsed) = (&task.place, &imported.parsed);
            lines += &format!("{file}: {parsed} imported into {place}\n");
        }
        Err(ImportError::Invalid(problems)) => {
            return Err(Error::Tenants(ReadError::Invalid {
                path: tenants_file::named(path),
                problems: problems.0,
            }));
        }
        Err(ImportError::NotEmpty { place, count }) if task.if_empty => {
            lines += &format!("{place} has {count} tenants already; nothing was imported\n");
        }
        Err(error) => return Err(Error::Import(error)),
    }
    warn_of(&task.place);
    out.write_all(escaped_lines(&lines).as_bytes())
        .map_err(Error::Output)
}

/// Brings a database up to date, and says so on `out`.
///
/// # Errors
/// The database cannot be used, or this role may not change it.
pub fn migrate(place: Place, out: &mut dyn Write) -> Result<(), Error> {
    let settings = store(place);
    sql::migrate(&settings)?;
    warn_of(&settings.place);
    let line = format!("{}: the schema is up to date\n", settings.place);
    out.write_all(escaped_lines(&line).as_bytes())
        .map_err(Error::Output)
}

/// Says what is odd about how a database is kept.
#[expect(clippy::print_stderr, reason = "standard output may be the file")]
fn warn_of(place: &Place) {
    for warning in place.warnings() {
        eprintln!("warning: {}", escaped_lines(&warning));
    }
}

/// Writes the tenants of a database as a tenants file.
///
/// # Errors
/// The database cannot be used, or the file not written.
pub fn export(task: &ExportTask) -> Result<(), Error> {
    let settings = store(task.place.clone());
    let exported = match &task.file {
        // JSON says the same with its escapes.
        None if io::stdout().is_terminal() => {
            let mut out = Escaping::new(io::stdout().lock(), Kind::Json);
            sql::export(&settings, task.archived, &mut out)?
        }
        None => sql::export(&settings, task.archived, &mut io::stdout().lock())?,
        Some(path) => {
            let unwritable = |source| Error::Unwritable {
                path: path.clone(),
                source,
            };
            let target = Target::of(path);
            let written = (|| {
                let file = fs::File::create(&target.partial).map_err(unwritable)?;
                let mut file = io::BufWriter::new(file);
                let exported = sql::export(&settings, task.archived, &mut file)?;
                target.finish().map_err(unwritable)?;
                Ok(exported)
            })();
            written.inspect_err(|_: &Error| target.give_up())?
        }
    };
    warn(&exported, task.archived);
    warn_of(&settings.place);
    Ok(())
}

/// A file that is to be written, all of it or not at all.
struct Target {
    path: PathBuf,
    /// What is written; something else than a file is written at once.
    partial: PathBuf,
}

impl Target {
    fn of(path: &Path) -> Self {
        // Where a link leads to is written, and not the link.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let is_file = fs::metadata(&path).map_or(true, |found| found.is_file());
        let partial = match path.file_name() {
            Some(name) if is_file => {
                let mut name = name.to_owned();
                name.push(format!(".{}.partial", std::process::id()));
                path.with_file_name(name)
            }
            _ => path.clone(),
        };
        Self { path, partial }
    }

    /// All of it is written.
    fn finish(&self) -> io::Result<()> {
        if self.path == self.partial {
            return Ok(());
        }
        if let Ok(replaced) = fs::metadata(&self.path) {
            fs::set_permissions(&self.partial, replaced.permissions())?;
        }
        fs::File::open(&self.partial)?.sync_all()?;
        fs::rename(&self.partial, &self.path)
    }

    fn give_up(&self) {
        if self.path != self.partial {
            // It may not have been made.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

/// Says what a tenants file cannot.
#[expect(clippy::print_stderr, reason = "standard output may be the file")]
fn warn(exported: &Exported, with_archived: bool) {
    if exported.suspended > 0 {
        eprintln!(
            "warning: {} of the tenants are suspended; as a file cannot say so, they would be \
             active where it is used",
            exported.suspended
        );
    }
    if exported.archived > 0 {
        let written = if with_archived {
            "written, too"
        } else {
            "not written"
        };
        eprintln!(
            "warning: {} archived tenants were {written}",
            exported.archived
        );
    }
}

/// How a command uses a database, which may take its time.
fn store(place: Place) -> StoreSettings {
    StoreSettings {
        place,
        timeout: Duration::from_secs(60),
        create: false,
    }
}
