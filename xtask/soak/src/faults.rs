//! Faults: made, ended, and waited for until all servers have recovered.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use tenantry_stores::{Signal, Stop};

use crate::{
    client::{Client, at},
    load::{Caller, Outcome},
    plan::{Fault, Kind, Plan},
    probe::shares_limits,
    record::{CLUSTER, Home, Made, Record},
    stand::{OPEN, Stand},
    verify,
};

/// Until all servers do their work after a fault.
const RECOVERY: Duration = Duration::from_secs(15);

/// After which there is no use in waiting on.
const HOPELESS: Duration = Duration::from_secs(90);

/// Makes one fault after the other until then.
pub(crate) fn run(stand: &Stand, record: &Record, plan: Plan, end: Instant) -> Result<()> {
    for node in &stand.nodes {
        node.start(&stand.guard, record)?;
    }
    wait_for_recovery(stand, record)?;
    let mut seen = 0;
    for step in plan {
        if Instant::now() >= end {
            break;
        }
        let names: Vec<_> = step.faults.iter().map(|fault| fault.kind.name()).collect();
        let names = names.join(" and ");
        let mut done = Ok(());
        for fault in &step.faults {
            done = done.and_then(|()| begin(stand, record, fault));
        }
        thread::sleep(step.lasts);
        for fault in &step.faults {
            let ended = finish(stand, record, fault);
            done = done.and(ended);
        }
        done.map_err(|error| error.context(names.clone()))?;
        let recovery = wait_for_recovery(stand, record)?;
        println!(
            "{:7.1} s  {names} for {:.1} s, recovered in {:.1} s",
            record.now().as_secs_f64(),
            step.lasts.as_secs_f64(),
            recovery.as_secs_f64()
        );
        for fault in &step.faults {
            record.made(Made {
                kind: fault.kind,
                recovery,
            });
        }
        seen = verify::sessions(stand, record, seen);
        verify::versions(stand, record);
        thread::sleep(step.pause);
    }
    Ok(())
}

/// Which databases a fault keeps from their work.
fn homes(kind: Kind) -> &'static [Home] {
    use crate::plan::Target;
    match kind.target() {
        _ if !kind.is_outage() => &[],
        Target::Sqlite => &[Home::Single],
        Target::Server | Target::Postgres | Target::Redis => &[Home::Cluster],
    }
}

fn begin(stand: &Stand, record: &Record, fault: &Fault) -> Result<()> {
    let Stand {
        nodes,
        balancer,
        guard,
        postgres,
        ..
    } = stand;
    for home in homes(fault.kind) {
        record.outage_begins(*home);
    }
    let server = &nodes[fault.server];
    let single = &nodes[CLUSTER];
    match fault.kind {
        Kind::ServerStop => stop(stand, record, fault.server),
        Kind::SqliteStop => stop(stand, record, CLUSTER),
        Kind::ServerKill => server.kill(guard, record),
        Kind::SqliteKill => single.kill(guard, record),
        Kind::ServerStall => server.signal(Signal::STOP),
        Kind::SqliteStall => single.signal(Signal::STOP),
        Kind::ServerClock => server.step(fault.step_s),
        Kind::SqliteClock => single.step(fault.step_s),
        Kind::ServerCut => balancer.cut(&format!("servers/server-{}", fault.server)),
        Kind::ServerWithoutPostgres => balancer.cut(&format!("postgres-{}/it", fault.server)),
        Kind::ServerWithoutRedis => balancer.cut(&format!("redis-{}/it", fault.server)),
        Kind::PostgresStop => postgres.stop(Stop::Fast),
        Kind::PostgresCrash => postgres.stop(Stop::Crash),
        Kind::PostgresKill => postgres.kill(),
        Kind::PostgresStall => postgres.signal_all(Signal::STOP),
        Kind::PostgresFull => stand.postgres_disk.fill(),
        Kind::PostgresReadOnly => set_read_only(stand, "= on"),
        Kind::RedisKill => {
            let mut redis = stand.redis.lock();
            let pid = redis.pid();
            redis.kill()?;
            guard.ended(pid);
            Ok(())
        }
        Kind::RedisStall => tenantry_stores::signal(stand.redis.lock().pid(), Signal::STOP),
        Kind::SqliteFull | Kind::SqliteFullKill => stand.sqlite_disk.fill(),
        Kind::SqliteReadOnly => {
            single.kill(guard, record)?;
            stand.sqlite_disk.set_read_only(true)?;
            // Whether it starts is its own affair; that it says it is ready is not.
            single.start(guard, record)
        }
        Kind::SqliteBroken => stand.sqlite_disk.break_down(),
    }
}

