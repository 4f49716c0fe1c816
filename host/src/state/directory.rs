//! The tenants of this server: found by id at any time, and changed one by one or all at
//! once, while requests are answered.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use hashbrown::{DefaultHashBuilder, HashMap};
use parking_lot::{Mutex, RwLock};
use std::hash::BuildHasher;
use tenantry_core::{
    contract::tenant_list,
    registry::{Registry, Row},
    session::TenantKey,
    tenancy::Unavailable,
};

use super::{Answer, Entry, Stage, TenantDirectory};

/// Parts of the map, each with a lock of its own.
const SHARDS: usize = 64;

type Shard = RwLock<HashMap<Box<str>, Arc<Entry>>>;

/// The tenants of this server.
pub struct Directory {
    hasher: DefaultHashBuilder,
    /// All tenants, archived ones included. Changed only while `order` is locked.
    shards: Box<[Shard]>,
    order: Mutex<Order>,
    /// The body of GET /; none where it has to be made anew. Written only while `order` is
    /// locked.
    list: RwLock<Option<Bytes>>,
    /// How many tenants are in each stage; none where they have to be counted anew.
    stages: Mutex<Option<[u64; 3]>>,
}

/// The tenants in the order in which they are listed.
#[derive(Default)]
struct Order {
    by_place: BTreeMap<u64, Arc<Entry>>,
    /// The next key that no tenant ever had; for tenants of a file.
    next_key: TenantKey,
}

/// What another version of the tenants file has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reloaded {
    /// Tenants that were not there before.
    pub added: usize,
    /// Tenants whose rows say something else.
    pub changed: usize,
    /// Tenants that are not there any more.
    pub removed: usize,
}

impl Default for Directory {
    fn default() -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            order: Mutex::default(),
            list: RwLock::default(),
            stages: Mutex::default(),
        }
    }
}

impl Directory {
    /// The tenants of a file, in its order.
    #[must_use]
    pub fn of(registry: Registry) -> Self {
        let directory = Self::default();
        directory.replace(registry);
        directory
    }

    fn shard(&self, id: &str) -> Option<&Shard> {
        let hash = self.hasher.hash_one(id);
        // The map inside of a shard looks at the highest and the lowest bits.
        self.shards.get((hash >> 32) as usize % SHARDS)
    }

