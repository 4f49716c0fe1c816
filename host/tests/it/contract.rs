//! The recorded contract, over real sockets, in every way of running the core.

use tenantry_conformance::replay;

use crate::support::{
    client::Sockets,
    server::{Setup, Way},
};

fn replay_over_sockets(way: Way) {
    let server = Setup::new(way).start();
    let report = replay(&mut Sockets(server.address));
    report.assert_passed();
    assert_eq!(report.skipped, []);
}

#[test]
fn the_recorded_cases_come_out_as_recorded_in_sandboxes() {
    replay_over_sockets(Way::Tenant);
}

#[test]
fn the_recorded_cases_come_out_as_recorded_in_a_fresh_sandbox_for_each_request() {
    replay_over_sockets(Way::Request);
}

#[test]
fn the_recorded_cases_come_out_as_recorded_natively() {
    replay_over_sockets(Way::Native);
}