fn finish(stand: &Stand, record: &Record, fault: &Fault) -> Result<()> {
    let Stand {
        nodes,
        balancer,
        guard,
        postgres,
        ..
    } = stand;
    let server = &nodes[fault.server];
    let single = &nodes[CLUSTER];
    match fault.kind {
        Kind::ServerStop | Kind::ServerKill => server.start(guard, record)?,
        Kind::SqliteStop | Kind::SqliteKill => single.start(guard, record)?,
        Kind::ServerStall => server.signal(Signal::CONT)?,
        Kind::SqliteStall => single.signal(Signal::CONT)?,
        Kind::ServerClock => server.step(0)?,
        Kind::SqliteClock => single.step(0)?,
        Kind::ServerCut => balancer.heal(&format!("servers/server-{}", fault.server))?,
        Kind::ServerWithoutPostgres => balancer.heal(&format!("postgres-{}/it", fault.server))?,
        Kind::ServerWithoutRedis => balancer.heal(&format!("redis-{}/it", fault.server))?,
        Kind::PostgresStop | Kind::PostgresCrash | Kind::PostgresKill => stand.run_postgres()?,
        Kind::PostgresStall => postgres.signal_all(Signal::CONT)?,
        Kind::PostgresFull => {
            stand.postgres_disk.free()?;
            // It may have given up.
            stand.run_postgres()?;
        }
        Kind::PostgresReadOnly => set_read_only(stand, "= off")?,
        Kind::RedisKill => {
            let mut redis = stand.redis.lock();
            redis.start_again()?;
            guard.started(redis.pid());
            record.begins(None);
        }
        Kind::RedisStall => tenantry_stores::signal(stand.redis.lock().pid(), Signal::CONT)?,
        Kind::SqliteFull => stand.sqlite_disk.free()?,
        Kind::SqliteFullKill => {
            single.kill(guard, record)?;
            stand.sqlite_disk.free()?;
            single.start(guard, record)?;
        }
        Kind::SqliteReadOnly => {
            single.kill(guard, record)?;
            stand.sqlite_disk.set_read_only(false)?;
            single.start(guard, record)?;
        }
        Kind::SqliteBroken => {
            single.kill(guard, record)?;
            stand.sqlite_disk.repair()?;
            single.start(guard, record)?;
        }
    }
    for home in homes(fault.kind) {
        record.outage_ends(*home);
    }
    Ok(())
}

fn stop(stand: &Stand, record: &Record, server: usize) -> Result<()> {
    if let Err(error) = stand.nodes[server].stop(&stand.guard, record) {
        record.is_wrong(format!("{error:#}"));
    }
    Ok(())
}

fn set_read_only(stand: &Stand, how: &str) -> Result<()> {
    let set = format!("ALTER SYSTEM SET default_transaction_read_only {how}");
    stand.postgres.sql(&[&set, "SELECT pg_reload_conf()"])?;
    Ok(())
}

/// Waits until all servers do their work; says so where it takes too long.
pub(crate) fn wait_for_recovery(stand: &Stand, record: &Record) -> Result<Duration> {
    let start = Instant::now();
    let client = Client::patient(Duration::from_secs(2));
    let mut is_said = false;
    loop {
        let missing = missing(stand, record, &client);
        if missing.is_empty() {
            return Ok(start.elapsed());
        }
        if start.elapsed() > RECOVERY && !is_said {
            let missing = missing.join("; ");
            record.is_wrong(format!("after {RECOVERY:?} without a fault: {missing}"));
            is_said = true;
        }
        ensure!(start.elapsed() < HOPELESS, "nothing recovers any more");
        thread::sleep(Duration::from_millis(100));
    }
}

/// What does not work yet.
fn missing(stand: &Stand, record: &Record, client: &Client) -> Vec<String> {
    let mut missing = Vec::new();
    for node in &stand.nodes {
        let n = node.index;
        match client.get(&format!("{}/readyz", at(node.admin))) {
            Ok(answer) if answer.status == 200 => {}
            Ok(answer) => missing.push(format!("server {n} is not ready: {}", answer.text)),
            Err(error) => missing.push(format!("server {n} does not answer: {error:#}")),
        }
        if !missing.is_empty() {
            continue;
        }
        let caller = Caller::of_server(stand, record, n);
        match caller.open(OPEN) {
            Outcome::Done(_) => {}
            outcome => missing.push(format!("server {n} opens no session: {outcome:?}")),
        }
        if n < CLUSTER && !shares_limits(client, stand, n) {
            missing.push(format!("server {n} does not share its limits"));
        }
    }
    if missing.is_empty() {
        match Caller::of(stand, record, Home::Cluster).open(OPEN) {
            Outcome::Done(_) => {}
            outcome => missing.push(format!("the balancer opens no session: {outcome:?}")),
        }
    }
    missing
}