    /// The tenant with that id, archived or not.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Arc<Entry>> {
        self.shard(id)?.read().get(id).cloned()
    }

    fn set(&self, entry: &Arc<Entry>) {
        if let Some(shard) = self.shard(entry.id()) {
            shard.write().insert(entry.id().into(), Arc::clone(entry));
        }
    }

    /// Adds a tenant, or changes it. It is listed in the order of the keys. An entry that
    /// says the same already stays, and so do its sandboxes.
    pub fn put(&self, key: TenantKey, row: Row, stage: Stage) -> Arc<Entry> {
        let mut order = self.order.lock();
        let known = self.get(row.tenant().id).filter(|known| known.key == key);
        if let Some(known) = &known
            && known.says(&row, stage)
        {
            return Arc::clone(known);
        }
        let account = known.map(|known| Arc::clone(&known.account));
        let entry = Entry::with_account(key, row, stage, account.unwrap_or_default());
        let entry = Arc::new(entry);
        self.set(&entry);
        order.by_place.insert(key.into(), Arc::clone(&entry));
        self.has_changed();
        entry
    }

    /// Forgets a tenant, if it is still the one with this key.
    pub fn forget(&self, key: TenantKey) -> Option<Arc<Entry>> {
        let mut order = self.order.lock();
        let entry = order.by_place.remove(&key.into())?;
        if let Some(shard) = self.shard(entry.id()) {
            let mut shard = shard.write();
            if shard.get(entry.id()).is_some_and(|found| found.key == key) {
                shard.remove(entry.id());
            }
        }
        self.has_changed();
        Some(entry)
    }

    /// Takes over what another version of the tenants file says, all of it.
    ///
    /// A tenant that the file has no longer is archived: should it come back, what was
    /// counted for it and its sessions do, too.
    pub fn replace(&self, registry: Registry) -> Reloaded {
        let mut order = self.order.lock();
        let mut gone = std::mem::take(&mut order.by_place);
        // Places change; what is left here in the end is what the file has no more.
        let mut gone: HashMap<TenantKey, Arc<Entry>> = std::mem::take(&mut gone)
            .into_values()
            .map(|entry| (entry.key, entry))
            .collect();
        let mut reloaded = Reloaded::default();
        for (place, row) in (0..).zip(registry.into_rows()) {
            let known = self.get(row.tenant().id);
            if let Some(known) = &known {
                gone.remove(&known.key);
            }
            let entry = match known {
                Some(known) if known.says(&row, Stage::Active) => known,
                Some(known) => {
                    if known.stage == Stage::Archived {
                        reloaded.added += 1;
                    } else {
                        reloaded.changed += 1;
                    }
                    let account = Arc::clone(&known.account);
                    let entry = Entry::with_account(known.key, row, Stage::Active, account);
                    let entry = Arc::new(entry);
                    self.set(&entry);
                    entry
                }
                None => {
                    reloaded.added += 1;
                    let key = order.next_key;
                    order.next_key += 1;
                    let entry = Arc::new(Entry::new(key, row, Stage::Active));
                    self.set(&entry);
                    entry
                }
            };
            order.by_place.insert(place, entry);
        }
        reloaded.removed = gone.len();
        for entry in gone.into_values() {
            let row = Row {
                packed: entry.packed.clone(),
                limits: entry.limits,
                other: entry.other.clone(),
            };
            let account = Arc::clone(&entry.account);
            let archived = Entry::with_account(entry.key, row, Stage::Archived, account);
            self.set(&Arc::new(archived));
        }
        self.has_changed();
        // Made before anybody has to wait for it.
        let list = list_of(&order);
        *self.list.write() = Some(list);
        reloaded
    }

    /// The tenant with that key, of those that were put.
    #[must_use]
    pub fn by_key(&self, key: TenantKey) -> Option<Arc<Entry>> {
        let order = self.order.lock();
        let entry = order.by_place.get(&key.into());
        entry.filter(|entry| entry.key == key).cloned()
    }

    /// Tenants in the order in which they are listed, each with its place, from the one
    /// behind `after`.
    #[must_use]
    pub fn page(&self, after: Option<u64>, max: usize) -> Vec<(u64, Arc<Entry>)> {
        let order = self.order.lock();
        let from = after.map_or(0, |place| place.saturating_add(1));
        let entries = order.by_place.range(from..).take(max);
        entries
            .map(|(place, entry)| (*place, Arc::clone(entry)))
            .collect()
    }

    /// Tenants that are listed or archived, and not forgotten.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.lock().by_place.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets what was made of the tenants as they were before. Called while `order` is
    /// locked.
    fn has_changed(&self) {
        *self.list.write() = None;
        *self.stages.lock() = None;
    }

    fn stages_now(&self) -> [u64; 3] {
        let order = self.order.lock();
        let mut counted = self.stages.lock();
        *counted.get_or_insert_with(|| {
            Stage::NAMES.map(|(_, stage)| {
                let in_stage = order.by_place.values().filter(|entry| entry.stage == stage);
                in_stage.count() as u64
            })
        })
    }

    fn list_now(&self, order: &Order) -> Bytes {
        let mut list = self.list.write();
        if let Some(list) = &*list {
            return list.clone();
        }
        let made = list_of(order);
        *list = Some(made.clone());
        made
    }
}

/// The body of GET /.
fn list_of(order: &Order) -> Bytes {
    let listed = order.by_place.values();
    let listed = listed.filter(|entry| entry.stage != Stage::Archived);
    Bytes::from(tenant_list(listed.map(|entry| entry.id())))
}

impl TenantDirectory for Arc<Directory> {
    fn find<'a>(&'a self, id: &'a str) -> Answer<'a, Result<Option<Arc<Entry>>, Unavailable>> {
        let found = self.get(id);
        Answer::Now(Ok(found.filter(|entry| entry.stage != Stage::Archived)))
    }

    fn look_up<'a>(&'a self, id: &'a str) -> Answer<'a, Result<Option<Arc<Entry>>, Unavailable>> {
        Answer::Now(Ok(self.get(id)))
    }

    fn tenant_list(&self) -> Answer<'_, Result<Bytes, Unavailable>> {
        if let Some(list) = &*self.list.read() {
            return Answer::Now(Ok(list.clone()));
        }
        Answer::Now(Ok(self.list_now(&self.order.lock())))
    }

    fn stages(&self) -> Option<[u64; 3]> {
        Some(self.stages_now())
    }
}
