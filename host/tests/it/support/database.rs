//! Databases for tests: files of SQLite, and real servers of PostgreSQL.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use tenantry::state::sql::{Place, StoreSettings};

use super::{ports::free_port, program};

/// A folder of the test's own, gone with it.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let n = COUNT.fetch_add(1, Ordering::SeqCst);
        let name = format!("tenantry-test-{}-{n}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A database that is empty.
pub(crate) trait Database {
    /// Where it is.
    fn place(&self) -> Place;

    /// How it is used.
    fn settings(&self) -> StoreSettings {
        StoreSettings {
            place: self.place(),
            timeout: Duration::from_secs(20),
            create: true,
        }
    }

    /// What `--state` says.
    fn state(&self) -> String;
}

/// Has the program import a tenants file; there is no tenant yet.
pub(crate) fn import(database: &dyn Database, file: &str) {
    import_into(&database.state(), file);
}

/// The same for the database of that `--state`.
pub(crate) fn import_into(state: &str, file: &str) {
    let import = program::run(&["import", "--state", state, file]);
    let error = String::from_utf8_lossy(&import.stderr);
    assert!(import.status.success(), "{error}");
}

/// A file of SQLite.
pub(crate) struct Sqlite(pub(crate) Folder);

impl Sqlite {
    pub(crate) fn new() -> Self {
        Self(Folder::new())
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.join("a tenant's #1?.db")
    }
}

impl Database for Sqlite {
    fn place(&self) -> Place {
        Place::Sqlite(self.path())
    }

    fn state(&self) -> String {
        format!("sqlite:{}", self.path().display())
    }
}

/// A server of PostgreSQL, stopped at the end of the test.
pub(crate) struct Postgres {
    folder: Folder,
    pub(crate) port: u16,
}

impl Postgres {
    #[expect(clippy::print_stderr, reason = "what a test could not try")]
    /// A new server; none where PostgreSQL is not installed and nobody has said that it is.
    pub(crate) fn start() -> Option<Self> {
        if find("initdb").is_none() {
            let must = std::env::var_os("TENANTRY_TEST_POSTGRES").is_some();
            assert!(!must, "there is no initdb");
            eprintln!("skipped: PostgreSQL is not installed");
            return None;
        }
        Some(Self::start_in(Folder::new()))
    }

    /// The same on a disk of its own, which must outlive it.
    pub(crate) fn start_on(disk: &super::disk::SmallDisk) -> Option<Self> {
        find("initdb")?;
        let folder = disk.join("postgres");
        fs::create_dir(&folder).expect("a folder");
        Some(Self::start_in(Folder(folder)))
    }

    fn start_in(folder: Folder) -> Self {
        // It refuses to run as root.
        let data = folder.join("data");
        fs::create_dir(&data).expect("a folder");
        if let Some((user, group)) = unprivileged() {
            std::os::unix::fs::chown(&data, Some(user), Some(group)).expect("a new owner");
            std::os::unix::fs::chown(&folder.0, Some(user), Some(group)).expect("a new owner");
        }
        let password = folder.join("password");
        fs::write(&password, "secret\n").expect("a file");
        let password = password.display().to_string();
        let args = [
            "--auth=scram-sha-256",
            "--username=tenantry",
            "--encoding=UTF8",
        ];
        let mut initdb = program("initdb");
        initdb
            .args(args)
            .arg(format!("--pwfile={password}"))
            .arg("-D")
            .arg(&data);
        run(&mut initdb);
        let port = free_port();
        let server = Self { folder, port };
        server.run();
        server
    }

    /// A standby of this server, which follows it.
    pub(crate) fn standby(&self) -> Self {
        let folder = Folder::new();
        if let Some((user, group)) = unprivileged() {
            std::os::unix::fs::chown(&folder.0, Some(user), Some(group)).expect("a new owner");
        }
        let port = free_port();
        let standby = Self { folder, port };
        let data = standby.data().display().to_string();
        let url = self.state();
        let args = ["-R", "-c", "fast", "-X", "stream", "-D", &data, "-d", &url];
        self.call("pg_basebackup", &args);
        standby.run();
        standby
    }

    /// Has the server, which is stopped, take encrypted connections alone, with this certificate
    /// and key.
    pub(crate) fn encrypt(&self, certificate: &str, key: &str) {
        let data = self.data();
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            let file = data.join(name);
            fs::write(&file, text).expect("a file");
            if let Some((user, group)) = unprivileged() {
                std::os::unix::fs::chown(&file, Some(user), Some(group)).expect("a new owner");
            }
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::Permissions::from_mode(0o600);
            fs::set_permissions(&file, mode).expect("a mode");
        }
        let access = "hostssl all all 127.0.0.1/32 scram-sha-256\n";
        fs::write(data.join("pg_hba.conf"), access).expect("a file");
        let settings = data.join("postgresql.conf");
        let text = fs::read_to_string(&settings).expect("a file");
        fs::write(&settings, text + "\nssl = on\n").expect("a file");
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Starts the server, which is stopped.
    pub(crate) fn run(&self) {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories='{}' \
             -c shared_buffers=16MB -c max_connections=100",
            self.port,
            self.folder.0.display()
        );
        let log = self.data().join("log");
        // After a kill, what it has started is gone a moment later; until then the data is
        // still theirs.
        let start = Instant::now();
        loop {
            let mut pg_ctl = program("pg_ctl");
            pg_ctl.args(["start", "-w", "-D"]).arg(self.data());
            pg_ctl.arg("-o").arg(&options).arg("-l").arg(&log);
            // What it starts must not keep a pipe of this process open.
            let null = std::process::Stdio::null;
            let status = pg_ctl.stdin(null()).stdout(null()).stderr(null()).status();
            if status.expect("pg_ctl runs").success() {
                return;
            }
            let log = fs::read_to_string(&log).unwrap_or_default();
            assert!(start.elapsed() < super::client::PATIENCE, "{log}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Stops the server; `fast` cuts its clients off, `immediate` is a crash.
    pub(crate) fn stop(&self, mode: &str) {
        let mut stop = program("pg_ctl");
        run(stop.args(["stop", "-w", "-m", mode, "-D"]).arg(self.data()));
    }

    /// Kills the server with a signal that it can't catch.
    pub(crate) fn kill(&self) {
        let pid = fs::read_to_string(self.data().join("postmaster.pid")).expect("it runs");
        let pid = pid.lines().next().expect("a number");
        run(Command::new("kill").args(["-KILL", pid]));
    }

    /// A folder that the user of PostgreSQL's programs may write to.
    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Runs a program of PostgreSQL.
    pub(crate) fn call(&self, name: &str, args: &[&str]) {
        run(program(name).args(args));
    }

    /// Runs a statement, as whoever owns the database.
    pub(crate) fn sql(&self, statement: &str) {
        let mut psql = program("psql");
        psql.args(["-q", "-v", "ON_ERROR_STOP=1", "-c", statement]);
        run(psql.arg(self.state()));
    }

    /// What a statement finds, as whoever owns the database: a row a line.
    pub(crate) fn query(&self, statement: &str) -> String {
        let mut psql = program("psql");
        psql.args(["-q", "-A", "-t", "-c", statement]);
        let found = psql.arg(self.state()).output().expect("psql runs");
        assert!(found.status.success(), "{found:?}");
        String::from_utf8(found.stdout).expect("UTF-8")
    }

    /// The URL by another port: that of a proxy before it.
    pub(crate) fn url_by(&self, port: u16) -> String {
        format!("postgres://tenantry:secret@127.0.0.1:{port}/postgres")
    }
}

impl Database for Postgres {
    fn place(&self) -> Place {
        self.state().parse().expect("a URL")
    }

    fn state(&self) -> String {
        self.url_by(self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let mut stop = program("pg_ctl");
        stop.args(["stop", "-m", "immediate", "-D"])
            .arg(self.data());
        let _ = stop.output();
    }
}

/// A program of PostgreSQL, wherever Debian has it, as a user that is not root.
fn program(name: &str) -> Command {
    let mut command = Command::new(find(name).expect("it was found before"));
    if let Some((user, group)) = unprivileged() {
        use std::os::unix::process::CommandExt as _;
        command.uid(user).gid(group);
    }
    command.current_dir("/");
    command
}

/// Where a program of PostgreSQL is.
fn find(name: &str) -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = (13..30)
        .rev()
        .map(|version| format!("/usr/lib/postgresql/{version}/bin").into())
        .collect();
    folders.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    let programs = folders.iter().map(|folder| folder.join(name));
    programs.into_iter().find(|program| program.exists())
}

/// Who runs what refuses to be run by root, where this is root: `nobody`.
pub(crate) fn unprivileged() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt as _;
    let myself = fs::metadata("/proc/self").expect("Linux").uid();
    (myself == 0).then_some((65534, 65534))
}

fn run(command: &mut Command) {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
}
