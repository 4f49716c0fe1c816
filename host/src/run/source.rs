//! Where tenants and state come from: a file and memory, or a database.

use std::sync::Arc;

use tenantry_core::{memory, registry::Parsed};

use super::Error;
use crate::{
    opts::{ServeTask, StateKind},
    state::{
        Clock, Directory, State,
        sql::{Opening, SqlStore, StoreSettings},
    },
    tenants_file::{self, Seen, TenantsFile},
};

/// Where tenants come from, known to be usable as far as it can be before the log begins.
pub(super) enum Source {
    File {
        file: TenantsFile,
        /// How the file looked before it was read: what changes from then on is seen.
        seen: Seen,
        parsed: Parsed,
    },
    Database(StoreSettings),
}

/// State that can be served from.
pub(super) struct Opened {
    pub(super) directory: Arc<Directory>,
    pub(super) state: State,
    /// The database, where there is one.
    pub(super) store: Option<SqlStore>,
    /// The tenants file and how it looked when it was read, where there is one.
    pub(super) file: Option<(TenantsFile, Seen)>,
}

impl Source {
    pub(super) fn find(task: &ServeTask) -> Result<Self, Error> {
        if let StateKind::Database(place) = &task.state {
            return Ok(Self::Database(StoreSettings {
                place: place.clone(),
                timeout: task.store_timeout,
                create: task.state_create,
            }));
        }
        let seen = tenants_file::look(&task.tenants);
        let (file, parsed) = TenantsFile::open(task.tenants.clone())?;
        Ok(Self::File { file, seen, parsed })
    }

    /// Logs what is odd about the tenants file.
    pub(super) fn warn(&self, task: &ServeTask) {
        if let Self::File { parsed, .. } = self {
            let file = task.tenants.display().to_string();
            for warning in &parsed.warnings {
                tracing::warn!("{}", warning.in_file(&file));
            }
        }
    }

    /// What says that it is being opened, where that may take a while.
    pub(super) fn opening(&self) -> Option<Arc<Opening>> {
        match self {
            Self::File { .. } => None,
            Self::Database(settings) => Some(Arc::new(Opening::new(&settings.place))),
        }
    }

    /// Opens it. A database that is out of reach is waited for, unless `stop` is over before;
    /// `opening` knows meanwhile what is waited for.
    pub(super) fn open(
        self,
        task: &ServeTask,
        rules: memory::Settings,
        clock: &Arc<dyn Clock>,
        opening: Option<&Opening>,
        stop: impl Future<Output = ()>,
    ) -> Result<Opened, Error> {
        match self {
            Self::File { file, seen, parsed } => {
                let directory = Arc::new(Directory::of(parsed.registry));
                let path = task.tenants.clone();
                let state =
                    State::in_memory(Arc::clone(&directory), path, rules, Arc::clone(clock));
                Ok(Opened {
                    directory,
                    state,
                    store: None,
                    file: Some((file, seen)),
                })
            }
            Self::Database(settings) => {
                let clock = Arc::clone(clock);
                let (store, state) = match opening {
                    Some(opening) => {
                        let wait = task.store_wait;
                        SqlStore::open_in(&settings, rules, clock, opening, wait, stop)?
                    }
                    None => SqlStore::open(&settings, rules, clock)?,
                };
                for warning in settings.place.warnings() {
                    tracing::warn!("{warning}");
                }
                Ok(Opened {
                    directory: Arc::clone(store.directory()),
                    state,
                    store: Some(store),
                    file: None,
                })
            }
        }
    }
}
