//! Why a request could not be answered: a store's wrapper notes it, and what polls the request
//! gets to know.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
};

/// A store did not do what it was asked.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    /// The store's name, as in the metrics.
    pub(crate) store: &'static str,
    /// Why, where the store knows. For the log alone.
    pub(crate) why: Option<Arc<str>>,
}

thread_local! {
    /// What was noted last while the calling thread polled something.
    static NOTED: Cell<Option<Trouble>> = const { Cell::new(None) };
}

/// Notes it for the request that the calling thread polls.
pub(super) fn note(trouble: Trouble) {
    NOTED.set(Some(trouble));
}

/// What was noted since the last future that [`noted`] has polled.
pub(crate) fn last_noted() -> Option<Trouble> {
    NOTED.take()
}

/// Runs `future`, and keeps in `last` what is noted meanwhile.
pub(crate) async fn noted<F: Future>(last: &Cell<Option<Trouble>>, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        // Of another request, which was given up.
        NOTED.take();
        let polled = future.as_mut().poll(cx);
        if let Some(trouble) = NOTED.take() {
            last.set(Some(trouble));
        }
        polled
    })
    .await
}

#[cfg(test)]
mod tests {
    use tokio::{runtime::Builder, task::yield_now};

    use super::*;

    fn trouble(store: &'static str) -> Trouble {
        Trouble { store, why: None }
    }

    #[test]
    fn each_request_gets_what_was_noted_while_it_was_polled() {
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        let (first, second) = (Cell::new(None), Cell::new(None));
        // Left behind by a request that was given up.
        note(trouble("old"));
        let quiet = async {
            yield_now().await;
            yield_now().await;
        };
        let failing = async {
            yield_now().await;
            note(trouble("sessions"));
            yield_now().await;
        };
        runtime.block_on(async {
            tokio::join!(noted(&first, quiet), noted(&second, failing));
        });
        assert!(first.take().is_none());
        assert_eq!(second.take().map(|trouble| trouble.store), Some("sessions"));
    }
}
