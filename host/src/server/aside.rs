//! Requests with large bodies, which are answered on a thread of their own.
//!
//! What a worker thread does for one request at one go keeps all its others waiting: reading
//! a megabyte of JSON, and handing it to a sandbox and back, takes milliseconds in which not
//! even a guest can be interrupted. So each worker has a thread beside it for that, with
//! sandboxes of its own, which the system lets run when the worker has nothing to do.

use std::{
    cell::{Cell, OnceCell},
    io,
    rc::Rc,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderValue;
use opentelemetry::Context;
use tenantry_core::{
    contract::{Method, Payload, Request},
    tenancy::Unavailable,
};
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{mpsc, oneshot},
};

use super::{
    budget::Room,
    service::{Reply, body_of},
    start::Start,
    tally::{nanos, timed},
};
use crate::{
    engine::Engine,
    metrics::{Gauge, Held, Metrics, noted},
    state::{Entry, State, Usage},
    traces,
};

/// Bytes of a body that is large. Handing a smaller one to another thread would cost more
/// than it takes.
pub(super) const LARGE_BYTES: usize = 64 << 10;

/// A request that is answered elsewhere.
pub(super) struct Job {
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) content_type: Option<HeaderValue>,
    pub(super) body: Bytes,
    /// What the body takes of the memory for all: for as long as the body is here.
    pub(super) room: Room,
    /// Is told whose it is, as soon as that is known.
    pub(super) whose: Arc<OnceLock<Arc<Entry>>>,
    /// What it is a part of, where traces are wanted.
    pub(super) context: Option<Context>,
}

/// A job, who waits for it, and that it is waiting.
type Waiting = (Job, oneshot::Sender<Reply>, Held);

/// The thread beside a worker, as the worker sees it.
pub(super) struct Aside {
    jobs: mpsc::UnboundedSender<Waiting>,
    metrics: Arc<Metrics>,
}

/// What that thread has to do.
pub(super) struct Jobs(mpsc::UnboundedReceiver<Waiting>);

/// Both ends. There are never more jobs than connections.
pub(super) fn channel(metrics: Arc<Metrics>) -> (Aside, Jobs) {
    let (jobs, receiver) = mpsc::unbounded_channel();
    (Aside { jobs, metrics }, Jobs(receiver))
}

impl Aside {
    /// Answers a request there.
    ///
    /// # Errors
    /// The thread has ended.
    pub(super) async fn ask(&self, job: Job) -> Result<Reply, Unavailable> {
        let (sender, answer) = oneshot::channel();
        let waiting = Gauge::hold(&self.metrics, |metrics| &metrics.large_waiting);
        let sent = self.jobs.send((job, sender, waiting));
        sent.map_err(|_| Unavailable)?;
        answer.await.map_err(|_| Unavailable)
    }
}

/// Runs the calling thread as the one beside a worker, until that has ended.
pub(super) fn work(mut jobs: Jobs, engine: Engine, start: Start) -> io::Result<()> {
    yield_to_workers();
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    if !start.wait() {
        return Ok(());
    }
    let engine = Rc::new(engine);
    runtime.block_on(async {
        while let Some((job, mut sender, waiting)) = jobs.0.recv().await {
            if sender.is_closed() {
                // Its client has gone, and its body need not be kept.
                continue;
            }
            let engine = Rc::clone(&engine);
            tokio::task::spawn_local(async move {
                let _room = &job.room;
                drop(waiting);
                let work = Work::new(engine.state());
                let request = Request {
                    method: job.method,
                    target: &job.target,
                    content_type: job.content_type.as_ref().map(HeaderValue::as_bytes),
                    body: Payload::from(&*job.body),
                };
                let is_of = |tenant: Option<&Arc<Entry>>| {
                    if let Some(tenant) = tenant {
                        // It is said once.
                        let _ = job.whose.set(Arc::clone(tenant));
                        let _ = work.tenant.set(Arc::clone(tenant));
                    }
                };
                let answer =
                    async { body_of(&engine, engine.answer_for(&request, is_of).await).await };
                let trouble = Cell::default();
                let answer = noted(&trouble, traces::within(job.context.as_ref(), answer));
                let mut reply = tokio::select! {
                    reply = timed(&work.busy, answer) => reply,
                    // Nobody waits for it any more.
                    () = sender.closed() => return,
                };
                // It is counted before anybody can have seen the answer.
                drop(work);
                reply.trouble = trouble.take();
                // Where the client has gone by now, nobody misses it.
                let _ = sender.send(reply);
            });
        }
    });
    Ok(())
}

/// The work of this thread's engine for one request; counted when that ends, however it ends.
struct Work<'a> {
    state: &'a State,
    tenant: OnceCell<Arc<Entry>>,
    busy: Cell<Duration>,
}

impl<'a> Work<'a> {
    fn new(state: &'a State) -> Self {
        Self {
            state,
            tenant: OnceCell::new(),
            busy: Cell::default(),
        }
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        if let Some(tenant) = self.tenant.get() {
            let usage = Usage {
                busy_ns: nanos(self.busy.get()),
                ..Usage::default()
            };
            self.state.meters.add(tenant, usage);
        }
    }
}

/// Has the system run the calling thread when no other one wants to. A merely nice one is let
/// run on for milliseconds when a worker has something to do again.
#[cfg(target_os = "linux")]
fn yield_to_workers() {
    use thread_priority::{
        NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
        set_thread_priority_and_policy, thread_native_id,
    };

    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    if let Err(error) =
        set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle)
    {
        tracing::warn!(
            ?error,
            "large requests are answered at the priority of all others"
        );
    }
}

#[cfg(not(target_os = "linux"))]
fn yield_to_workers() {}
