//! Requests with large bodies, which are answered on a thread of their own.
//!
//! What a worker thread does for one request at one go keeps all its others waiting: reading
//! a megabyte of JSON, and handing it to a sandbox and back, takes milliseconds in which not
//! even a guest can be interrupted. So each worker has a thread beside it for that, with
//! sandboxes of its own, which the system lets run when the worker has nothing to do.

use std::{io, rc::Rc};

use bytes::Bytes;
use http::HeaderValue;
use tenantry_core::{
    contract::{Method, Payload, Request},
    tenancy::Unavailable,
};
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{mpsc, oneshot},
};

use super::service::{Reply, body_of};
use crate::engine::Engine;

/// Bytes of a body that is large. Handing a smaller one to another thread would cost more
/// than it takes.
pub(super) const LARGE_BYTES: usize = 64 << 10;

/// A request that is answered elsewhere.
pub(super) struct Job {
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) content_type: Option<HeaderValue>,
    pub(super) body: Bytes,
}

/// The thread beside a worker, as the worker sees it.
pub(super) struct Aside {
    jobs: mpsc::UnboundedSender<(Job, oneshot::Sender<Reply>)>,
}

/// What that thread has to do.
pub(super) struct Jobs(mpsc::UnboundedReceiver<(Job, oneshot::Sender<Reply>)>);

/// Both ends. There are never more jobs than connections.
pub(super) fn channel() -> (Aside, Jobs) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Aside { jobs: sender }, Jobs(receiver))
}

impl Aside {
    /// Answers a request there.
    ///
    /// # Errors
    /// The thread has ended.
    pub(super) async fn ask(&self, job: Job) -> Result<Reply, Unavailable> {
        let (sender, answer) = oneshot::channel();
        self.jobs.send((job, sender)).map_err(|_| Unavailable)?;
        answer.await.map_err(|_| Unavailable)
    }
}

/// Runs the calling thread as the one beside a worker, until that has ended.
pub(super) fn work(mut jobs: Jobs, engine: Engine) -> io::Result<()> {
    yield_to_workers();
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    let engine = Rc::new(engine);
    runtime.block_on(async {
        while let Some((job, mut sender)) = jobs.0.recv().await {
            let engine = Rc::clone(&engine);
            tokio::task::spawn_local(async move {
                let request = Request {
                    method: job.method,
                    target: &job.target,
                    content_type: job.content_type.as_ref().map(HeaderValue::as_bytes),
                    body: Payload::from(&*job.body),
                };
                let answer = async { body_of(&engine, engine.answer(&request).await).await };
                let reply = tokio::select! {
                    reply = answer => reply,
                    // Nobody waits for it any more.
                    () = sender.closed() => return,
                };
                // Where the client has gone by now, nobody misses it.
                let _ = sender.send(reply);
            });
        }
    });
    Ok(())
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
