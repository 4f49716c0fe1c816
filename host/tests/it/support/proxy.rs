//! A network that fails when a test says so: a proxy between a server and its store.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// What happens to what goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    /// It goes through.
    Fine,
    /// It is taken, and goes no further until the network has healed.
    Stalled,
    /// Connections are closed, and so are new ones at once.
    Cut,
    /// The proxy has gone.
    Over,
}

/// A TCP proxy in this process; gone at the end of the test.
pub(crate) struct Proxy {
    /// Where to connect to.
    pub(crate) address: SocketAddr,
    network: Arc<Network>,
}

struct Network {
    target: Mutex<SocketAddr>,
    weather: Mutex<Weather>,
    /// Connections before this one are forgotten: what is sent on them goes no further, and
    /// nobody hears that.
    first_known: AtomicUsize,
    /// Connections so far.
    connections: AtomicUsize,
    changed: Condvar,
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// A proxy to this address, where somebody may listen or not.
    pub(crate) fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let network = Arc::new(Network {
            target: Mutex::new(target),
            first_known: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            weather: Mutex::new(Weather::Fine),
            changed: Condvar::new(),
            open: Mutex::default(),
        });
        thread::spawn({
            let network = Arc::clone(&network);
            move || {
                for client in listener.incoming() {
                    match *network.weather() {
                        Weather::Over => return,
                        Weather::Cut => continue,
                        Weather::Fine | Weather::Stalled => {}
                    }
                    let Ok(client) = client else { continue };
                    let network = Arc::clone(&network);
                    thread::spawn(move || network.carry(client));
                }
            }
        });
        Self { address, network }
    }

    /// Closes all connections, and each new one.
    pub(crate) fn cut(&self) {
        self.network.set(Weather::Cut);
        for stream in self.network.open().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Keeps all that is sent, without closing anything.
    pub(crate) fn stall(&self) {
        self.network.set(Weather::Stalled);
    }

    /// Forgets all connections without a word, as a firewall does with idle ones. New ones go
    /// through.
    pub(crate) fn forget(&self) {
        let connections = self.network.connections.load(Ordering::SeqCst);
        self.network
            .first_known
            .store(connections, Ordering::SeqCst);
    }

    /// Leads new connections to another address. Those that are open stay as they are.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        *self.network.target.lock().expect("nobody panics with it") = target;
    }

    /// Lets everything through again.
    pub(crate) fn heal(&self) {
        self.network.set(Weather::Fine);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
        self.network.set(Weather::Over);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Network {
    fn weather(&self) -> MutexGuard<'_, Weather> {
        self.weather.lock().expect("nobody panics with it")
    }

    fn open(&self) -> MutexGuard<'_, Vec<TcpStream>> {
        self.open.lock().expect("nobody panics with it")
    }

    fn set(&self, weather: Weather) {
        *self.weather() = weather;
        self.changed.notify_all();
    }

    /// Waits while nothing goes through.
    fn wait(&self) {
        let stalled = |weather: &mut Weather| *weather == Weather::Stalled;
        let waited = self.changed.wait_while(self.weather(), stalled);
        drop(waited.expect("nobody panics with it"));
    }

    /// Carries one connection to its end.
    fn carry(&self, client: TcpStream) {
        self.wait();
        let number = self.connections.fetch_add(1, Ordering::SeqCst);
        let timeout = Duration::from_secs(5);
        let target = *self.target.lock().expect("nobody panics with it");
        let Ok(server) = TcpStream::connect_timeout(&target, timeout) else {
            let _ = client.shutdown(Shutdown::Both);
            return;
        };
        for stream in [&client, &server] {
            let _ = stream.set_nodelay(true);
            let kept = stream.try_clone().expect("a socket");
            self.open().push(kept);
        }
        if *self.weather() == Weather::Cut {
            let _ = client.shutdown(Shutdown::Both);
            return;
        }
        thread::scope(|scope| {
            scope.spawn(|| self.copy(number, &client, &server));
            self.copy(number, &server, &client);
        });
    }

    /// Carries one direction to its end.
    fn copy(&self, number: usize, mut from: &TcpStream, mut to: &TcpStream) {
        let mut bytes = [0; 16 << 10];
        while let Ok(read @ 1..) = from.read(&mut bytes) {
            self.wait();
            if number < self.first_known.load(Ordering::SeqCst) {
                continue;
            }
            if to.write_all(&bytes[..read]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}
