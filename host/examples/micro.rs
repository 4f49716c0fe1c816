use std::{sync::Arc, time::{Duration, Instant}};
use tenantry::{engine::Engine, sandbox::*, state::*};
use tenantry_core::{contract::Request, memory::Settings, registry::Registry};
fn main() {
    let text = std::fs::read("tenants.jsonl").unwrap();
    let registry = Registry::parse(&text).unwrap().registry;
    let settings = Settings { limits: false, ..Settings::default() };
    let n = registry.rows().len();
    let clock: Arc<dyn Clock> = Arc::new(MonotonicClock::new());
    let state = Arc::new(State { tenants: Box::new(StaticDirectory::new(registry)), sessions: Box::new(MemorySessions::new(n, settings, clock.clone())), limiter: Box::new(MemoryLimiter::new(n, settings, clock)) });
    let limits = SandboxLimits { isolation: Isolation::Tenant, max_per_thread: std::env::var("P").ok().and_then(|n| n.parse().ok()).unwrap_or(64), deadline: Duration::from_secs(1), max_memory: 64<<20, max_stack: 512<<10, max_reply: 16<<20 };
    let t = Instant::now();
    let c1 = Arc::new(Component::load(&tenantry::GUEST, 1, limits).unwrap());
    println!("load {:?}", t.elapsed());
    let c2 = Arc::new(Component::load(&tenantry::GUEST, 1, SandboxLimits{isolation: Isolation::Request, ..limits}).unwrap());
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    rt.block_on(async {
        let engines = [("native", Engine::new(state.clone(), None)), ("tenant", Engine::new(state.clone(), Some(c1))), ("request", Engine::new(state.clone(), Some(c2)))];
        let mut bodies = vec![];
        for (_, e) in &engines {
            let r = e.answer(&Request{method: tenantry_core::contract::Method::Post,target:"/session",content_type:Some(b"application/json"),body: tenantry_core::contract::Payload::Text("{\"tenant_id\":\"acme\"}")}).await;
            if let Some(f) = &r.fault { println!("{f:?}"); }
            let b = e.body(r.response.body).await.unwrap();
            let s = String::from_utf8_lossy(&b).to_string();
            let id = s.split('"').nth(3).unwrap().to_string();
            bodies.push(format!("{{\"tenant_id\":\"acme\",\"session_id\":\"{id}\",\"message\":\"hello from acme\"}}"));
        }
        let only = std::env::args().nth(1); for round in 0..6 {
            for ((name, e), body) in engines.iter().zip(&bodies).filter(|((n,_),_)| only.as_deref().is_none_or(|o| o==*n)) {
                for (label, m, t, b, st) in [("404", tenantry_core::contract::Method::Get, "/nope", "", 404u16), ("403?", tenantry_core::contract::Method::Post, "/chat", "{\"tenant_id\":\"acme\",\"session_id\":\"x\",\"message\":\"hello from acme\"}", 404)] {
                    let n = if std::env::var("K").is_ok_and(|k| k != label) {0} else if *name=="request" {2_000} else {n_iter()}; let t0 = Instant::now();
                    for _ in 0..n {
                        let r = e.answer(&Request{method:m,target:t,content_type:Some(b"application/json"),body:b.as_bytes().into()}).await;
                        assert_eq!(r.response.status, st);
                    }
                    if round>0 { print!("{name} {label} {:.0} ns  ", t0.elapsed().as_nanos() as f64 / n as f64); }
                }
                let n = if std::env::var("K").is_ok_and(|k| k != "chat") {0} else {n_iter()};
                let t = Instant::now();
                for _ in 0..n {
                    let r = e.answer(&Request{method: tenantry_core::contract::Method::Post,target:"/chat",content_type:Some(b"application/json"),body:body.as_bytes().into()}).await;
                    assert_eq!(r.response.status, 200);
                }
                if round>0 { print!("{name} {:.0} ns  ", t.elapsed().as_nanos() as f64 / n as f64); }
            }
            println!();
        }
    });
}
fn n_iter() -> usize { std::env::var("N").ok().and_then(|n| n.parse().ok()).unwrap_or(200_000) }
