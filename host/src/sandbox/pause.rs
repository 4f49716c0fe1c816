//! A pause of a running guest.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// Lets others run, until the thread has looked at its sockets.
///
/// `tokio::task::yield_now` is over as soon as it is asked a second time, and whoever has
/// several things to do in one task, as hyper has, asks again at once.
pub(super) async fn pause() {
    let mut pause = pin!(tokio::task::yield_now());
    let mut woken: Option<Arc<Woken>> = None;
    poll_fn(|cx| {
        if let Some(woken) = &woken {
            return if woken.is_woken.load(Ordering::Relaxed) {
                Poll::Ready(())
            } else {
                Poll::Pending
            };
        }
        let this = Arc::new(Woken {
            is_woken: AtomicBool::new(false),
            task: cx.waker().clone(),
        });
        let waker = Waker::from(Arc::clone(&this));
        woken = Some(this);
        pause.as_mut().poll(&mut Context::from_waker(&waker))
    })
    .await;
}

/// Wakes a task, and remembers it.
struct Woken {
    is_woken: AtomicBool,
    task: Waker,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::Relaxed);
        self.task.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_not_over_before_others_have_run() {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(async {
            let mut pause = pin!(pause());
            let mut polls = 0;
            poll_fn(|cx| {
                polls += 1;
                // Whoever is impatient.
                for _ in 0..16 {
                    if pause.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(());
                    }
                }
                Poll::Pending
            })
            .await;
            assert_eq!(polls, 2);
        });
    }
}
