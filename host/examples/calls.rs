//! Calls without sockets, for `cargo xtask bench` and the step `counts`:
//!
//! - `calls` prints the kinds of call, one a line;
//! - `calls KIND CALLS SESSIONS` makes so many calls, where there are so many sessions, and
//!   prints how many nanoseconds each took;
//! - `calls KIND instructions` prints how many instructions a call takes, as callgrind counts
//!   them, on every thread of the program.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a program for another program")]

use std::{
    hint::black_box,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use tenantry::{
    GUEST,
    engine::{Engine, EngineKind},
    opts::{self, ServeTask, Task},
    sandbox::{Component, Isolation},
    state::{Answer, Directory, Entry, State, SystemClock},
};
use tenantry_core::{
    contract::{Body, Call, Method, Payload, Request},
    limit::Window,
    memory::Settings,
    registry::Registry,
    session::{Lifetime, SessionId},
    tenancy::{OpenError, Owner, Tenancy, Unavailable},
    tenant::Tenant,
    time::Timestamp,
};

/// What a run of this program does.
#[derive(Clone, Copy)]
struct Turn {
    calls: u64,
    /// Sessions that are there before; matters to kinds that are about them.
    sessions: u64,
}

/// Makes the calls; returns how long they took, without what was set up before.
type Run = fn(Turn) -> Result<Duration>;

/// The kinds of call. The pool has none of its own: a sandbox leaves it for a call and with
/// nothing else, so taking one out and putting it back is a part of `tenant`.
const KINDS: [(&str, Run); 11] = [
    ("native", |turn| {
        chats(EngineKind::Native, Isolation::Tenant, &["acme"], turn)
    }),
    ("tenant", |turn| {
        chats(EngineKind::Wasm, Isolation::Tenant, &["acme"], turn)
    }),
    ("request", |turn| {
        chats(EngineKind::Wasm, Isolation::Request, &["acme"], turn)
    }),
    // There is room for one sandbox: it is always the other tenant's.
    ("cold", |turn| {
        let tenants = ["acme", "globex"];
        chats(EngineKind::Wasm, Isolation::Tenant, &tenants, turn)
    }),
    ("read", |turn| Ok(read(&chat(HELLO), turn))),
    ("read 64 KiB", |turn| {
        let message = format!("\"{}\"", "a".repeat(64 << 10));
        Ok(read(&chat(&message), turn))
    }),
    ("bad JSON", |turn| Ok(read(&chat("hello"), turn))),
    ("reply", reply),
    ("limit", |turn| Ok(limit(turn))),
    ("owner", owner),
    ("open", open),
];

const TENANTS: &str = r#"
{"id":"acme","name":"Acme Corp","welcome":"Howdy from Acme!","model":"mock-1"}
{"id":"globex","name":"Globex","welcome":"Howdy from Globex!","model":"mock-1"}
"#;

/// An id that is nobody's, as long as any.
const SESSION: &str = "0cb5a3a8-58d1-4c0b-9a38-0d1c3b3a5c7e";

/// A message, in JSON.
const HELLO: &str = r#""hello from acme""#;

fn main() -> Result<()> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    match *args.as_slice() {
        [] => KINDS.iter().for_each(|(kind, _)| println!("{kind}")),
        [kind, "instructions"] => println!("{}", instructions(kind)?),
        [kind, calls, sessions] => {
            let turn = Turn {
                calls: calls.parse().context("CALLS")?,
                sessions: sessions.parse().context("SESSIONS")?,
            };
            let took = find(kind)?(turn)?;
            println!("{}", took.as_secs_f64() * 1e9 / turn.calls as f64);
        }
        _ => bail!("usage: calls [KIND instructions | KIND CALLS SESSIONS]"),
    }
    Ok(())
}

fn find(kind: &str) -> Result<Run> {
    let found = KINDS.iter().find(|(name, _)| *name == kind);
    let (_, run) = found.with_context(|| format!("{kind} is no kind of call"))?;
    Ok(*run)
}

/// What more calls take more, for each of them: what is set up before does not count.
fn instructions(kind: &str) -> Result<u64> {
    let (few, many) = (200, 1_200);
    let more = collected(kind, many)?.checked_sub(collected(kind, few)?);
    let more = more.context("more calls took fewer instructions")?;
    Ok(more / (many - few))
}

/// Sessions where instructions are counted: opening more of them would take callgrind longer
/// than all the rest.
const FEW_SESSIONS: u64 = 100_000;

/// The instructions of a run of this program that makes so many calls.
fn collected(kind: &str, calls: u64) -> Result<u64> {
    let mut valgrind = Command::new("valgrind");
    let output = valgrind
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args([kind, &calls.to_string(), &FEW_SESSIONS.to_string()])
        .output()
        .context("valgrind can't be run")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let mut lines = said.lines();
    let number = lines.find_map(|line| line.split_once("Collected : "));
    let number = number.and_then(|(_, number)| number.trim().parse().ok());
    let number = number.filter(|_| output.status.success());
    number.with_context(|| format!("valgrind said {said}"))
}

/// How long the calls take. Each is told which one it is.
fn timed(turn: Turn, call: impl FnMut(u64)) -> Duration {
    let start = Instant::now();
    (0..turn.calls).for_each(call);
    start.elapsed()
}

