//! Requests by route, method and status, as one thread has answered them.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tenantry_core::contract;

use super::histogram::Histogram;

/// Where a request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Index,
    Session,
    Chat,
    OpenApi,
    Docs,
    OAuth2Redirect,
    Redoc,
    /// What /docs and /redoc load.
    Assets,
    /// The page under /demo/.
    Demo,
    /// Where nothing stands.
    Other,
}

impl Route {
    /// Every route and its label.
    pub(super) const NAMES: [(&'static str, Self); 10] = [
        ("/", Self::Index),
        ("/session", Self::Session),
        ("/chat", Self::Chat),
        ("/openapi.json", Self::OpenApi),
        ("/docs", Self::Docs),
        ("/docs/oauth2-redirect", Self::OAuth2Redirect),
        ("/redoc", Self::Redoc),
        ("assets", Self::Assets),
        ("demo", Self::Demo),
        ("other", Self::Other),
    ];

    /// Where a request with this target goes, unless the server itself answers it.
    pub(crate) fn of(target: &str) -> Self {
        match contract::known_path(target) {
            Some("/chat") => Self::Chat,
            Some("/session") => Self::Session,
            Some("/") => Self::Index,
            Some("/openapi.json") => Self::OpenApi,
            Some("/docs") => Self::Docs,
            Some("/docs/oauth2-redirect") => Self::OAuth2Redirect,
            Some("/redoc") => Self::Redoc,
            _ => Self::Other,
        }
    }
}

impl Route {
    /// Its label.
    pub(crate) fn name(self) -> &'static str {
        Self::NAMES.get(self as usize).map_or("other", |row| row.0)
    }
}

/// The methods that are told apart; all others are the last.
pub(super) const METHODS: [&str; 5] = ["GET", "HEAD", "POST", "OPTIONS", "other"];

/// The statuses that there are answers with; the last stands for any other, of which there
/// is none.
pub(super) const STATUSES: [u16; 17] = [
    200, 204, 206, 304, 307, 400, 403, 404, 405, 408, 413, 416, 422, 429, 500, 503, 0,
];

/// The requests that one thread has answered.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    routes: [OfRoute; Route::NAMES.len()],
}

#[derive(Debug, Default)]
pub(super) struct OfRoute {
    answers: [[AtomicU64; STATUSES.len()]; METHODS.len()],
    pub(super) durations: Histogram,
}

impl Requests {
    /// Counts an answer.
    pub(crate) fn answered(&self, route: Route, method: &str, status: u16, duration: Duration) {
        let Some(of_route) = self.routes.get(route as usize) else {
            return;
        };
        let find = |known: Option<usize>, len: usize| known.unwrap_or(len - 1);
        let method = METHODS.iter().position(|known| *known == method);
        let status = STATUSES.iter().position(|known| *known == status);
        let answers = of_route.answers.get(find(method, METHODS.len()));
        if let Some(count) = answers.and_then(|all| all.get(find(status, STATUSES.len()))) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        of_route.durations.observe(duration);
    }

    pub(super) fn of_route(&self, route: Route) -> Option<&OfRoute> {
        self.routes.get(route as usize)
    }
}

impl OfRoute {
    /// Answers to the method of that place, with the status of that place.
    pub(super) fn count(&self, method: usize, status: usize) -> u64 {
        let answers = self.answers.get(method);
        let count = answers.and_then(|answers| answers.get(status));
        count.map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_is_found_where_its_name_is() {
        for (place, (name, route)) in Route::NAMES.into_iter().enumerate() {
            assert_eq!(place, route as usize);
            if name.starts_with('/') {
                assert_eq!(Route::of(name), route);
                assert_eq!(Route::of(&format!("{name}?x=1")), route);
            }
        }
        assert_eq!(Route::of("/nowhere"), Route::Other);
        assert_eq!(Route::of("/%63hat"), Route::Chat);
    }

    #[test]
    fn what_is_not_known_is_counted_as_other() {
        let requests = Requests::default();
        requests.answered(Route::Chat, "BREW", 418, Duration::ZERO);
        let chat = requests.of_route(Route::Chat).expect("a route");
        assert_eq!(chat.count(METHODS.len() - 1, STATUSES.len() - 1), 1);
    }
}
