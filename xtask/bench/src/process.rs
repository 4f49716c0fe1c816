//! Servers that are measured, and what the system says of their processes.

use std::{
    fs,
    io::{BufRead, BufReader, Write as _},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use tenantry_stores::children;

use crate::place::{SERVER, on_processor};

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server; it ends with this.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
}

/// How many worker threads a server has, and where they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workers {
    /// One, on a processor of its own.
    One,
    /// As many as there are processors, wherever the system lets them run.
    All,
}

impl Server {
    /// Starts tenantry, or a program with its options, for the tenants of that file.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn tenantry(
        program: &Path,
        tenants: &Path,
        workers: Workers,
        args: &[&str],
    ) -> Result<Self> {
        let mut command = match workers {
            Workers::One => on_processor(SERVER, &program.to_string_lossy()),
            Workers::All => Command::new(program),
        };
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        if workers == Workers::One {
            command.args(["--threads", "1"]);
        }
        command
            .arg("--tenants")
            .arg(tenants)
            .args(args)
            // Where the arguments say nothing else.
            .env("TENANTRY_LOG_FILTER", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().context("the server can't be started")?;
        let stdout = child.stdout.take().context("the server has no output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let server = Self {
            child,
            address: line.trim().to_owned(),
        };
        ensure!(!server.address.is_empty(), "the server did not start");
        Ok(server)
    }

    /// Starts nginx with one worker, which answers every request with these bytes.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn nginx(folder: &Path, body: &str) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let quoted = body.replace('\\', "\\\\").replace('"', "\\\"");
        let folder_text = folder.display();
        let configuration = format!(
            "daemon off; worker_processes 1; pid {folder_text}/nginx.pid; error_log stderr;\n\
             events {{ worker_connections 20000; }}\n\
             http {{ access_log off; default_type application/json; keepalive_requests 100000000;\n\
             client_body_temp_path {folder_text}/body; server {{ listen {address};\n\
             location / {{ return 200 \"{quoted}\"; }} }} }}\n"
        );
        let file = folder.join("nginx.conf");
        fs::write(&file, configuration).with_context(|| file.display().to_string())?;
        let mut command = on_processor(SERVER, "nginx");
        command.arg("-p").arg(folder).arg("-c").arg(&file);
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        let server = Self {
            child: child.context("nginx can't be started")?,
            address,
        };
        let start = Instant::now();
        while std::net::TcpStream::connect(&server.address).is_err() {
            if start.elapsed() > PATIENCE {
                bail!("nginx does not listen");
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    /// Seconds that the server's processes have run.
    ///
    /// # Errors
    /// The system does not say.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let pid = self.child.id();
        let mut ticks = 0;
        for pid in children(pid)?.into_iter().chain([pid]) {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
            // The name, in parentheses, may have blanks; what follows has none.
            let (_, rest) = stat.rsplit_once(')').context("/proc/PID/stat")?;
            let fields = rest.split_whitespace().skip(11).take(2);
            ticks += fields
                .filter_map(|field| field.parse::<u64>().ok())
                .sum::<u64>();
        }
        // Linux counts in hundredths of a second, whatever its own clock is.
        Ok(ticks as f64 / 100.0)
    }

    /// Waits until the server has nothing to do: what clients no longer wait for may go on.
    ///
    /// # Errors
    /// It always has something to do.
    pub(crate) fn wait_until_idle(&self) -> Result<()> {
        let start = Instant::now();
        loop {
            let before = self.cpu_seconds()?;
            thread::sleep(Duration::from_millis(500));
            // Time is counted in steps of this size.
            if self.cpu_seconds()? - before < 0.015 {
                return Ok(());
            }
            ensure!(start.elapsed() < PATIENCE, "the server is never idle");
        }
    }

    /// Bytes of memory that the process takes. What is there once and mapped several times, as
    /// the pages that sandboxes share are, counts once (the proportional set size), and so do
    /// its page tables.
    ///
    /// # Errors
    /// The system does not say.
    pub(crate) fn resident_bytes(&self) -> Result<f64> {
        let kib = |file: &str, name: &str| {
            let text = fs::read_to_string(format!("/proc/{}/{file}", self.child.id()))?;
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
            kib.with_context(|| format!("/proc/PID/{file} has no {name}"))
        };
        Ok((kib("smaps_rollup", "Pss:")? + kib("status", "VmPTE:")?) * 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx ends its worker by itself when it is asked to end.
        let asked = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        if asked.is_err() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// Writes a tenants file with so many tenants, `t0`, `t1`, ..., without limits; the last one,
/// `spent`, may not chat at all.
///
/// # Errors
/// The file can't be written.
pub(crate) fn write_tenants(path: &Path, count: usize) -> Result<()> {
    write_rows(path, count, "")
}

/// The same, where chats are counted, but none is refused: each tenant may have a million
/// in any ten seconds.
///
/// # Errors
/// The file can't be written.
pub(crate) fn write_limited_tenants(path: &Path, count: usize) -> Result<()> {
    write_rows(path, count, r#","limits":{"chat_per_10s":1000000}"#)
}

fn write_rows(path: &Path, count: usize, more: &str) -> Result<()> {
    let mut file = std::io::BufWriter::new(fs::File::create(path)?);
    for n in 0..count {
        writeln!(
            file,
            r#"{{"id":"t{n}","name":"Tenant {n}","welcome":"Howdy from {n}!","model":"mock-1","reply":{{"style":"reverse","tag":"MOCK"}}{more}}}"#
        )?;
    }
    writeln!(
        file,
        r#"{{"id":"spent","name":"Spent","welcome":"Hi.","limits":{{"chat_per_10s":0}}}}"#
    )?;
    file.flush().with_context(|| path.display().to_string())
}
