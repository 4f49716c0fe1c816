//! The server in this process: any engine, any limits, and a clock that is set by hand.

use std::{net::SocketAddr, sync::Arc, thread::JoinHandle};

use tenantry::{
    GUEST,
    engine::{Engine, EngineKind},
    opts::{self, ServeTask, Task},
    run,
    sandbox::{Component, Isolation},
    server::{self, Server, Shutdown},
    state::{Directory, ManualClock, State},
};
use tenantry_component::Precompiled;
use tenantry_conformance::TENANTS;
use tenantry_core::registry::Registry;

/// The ways of running the core in this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// A sandbox for each tenant.
    Tenant,
    /// A sandbox for each request.
    Request,
    /// No sandbox.
    Native,
}

impl Way {
    pub(crate) const ALL: [Self; 3] = [Self::Tenant, Self::Request, Self::Native];
}

/// A server that is to be started.
pub(crate) struct Setup {
    /// The text of the tenants file.
    pub(crate) tenants: String,
    /// What the command line would say: the defaults, but for what is told at [`new`].
    ///
    /// [`new`]: Setup::new
    pub(crate) task: ServeTask,
    /// Stands still until a test moves it.
    pub(crate) clock: Arc<ManualClock>,
    /// The code of its sandboxes.
    pub(crate) guest: &'static Precompiled,
}

impl Setup {
    /// The three recorded tenants without limits, two worker threads, few sandboxes.
    pub(crate) fn new(way: Way) -> Self {
        let mut task = default_task();
        task.engine = match way {
            Way::Tenant | Way::Request => EngineKind::Wasm,
            Way::Native => EngineKind::Native,
        };
        task.sandbox.isolation = match way {
            Way::Request => Isolation::Request,
            Way::Tenant | Way::Native => Isolation::Tenant,
        };
        task.sandbox.max_per_thread = 16;
        task.rules.limits = false;
        task.server.threads = 2;
        task.server.max_connections = 512;
        Self {
            tenants: TENANTS.to_owned(),
            task,
            clock: Arc::default(),
            guest: &GUEST,
        }
    }

    /// The same with the limits of the tenants file.
    pub(crate) fn limited(way: Way) -> Self {
        let mut setup = Self::new(way);
        setup.task.rules.limits = true;
        setup
    }

    /// State in memory, for these tenants.
    pub(crate) fn state(&self) -> State {
        let parsed = Registry::parse(self.tenants.as_bytes()).expect("tenants without problems");
        let clock = Arc::clone(&self.clock);
        let directory = Arc::new(Directory::of(parsed.registry));
        State::in_memory(directory, self.task.tenants.clone(), self.task.rules, clock)
    }

    /// The compiled guest; none for the native engine.
    pub(crate) fn component(&self) -> Option<Arc<Component>> {
        let ServeTask {
            sandbox, server, ..
        } = &self.task;
        let load = || Component::load(self.guest, server.threads, *sandbox).expect("a component");
        (self.task.engine == EngineKind::Wasm).then(|| Arc::new(load()))
    }

    /// An engine for the calling thread, without a server.
    pub(crate) fn engine(&self) -> Engine {
        Engine::new(Arc::new(self.state()), self.component())
    }

    /// Starts the server.
    pub(crate) fn start(self) -> Served {
        let state = self.state();
        self.start_with(state)
    }

    /// Starts the server with this state.
    pub(crate) fn start_with(self, state: State) -> Served {
        self.start_sharing(Arc::new(state))
    }

    /// Starts the server with a state that others may see, too.
    pub(crate) fn start_sharing(self, state: Arc<State>) -> Served {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = server::bind(any_port).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let component = self.component();
        let extras = run::extras(&self.task).expect("a page that can be served");
        let server = Server::new(listener, self.task.server, Arc::clone(&state), component)
            .with_extras(extras);
        Served {
            address,
            clock: self.clock,
            state,
            shutdown: server.shutdown(),
            thread: Some(std::thread::spawn(move || {
                server.run().expect("the server runs");
            })),
        }
    }
}

/// What `tenantry serve` does without a flag.
pub(crate) fn default_task() -> ServeTask {
    let args = ["tenantry", "serve"].map(Into::into);
    match opts::parse(args, None) {
        Ok(Task::Serve(task)) => *task,
        other => panic!("{other:?}"),
    }
}

/// A running server; stopped at the end of the test.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) state: Arc<State>,
    pub(crate) shutdown: Shutdown,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    /// Waits until the server has stopped.
    pub(crate) fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server did not panic");
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.shutdown.now();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(
                ended.is_ok() || std::thread::panicking(),
                "the server panicked"
            );
        }
    }
}