/// Chats of these tenants in turns by an engine.
fn chats(
    engine: EngineKind,
    isolation: Isolation,
    tenants: &[&str],
    turn: Turn,
) -> Result<Duration> {
    let Ok(Task::Serve(task)) = opts::parse(["tenantry", "serve"].map(Into::into), None) else {
        bail!("the defaults are no task");
    };
    let ServeTask {
        mut sandbox, rules, ..
    } = *task;
    sandbox.isolation = isolation;
    // Room for many is more than callgrind can give.
    sandbox.max_per_thread = 1;
    let component = match engine {
        EngineKind::Wasm => {
            let component = Component::load(&GUEST, 1, sandbox);
            Some(Arc::new(component.map_err(|error| anyhow!("{error:#}"))?))
        }
        EngineKind::Native => None,
    };
    let engine = Engine::new(Arc::new(state(rules)?), component);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut bodies = Vec::new();
        for tenant in tenants {
            bodies.push(chat_in_session(&engine, tenant).await?);
        }
        let start = Instant::now();
        for body in bodies.iter().cycle().take(usize::try_from(turn.calls)?) {
            let answered = engine.answer(black_box(&request("/chat", body))).await;
            ensure!(answered.response.status == 200, "{:?}", answered.fault);
        }
        Ok(start.elapsed())
    })
}

/// State in memory, of [`TENANTS`], as the server has it.
fn state(rules: Settings) -> Result<State> {
    let parsed = Registry::parse(TENANTS.as_bytes());
    let parsed = parsed.map_err(|_| anyhow!("the tenants have problems"))?;
    let clock = Arc::new(SystemClock::new());
    Ok(State::in_memory(
        Arc::new(Directory::of(parsed.registry)),
        "tenants.jsonl".into(),
        rules,
        clock,
    ))
}

/// The body of a chat in a new session of this tenant.
async fn chat_in_session(engine: &Engine, tenant: &str) -> Result<String> {
    let body = format!(r#"{{"tenant_id":"{tenant}"}}"#);
    let opened = engine.answer(&request("/session", &body)).await;
    let Body::Bytes(body) = opened.response.body else {
        bail!("no session");
    };
    let body: serde_json::Value = serde_json::from_slice(&body)?;
    let session = body["session_id"].as_str().context("no session")?;
    Ok(chat(HELLO)
        .replace(SESSION, session)
        .replace("acme", tenant))
}

/// The body of a chat; the message is as it stands there.
fn chat(message: &str) -> String {
    format!(r#"{{"tenant_id":"acme","session_id":"{SESSION}","message":{message}}}"#)
}

fn request<'a>(target: &'a str, body: &'a str) -> Request<'a> {
    Request {
        method: Method::Post,
        target,
        content_type: Some(b"application/json"),
        body: Payload::from(body.as_bytes()),
    }
}

/// Reads a request as far as whose it is.
fn read(body: &str, turn: Turn) -> Duration {
    timed(turn, |_| {
        black_box(Call::read(black_box(&request("/chat", body))).scope());
    })
}

/// Answers a chat that was read, for somebody who may chat.
fn reply(turn: Turn) -> Result<Duration> {
    let acme = tenant(&state(Settings::default())?)?;
    let body = chat(HELLO);
    let call = Call::read(&request("/chat", &body));
    Ok(timed(turn, |_| {
        black_box(black_box(&call).answer(&mut Willing(acme.packed.tenant())));
    }))
}

/// A scope without stores, which allows everything.
struct Willing<'a>(Tenant<'a>);

impl<'a> Tenancy<'a> for Willing<'a> {
    fn tenant(&self) -> Option<Tenant<'a>> {
        Some(self.0)
    }

    fn new_session_id(&mut self) -> SessionId {
        id(0)
    }

    fn open_session(&mut self, _: SessionId) -> Result<(), OpenError> {
        Ok(())
    }

    fn owner(&mut self, _: SessionId) -> Result<Owner, Unavailable> {
        Ok(Owner::Mine)
    }

    fn admit_chat(&mut self) -> Result<bool, Unavailable> {
        Ok(true)
    }
}

/// Asks a limit of 64, mostly in vain.
fn limit(turn: Turn) -> Duration {
    let mut window = Window::default();
    timed(turn, |n| {
        black_box(window.admit(64, Timestamp::from_nanos(black_box(n * 1_000_000))));
    })
}

/// Asks the server's store whose one of many sessions is.
fn owner(turn: Turn) -> Result<Duration> {
    let (state, acme) = sessions(turn.sessions)?;
    Ok(timed(turn, |n| {
        black_box(state.sessions.owner(&acme, id(n % turn.sessions)));
    }))
}

/// Opens sessions in the server's store, which has many already.
fn open(turn: Turn) -> Result<Duration> {
    let (state, acme) = sessions(turn.sessions)?;
    Ok(timed(turn, |n| {
        black_box(state.sessions.open(&acme, id(turn.sessions + n)));
    }))
}

/// State with so many sessions, and the tenant whose they are. They never end: where a first
/// use in a while has more to do than the next one, counts would depend on the time of day.
fn sessions(count: u64) -> Result<(State, Arc<Entry>)> {
    let state = state(Settings {
        lifetime: Lifetime::FOREVER,
        max_sessions: u32::MAX,
        ..Settings::default()
    })?;
    let acme = tenant(&state)?;
    for n in 0..count {
        let Answer::Now(Ok(())) = state.sessions.open(&acme, id(n)) else {
            bail!("session {n} can't be opened");
        };
    }
    Ok((state, acme))
}

/// The first of [`TENANTS`].
fn tenant(state: &State) -> Result<Arc<Entry>> {
    match state.tenants.find("acme") {
        Answer::Now(Ok(Some(acme))) => Ok(acme),
        _ => bail!("there is no acme"),
    }
}

/// An id that looks random, the same in every run.
fn id(n: u64) -> SessionId {
    let mixed = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    SessionId::from_u64_pair(mixed ^ mixed >> 32, mixed.swap_bytes() ^ n)
}
