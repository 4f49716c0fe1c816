//! What a soak has seen, as text for people and for docs/operations.md.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use crate::{
    plan::Kind,
    record::{Home, Made, Record, What},
};

/// How often a kind of fault was made, and the longest recovery from it.
fn by_kind(made: &[Made]) -> BTreeMap<Kind, (usize, Duration)> {
    let mut by_kind = BTreeMap::new();
    for made in made {
        let (count, worst) = by_kind.entry(made.kind).or_insert((0, Duration::ZERO));
        *count += 1;
        *worst = made.recovery.max(*worst);
    }
    by_kind
}

/// The whole report.
pub(crate) fn text(record: &Record, seed: u64, minutes: u64) -> String {
    let by_kind = by_kind(&record.all_made());
    let faults: usize = by_kind.values().map(|(count, _)| count).sum();
    let changes: usize = Home::ALL
        .map(|home| record.versions(home, |versions| versions.acknowledged().len()))
        .iter()
        .sum();
    let (exact, loose) = record.all_windows();
    let wrong = record.wrong();
    let mut text = String::new();
    let rows = [
        ("Minutes", minutes.to_string()),
        ("Seed", seed.to_string()),
        ("Faults", faults.to_string()),
        (
            "Acknowledged sessions",
            record.count(What::Session).to_string(),
        ),
        (
            "Acknowledged sessions that were lost",
            record.lost().to_string(),
        ),
        ("Acknowledged changes of tenants", changes.to_string()),
        ("Granted chats", record.count(What::Chat).to_string()),
        ("Chats refused for a limit", record.refused().to_string()),
        (
            "Windows held to the exact limit, and to a looser bound",
            format!("{exact}, {loose}"),
        ),
        (
            "Sessions opened to see whether a ready server works",
            record.asked_while_ready().to_string(),
        ),
        ("Failed checks", wrong.values().sum::<u64>().to_string()),
    ];
    text += "| | |\n|---|---|\n";
    for (name, value) in rows {
        // Writing to a string does not fail.
        let _ = writeln!(text, "| {name} | {value} |");
    }
    text += "\n| Fault | Times | Longest recovery |\n|---|---|---|\n";
    for (kind, (count, worst)) in &by_kind {
        let _ = writeln!(
            text,
            "| {} | {count} | {:.1} s |",
            kind.name(),
            worst.as_secs_f64()
        );
    }
    for (wrong, times) in wrong {
        let _ = write!(text, "\nWRONG ({times} x): {wrong}");
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_has_every_fault_and_every_failed_check() {
        let record = Record::default();
        for seconds in [1, 3, 2] {
            record.made(Made {
                kind: Kind::RedisKill,
                recovery: Duration::from_secs(seconds),
            });
        }
        let good = text(&record, 42, 20);
        for line in [
            "| Seed | 42 |",
            "| Faults | 3 |",
            "| Failed checks | 0 |",
            "| Redis killed | 3 | 3.0 s |",
        ] {
            assert!(good.lines().any(|one| one == line), "{line}: {good}");
        }
        assert!(!good.contains("WRONG"));
        record.is_wrong("a session is lost".to_owned());
        let bad = text(&record, 42, 20);
        assert!(bad.contains("| Failed checks | 1 |"), "{bad}");
        assert!(bad.contains("WRONG (1 x): a session is lost"), "{bad}");
    }
}
