//! A tenant as the server knows it, and what is counted for it.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tenantry_core::{
    limit::Window,
    registry::{Limits, Row},
    session::{Ledger, TenantKey},
    tenant::PackedTenant,
};

use super::usage::Meter;

/// Where a tenant is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// It is served.
    Active,
    /// It is listed, and its sessions and chats are answered with 403.
    Suspended,
    /// It is as unknown, and everything of it is kept.
    Archived,
}

impl Stage {
    /// Every stage and its name.
    pub const NAMES: [(&'static str, Self); 3] = [
        ("active", Self::Active),
        ("suspended", Self::Suspended),
        ("archived", Self::Archived),
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Archived => "archived",
        }
    }

    /// The stage of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let mut names = Self::NAMES.iter();
        names.find_map(|(known, stage)| (*known == name).then_some(*stage))
    }
}

/// One version of a tenant. What changes about it makes another entry, which keeps the key
/// and the account.
#[derive(Debug)]
pub struct Entry {
    /// Its number in this server's stores, never given to another tenant.
    pub key: TenantKey,
    /// What its answers need.
    pub packed: PackedTenant,
    /// What it may use.
    pub limits: Limits,
    /// Members of its row that are kept and not looked at; see [`Row::other`].
    pub other: Box<str>,
    /// Where it is in its life.
    pub stage: Stage,
    /// What is counted for it.
    pub account: Arc<Account>,
}

impl Entry {
    /// A tenant for which nothing was counted yet.
    #[must_use]
    pub fn new(key: TenantKey, row: Row, stage: Stage) -> Self {
        Self::with_account(key, row, stage, Arc::default())
    }

    /// A tenant for which something was counted.
    #[must_use]
    pub fn with_account(key: TenantKey, row: Row, stage: Stage, account: Arc<Account>) -> Self {
        Self {
            key,
            packed: row.packed.suspended(stage == Stage::Suspended),
            limits: row.limits,
            other: row.other,
            stage,
            account,
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.packed.tenant().id
    }

    /// Whether this entry says all that the row and the stage say.
    pub(super) fn says(&self, row: &Row, stage: Stage) -> bool {
        self.stage == stage
            && self.limits == row.limits
            && self.other == row.other
            && self.packed.tenant()
                == row
                    .packed
                    .clone()
                    .suspended(stage == Stage::Suspended)
                    .tenant()
    }
}

/// What is counted for a tenant in this process, whatever its row says.
#[derive(Debug, Default)]
pub struct Account {
    /// Its sessions in this process's memory. Locked only while a table of sessions is.
    pub(super) sessions: Mutex<Ledger>,
    /// Its chats of the last seconds.
    pub(super) chats: Mutex<Window>,
    /// What it used and nobody has collected yet.
    pub(super) meter: OnceLock<Box<Meter>>,
}
