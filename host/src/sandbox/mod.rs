//! The sandboxed engine: the core's rules as a WebAssembly component, in one sandbox for
//! each tenant.
//!
//! [`Component`] is what all threads share: the engine and the compiled guest. Each worker
//! thread has [`Sandboxes`] of its own, so that no request waits for another thread's.
//! What a guest may ask is in `scope`; what becomes of one that misbehaves, in `call`.

mod call;
mod pause;
mod pool;
mod scope;
mod ticker;

use std::time::Duration;

use tenantry_component::{Precompiled, engine_config};
use wasmtime::{
    Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
    component::{HasSelf, Linker},
};

pub use self::{call::Fault, pool::Sandboxes};
use self::{scope::Scope, ticker::Ticker};

mod bindings {
    //! The world, as wasmtime generates it.
    wasmtime::component::bindgen!({
        path: "wit",
        world: "guest",
        imports: {
            // At hand, whatever the stores are.
            "wasi:random/random.get-random-u64": trappable,
            default: async,
        },
        exports: { default: async },
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

/// Whose sandboxes live how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Isolation {
    /// A sandbox serves one tenant, request after request.
    Tenant,
    /// A sandbox serves one request.
    Request,
}

/// What a sandbox may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SandboxLimits {
    /// How long a sandbox lives. Default is [`Isolation::Tenant`].
    pub isolation: Isolation,
    /// Sandboxes that a worker thread keeps, busy ones included. Over it, the one that
    /// was idle for longest makes room; where all are busy, or very many, requests wait.
    pub max_per_thread: usize,
    /// Running time of one request, in ticks of [`TICK`].
    pub deadline: Duration,
    /// Bytes of a sandbox's memory.
    pub max_memory: usize,
    /// Bytes of a sandbox's stack.
    pub max_stack: usize,
    /// Bytes of an answer's body.
    pub max_reply: usize,
}

impl SandboxLimits {
    /// Sandboxes that the thread beside a worker keeps, which answers large requests.
    #[must_use]
    pub fn max_aside(&self) -> usize {
        self.max_per_thread.min(MAX_ASIDE)
    }

    /// Sandboxes of so many workers and the threads beside them.
    #[must_use]
    pub fn total(&self, workers: usize) -> usize {
        workers.saturating_mul(self.max_per_thread.saturating_add(self.max_aside()))
    }
}

/// Sandboxes that are busy at a time, of those of a thread. While a store is slow, requests that
/// wait for it must not take the place of all that are idle.
fn max_busy(sandboxes: usize) -> usize {
    sandboxes.min(128)
}

/// Large requests are few: they come from few tenants at a time.
const MAX_ASIDE: usize = 32;

/// How often running guests let others run. A guest that runs longer gives its thread to
/// other requests at each tick.
pub const TICK: Duration = Duration::from_millis(5);

/// A sandbox that has grown past this is not used again: memory never shrinks.
const KEEP_MEMORY_BYTES: usize = 1 << 20;

/// Stack for the host's own functions, on top of a guest's.
const HOST_STACK_BYTES: usize = 256 << 10;

/// A compiled guest and the engine that runs it.
pub struct Component {
    limits: SandboxLimits,
    engine: Engine,
    pre: bindings::GuestPre<Scope>,
    _ticker: Ticker,
}

impl Component {
    /// What a sandbox may use.
    #[must_use]
    pub fn limits(&self) -> &SandboxLimits {
        &self.limits
    }

    /// Loads a guest for as many worker threads and the threads beside them.
    ///
    /// # Errors
    /// The guest is not for this engine, processor or world, or there is no address space
    /// for that many sandboxes.
    pub fn load(
        guest: &Precompiled,
        workers: usize,
        limits: SandboxLimits,
    ) -> Result<Self, wasmtime::Error> {
        let engine = Engine::new(&engine_settings(workers, &limits))?;
        let mut linker = Linker::new(&engine);
        bindings::Guest::add_to_linker::<_, HasSelf<_>>(&mut linker, |scope| scope)?;
        let component = guest.load(&engine)?;
        Ok(Self {
            limits,
            pre: bindings::GuestPre::new(linker.instantiate_pre(&component)?)?,
            _ticker: Ticker::start(engine.weak(), TICK),
            engine,
        })
    }
}

/// The settings that build script and server share, and those of the running engine.
fn engine_settings(workers: usize, limits: &SandboxLimits) -> wasmtime::Config {
    // So many that they can't be reserved are refused when they are.
    let sandboxes = u32::try_from(limits.total(workers)).unwrap_or(u32::MAX);
    // Where the system can say which pages were written, just those are cleared for the
    // next sandbox; where it can't, all up to this bound are.
    let keep_resident = if PoolingAllocationConfig::is_pagemap_scan_available() {
        KEEP_MEMORY_BYTES
    } else {
        KEEP_RESIDENT_BYTES
    };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(sandboxes)
        .total_core_instances(sandboxes.saturating_mul(CORE_INSTANCES))
        .total_memories(sandboxes)
        .total_tables(sandboxes.saturating_mul(TABLES))
        // An idle sandbox keeps the stack of its last request.
        .total_stacks(sandboxes)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(1)
        .max_tables_per_component(TABLES)
        .max_memory_size(limits.max_memory)
        .max_unused_warm_slots(sandboxes)
        .linear_memory_keep_resident(keep_resident)
        .table_keep_resident(keep_resident)
        .pagemap_scan(Enabled::Auto);
    let mut config = engine_config();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .max_wasm_stack(limits.max_stack)
        .async_stack_size(limits.max_stack + HOST_STACK_BYTES);
    config
}

/// Core modules in a component: the guest alone. Imports that took or gave more than
/// numbers would need two more, which tie them to the guest's memory.
const CORE_INSTANCES: u32 = 1;

/// Tables in a component: the guest's.
const TABLES: u32 = 1;

/// Bytes of a slot that are cleared by hand when it is used again, where the system can't
/// tell which were written: those that a usual request uses. The rest is given back to the
/// system, which costs a call and a page fault for each page that is used again.
const KEEP_RESIDENT_BYTES: usize = 320 << 10;
