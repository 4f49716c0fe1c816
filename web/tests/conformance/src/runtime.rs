//! A JavaScript runtime with the package in it.

use std::{
    fmt, fs,
    io::{BufRead, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use data_encoding::BASE64;
use serde_json::{Value, json};
use tenantry_conformance::{Exchange, Outcome, Reply, Runner, Wire};

/// Why a `Request` can't carry an exchange; `answers.mjs` has the same list.
const REASONS: [&str; 6] = [
    "a Request can't carry it",
    "a Request joins headers of one name",
    "a Request to read has no body",
    "a Request trims headers",
    "a Request writes methods in capitals",
    "a URL is written anew",
];

/// How long a process may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// By which function of the package a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// `handle`
    Handle,
    /// `fetch`
    Fetch,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Handle => "handle",
            Self::Fetch => "fetch",
        })
    }
}

/// How the service is set up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    limits: bool,
    ttl: Duration,
    max_sessions: u32,
}

impl Options {
    /// As the exchanges were recorded.
    pub(crate) fn recorded() -> Self {
        Self {
            limits: false,
            ttl: Duration::from_secs(24 * 60 * 60),
            max_sessions: 1_000_000,
        }
    }

    /// With limits.
    pub(crate) fn limited(ttl: Duration, max_sessions: u32) -> Self {
        Self {
            limits: true,
            ttl,
            max_sessions,
        }
    }
}

/// A process that answers lines. It ends when its input does.
pub(crate) struct Runtime {
    pub(crate) name: String,
    pub(crate) way: Way,
    child: Child,
    /// Until it is stopped.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Runtime {
    /// Starts the runtime of that name.
    pub(crate) fn start(name: &str, package: &Path) -> Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = match name {
            "node" => Command::new("node"),
            "deno" => {
                let mut deno = Command::new(folder.join("../node_modules/.bin/deno"));
                deno.args(["run", "--no-remote", "--allow-read", "--allow-env"]);
                deno
            }
            "bun" => Command::new(bun(&folder.join("../node_modules/@oven"))?),
            "workerd" | "chromium" => Command::new("node"),
            _ => bail!("{name} is no runtime: node, deno, bun, workerd or chromium"),
        };
        let script = match name {
            "workerd" | "chromium" => format!("{name}.mjs"),
            _ => "stdio.mjs".to_owned(),
        };
        let mut child = command
            .arg(folder.join(script))
            .arg(package)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{name} can't be started"))?;
        Ok(Self {
            name: name.to_owned(),
            way: Way::Handle,
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().context("no output")?),
            child,
        })
    }

    /// Ends it, and waits.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.input = None;
        let status = self.child.wait()?;
        ensure!(status.success(), "{} ended with {status}", self.name);
        Ok(())
    }

    /// Makes a service; returns whether there is one.
    pub(crate) fn fresh(&mut self, tenants: &[u8], options: Options) -> Result<bool> {
        let answer = self.ask(&json!({ "new": {
            "tenants": BASE64.encode(tenants),
            "limits": options.limits,
            "sessionTtlMs": u64::try_from(options.ttl.as_millis())?,
            "maxSessions": options.max_sessions,
        }}))?;
        let started = answer["started"].as_bool();
        started.with_context(|| format!("no service: {answer}"))
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, time: Duration) -> Result<()> {
        let ms = u64::try_from(time.as_millis())?;
        self.ask(&json!({ "wait": ms })).map(drop)
    }

    fn ask(&mut self, command: &Value) -> Result<Value> {
        let mut input = self.input.as_ref().context("it was stopped")?;
        writeln!(input, "{command}").context("it has ended")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("{} said {line:?}", self.name))
    }

    fn exchange(&mut self, exchange: &Exchange) -> Result<Outcome> {
        let headers: Vec<_> = exchange
            .headers
            .iter()
            .map(|(name, value)| {
                let latin1: String = value.iter().map(|&byte| char::from(byte)).collect();
                (name, latin1)
            })
            .collect();
        let answer = self.ask(&json!({ "send": {
            "way": self.way.to_string(),
            "method": exchange.method,
            "target": exchange.target,
            "headers": headers,
            "body": exchange.body.as_ref().map(|body| BASE64.encode(body)),
        }}))?;
        if let Some(reason) = answer["skip"].as_str() {
            let known = REASONS.into_iter().find(|known| *known == reason);
            let known = known.with_context(|| format!("{reason:?} is no reason"))?;
            return Ok(Outcome::Skip(known));
        }
        if let Some(error) = answer["broken"].as_str() {
            bail!("{error}");
        }
        reply(&answer).map(Outcome::Reply)
    }
}

impl Drop for Runtime {
    /// Lets it end, and with it the browser that it may have started.
    fn drop(&mut self) {
        self.input = None;
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && start.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Runner for Runtime {
    fn send(&mut self, wire: &Wire) -> Outcome {
        match wire {
            Wire::Message(exchange) => self
                .exchange(exchange)
                .unwrap_or_else(|error| Outcome::Broken(format!("{error:#}"))),
            Wire::Framed(..) => Outcome::Skip("how a body is framed is up to the transport"),
            Wire::Raw(_) => Outcome::Skip("parsing HTTP is up to the transport"),
        }
    }
}

fn reply(answer: &Value) -> Result<Reply> {
    let no_reply = || format!("no reply: {answer}");
    let status = answer["status"].as_u64().with_context(no_reply)?;
    let body = answer["body"].as_str().with_context(no_reply)?;
    let headers = serde_json::from_value(answer["headers"].clone()).with_context(no_reply)?;
    Ok(Reply {
        status: u16::try_from(status)?,
        headers,
        body: BASE64.decode(body.as_bytes())?,
        continued: false,
    })
}

/// Bun's program: npm puts it into a package for each platform, of which one is installed.
fn bun(packages: &Path) -> Result<PathBuf> {
    let missing = || format!("no program of Bun in {}", packages.display());
    let entries = fs::read_dir(packages).with_context(missing)?;
    let mut programs = entries
        .flatten()
        .flat_map(|entry| ["bun", "bun.exe"].map(|name| entry.path().join("bin").join(name)));
    programs
        .find(|program| program.is_file())
        .with_context(missing)
}
