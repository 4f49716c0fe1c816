//! The load generator of closed loops: wrk, which has a fixed number of connections, each with
//! one request under way at any time.
//!
//! Where it has a processor of its own, it does not sleep. A server pays for waking whoever
//! waits for its answers; a slower server has its generator wait more often, and so pays more
//! for each request than a faster one, for work that is not its own.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::place::{GENERATOR, are_apart, on_processor, processors};

/// What a run of wrk came to.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Load {
    pub(crate) requests: f64,
    pub(crate) duration_us: f64,
    /// Answers of 400 and above.
    refused: f64,
    /// Connections that failed, and answers that did not come.
    failed: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
}

/// What the answers should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// All below 400.
    Success,
    /// All 400 and above.
    Refusal,
}

/// What wrk has of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    /// A processor of its own, which it keeps busy.
    Processor,
    /// What another program leaves of that processor.
    Rest,
    /// A thread for each processor, as the server has; each sleeps while it has to wait.
    All,
}

/// Requests that are sent as they stand, again and again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wrk<'a> {
    /// See [`write_script`].
    pub(crate) script: &'a Path,
    pub(crate) address: &'a str,
    pub(crate) connections: usize,
    pub(crate) expect: Expect,
    pub(crate) share: Share,
}

impl Wrk<'_> {
    /// Sends requests for so many seconds.
    ///
    /// # Errors
    /// wrk can't be run, or answers were not what they should be.
    pub(crate) fn run(&self, seconds: u64) -> Result<Load> {
        let output = self.command(seconds).output().context("wrk can't be run")?;
        let load = self.load(&output)?;
        ensure!(load.requests > 0.0, "wrk got no answer");
        Ok(load)
    }

    /// Begins to send requests for so many seconds.
    ///
    /// # Errors
    /// wrk can't be run.
    pub(crate) fn start(&self, seconds: u64) -> Result<Running> {
        let mut command = self.command(seconds);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(Running(Some(child.spawn().context("wrk can't be run")?)))
    }

    /// Waits for what was started. There may have been no answer.
    ///
    /// # Errors
    /// Answers were not what they should be.
    pub(crate) fn finish(&self, mut running: Running) -> Result<Load> {
        let child = running.0.take().context("wrk runs once")?;
        self.load(&child.wait_with_output()?)
    }

    fn command(&self, seconds: u64) -> Command {
        let mut command = match self.share {
            Share::Processor => on_processor(GENERATOR, "wrk"),
            Share::Rest => {
                let mut command = on_processor(GENERATOR, "nice");
                command.arg("wrk");
                command
            }
            Share::All => Command::new("wrk"),
        };
        let threads = match self.share {
            Share::All => processors().min(self.connections),
            Share::Processor | Share::Rest => 1,
        };
        command
            .args([format!("-t{threads}"), format!("-c{}", self.connections)])
            .args([&format!("-d{seconds}s"), "--timeout", "60s", "-s"])
            .arg(self.script)
            .arg(format!("http://{}/", self.address));
        // On a processor that others need, that would be time taken from them.
        if self.share == Share::Processor && are_apart() {
            command.arg(POLL);
        }
        command
    }

    fn load(&self, output: &Output) -> Result<Load> {
        let said = String::from_utf8_lossy(&output.stdout);
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "wrk failed: {said}{error}");
        let line = said.lines().last().unwrap_or_default();
        let load: Load =
            serde_json::from_str(line).with_context(|| format!("wrk said {said}{error}"))?;
        ensure!(load.failed == 0.0, "requests failed: {load:?}");
        let refused = match self.expect {
            Expect::Success => 0.0,
            Expect::Refusal => load.requests,
        };
        // Of those that are under way at the end, some are counted in one place only.
        let counted = (load.refused - refused).abs() <= self.connections as f64;
        ensure!(counted, "{} answers were refusals: {load:?}", load.refused);
        Ok(load)
    }
}

/// wrk while it runs; it ends with this.
pub(crate) struct Running(Option<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What a script is told to have wrk poll.
const POLL: &str = "poll";

/// Has wrk poll. To each of its epoll descriptors an eventfd is added that can always be read,
/// so that waiting for events always ends at once. No handler is registered for it: wrk looks
/// whether its own table has one, which has 10 places and three for each connection.
const POLLING: &str = r#"
local function poll()
  local ffi = require("ffi")
  local packed = ffi.arch == "x64" and "__attribute__((packed))" or ""
  ffi.cdef([[
    typedef struct { uint32_t events; uint64_t data; } ]] .. packed .. [[ epoll_event;
    int eventfd(unsigned int, int);
    int epoll_ctl(int, int, int, epoll_event *);
    ssize_t readlink(const char *, char *, size_t);
  ]])
  local always = ffi.C.eventfd(1, 0)
  assert(always >= 0 and always < 10, "no eventfd below 10")
  local EPOLL_CTL_ADD, EPOLLIN = 1, 1
  local event = ffi.new("epoll_event", { EPOLLIN, always })
  local added, name = 0, ffi.new("char[64]")
  for fd = 0, 63 do
    local length = tonumber(ffi.C.readlink("/proc/self/fd/" .. fd, name, 64))
    if length > 0 and ffi.string(name, length) == "anon_inode:[eventpoll]" then
      assert(ffi.C.epoll_ctl(fd, EPOLL_CTL_ADD, always, event) == 0, "epoll_ctl")
      added = added + 1
    end
  end
  assert(added > 0, "no epoll descriptor")
end
"#;

/// Writes wrk's script for these requests.
///
/// # Errors
/// The file can't be written.
pub(crate) fn write_script(path: &Path, requests: &[Vec<u8>]) -> Result<()> {
    let mut lua = String::from("local requests = {\n");
    for request in requests {
        lua.push('"');
        for &byte in request {
            if byte.is_ascii_alphanumeric() || b" /:._-{},".contains(&byte) {
                lua.push(byte.into());
            } else {
                let _ = write!(lua, "\\{byte:03}");
            }
        }
        lua.push_str("\",\n");
    }
    lua.push('}');
    lua.push_str(POLLING);
    let _ = writeln!(
        lua,
        "function init(args)\n  if args[1] == \"{POLL}\" then poll() end\nend"
    );
    lua.push_str(
        r#"local n = 0
function request()
  n = n % #requests + 1
  return requests[n]
end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '{"requests":%d,"duration_us":%d,"refused":%d,"failed":%d,' ..
    '"p50_us":%d,"p99_us":%d,"p999_us":%d}\n',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"#,
    );
    fs::write(path, lua).with_context(|| path.display().to_string())
}
