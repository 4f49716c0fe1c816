//! The recorded contract, natively.

use tenantry_conformance::{cases, replay, tenants_files};
use tenantry_core::{memory::Settings, registry::Registry};

use crate::native::Native;

#[test]
fn the_recorded_cases_come_out_as_recorded() {
    let report = replay(&mut Native::unlimited());
    report.assert_passed();
    // What goes over a socket is replayed by the server's tests.
    assert_eq!(report.skipped.len(), 39, "{:?}", report.skipped);
}

#[test]
fn the_recorded_tenant_files_start_or_are_refused() {
    for file in tenants_files() {
        let Some(bytes) = file.bytes() else {
            assert!(!file.starts(), "{}: there is no file", file.name);
            continue;
        };
        match (Registry::parse(&bytes), file.starts()) {
            (Ok(parsed), true) => {
                let text = String::from_utf8(bytes).expect("UTF-8");
                assert!(!parsed.registry.rows().is_empty());
                let mut native = Native::new(&text, Settings::default());
                file.replay(&mut native)
                    .unwrap_or_else(|e| panic!("{}: {e}", file.name));
            }
            (Err(problems), false) => {
                for problem in problems.0 {
                    let shown = problem.in_file("tenants.jsonl").to_string();
                    assert!(shown.starts_with("tenants.jsonl:"), "{shown}");
                    assert!(shown.len() > "tenants.jsonl:1: ".len(), "{shown}");
                }
            }
            (Ok(_), false) => panic!("{}: it was accepted", file.name),
            (Err(problems), true) => panic!("{}: {problems:?}", file.name),
        }
    }
}

#[test]
fn the_data_is_whole() {
    assert_eq!(cases().len(), 350);
    assert_eq!(tenants_files().len(), 47);
    let differing = cases().iter().filter(|case| case.expect.is_some());
    assert_eq!(differing.count(), 41);
}
