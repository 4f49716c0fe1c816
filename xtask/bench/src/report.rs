//! docs/benchmarks.md, made from the results and from nothing else.

use std::fmt::Write as _;

use crate::{
    results::{Comparison, Facts, Figure, Measure, Results, Run, Section, Variant},
    sections::KINDS,
    stats::Spread,
};

/// The ratio of what is measured of a variant to that of another one, within each round.
pub(crate) fn ratio(measure: Measure, variant: &Variant, base: &Variant) -> Spread {
    let pairs = variant.runs.iter().zip(&base.runs);
    Spread::of(pairs.map(|(run, base)| measure.of(run) / measure.of(base)))
}

/// The whole document.
pub(crate) fn document(results: &Results) -> String {
    let mut text = String::from(
        "# Benchmarks\n\n\
         Made by `cargo xtask bench`, which measures, and writes this file, its pictures and \
         [the numbers behind them](benchmarks/results.json); nothing here is typed by hand.\n\n\
         Machines are shared and noisy. So variants take turns, a ratio is taken between \
         neighbours in time, and what is shown is the median of all rounds, with the quartiles \
         in brackets. Absolute numbers say more about the machine than about the program.\n",
    );
    for kind in KINDS {
        if let Some(section) = results.0.get(kind.name) {
            push_section(&mut text, kind.name, section);
        }
    }
    text
}

fn push_section(text: &mut String, name: &str, section: &Section) {
    let Section {
        title,
        about,
        facts,
        comparisons,
        figures,
    } = section;
    let _ = write!(text, "\n## {title}\n\n{about}\n\n{}\n", facts_line(facts));
    if section.pictured().next().is_some() {
        let alt = format!("Ratios of the section {title}, as in the tables that follow");
        let _ = write!(text, "\n![{alt}](benchmarks/{name}.svg)\n");
    }
    for comparison in comparisons {
        push_comparison(text, comparison);
    }
    if !figures.is_empty() {
        text.push_str("\n| | Measured | Goal |\n|---|---|---|\n");
        for figure in figures {
            push_figure(text, figure);
        }
    }
}

fn facts_line(facts: &Facts) -> String {
    let Facts {
        date,
        processor,
        cores,
        kernel,
        versions,
        command,
    } = facts;
    format!(
        "Measured on {date} with `{command}`: {processor}, {cores} cores, {kernel}; {versions}."
    )
}

fn push_comparison(text: &mut String, comparison: &Comparison) {
    let Comparison {
        work,
        measure,
        variants,
    } = comparison;
    let Some(base) = variants.first() else { return };
    let (columns, ratio_of) = match measure {
        Measure::Throughput => ("CPU µs a request | p50 µs | p99 µs", "Ratio"),
        Measure::Latency => ("p50 µs | p99 µs | p99.9 µs", "Ratio of p99"),
    };
    let _ = write!(
        text,
        "\n| {work} | Requests/s | {columns} | {ratio_of} to the first | Goal |\n\
         |---|---|---|---|---|---|---|\n"
    );
    for variant in variants {
        let ratio = ratio(*measure, variant, base);
        let goal = match measure {
            Measure::Throughput => goal(variant.goal, "at least", |goal| ratio.median >= goal),
            Measure::Latency => goal(variant.goal, "at most", |goal| ratio.median <= goal),
        };
        let _ = writeln!(
            text,
            "| {} | {} | {:.3} [{:.3}, {:.3}] | {goal} |",
            variant.name,
            medians(*measure, &variant.runs),
            ratio.median,
            ratio.low,
            ratio.high,
        );
    }
}

/// Medians of what a table shows of runs.
fn medians(measure: Measure, runs: &[Run]) -> String {
    let median = |number: fn(&Run) -> Option<f64>, digits: usize| {
        let median = Spread::of(runs.iter().filter_map(number)).median;
        if median.is_finite() {
            format!("{median:.digits$}")
        } else {
            "not known".to_owned()
        }
    };
    let speed = median(|run| Some(run.requests_per_s), 0);
    let p50 = median(|run| Some(run.p50_us), 0);
    let p99 = median(|run| Some(run.p99_us), 0);
    match measure {
        Measure::Throughput => {
            let cpu = median(|run| run.cpu_us, 2);
            format!("{speed} | {cpu} | {p50} | {p99}")
        }
        Measure::Latency => {
            let p999 = median(|run| run.p999_us, 0);
            format!("{speed} | {p50} | {p99} | {p999}")
        }
    }
}

fn push_figure(text: &mut String, figure: &Figure) {
    let Figure {
        what, value, unit, ..
    } = figure;
    let digits = usize::from(value.abs() < 100.0);
    let goal = goal(figure.goal, "at most", |goal| *value <= goal);
    let _ = writeln!(text, "| {what} | {value:.digits$} {unit} | {goal} |");
}

fn goal(goal: Option<f64>, bound: &str, is_met: impl Fn(f64) -> bool) -> String {
    goal.map_or(String::new(), |goal| {
        let end = if is_met(goal) { "met" } else { "missed" };
        format!("{bound} {goal}: {end}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variant(name: &str, speeds: [f64; 3], goal: Option<f64>) -> Variant {
        let run = |requests_per_s| Run {
            requests_per_s,
            cpu_us: Some(8.0),
            p50_us: 200.0,
            p99_us: 400.0,
            p999_us: None,
        };
        Variant {
            name: name.to_owned(),
            runs: speeds.map(run).to_vec(),
            goal,
        }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let base = variant("base", [100.0, 10.0, 50.0], None);
        let other = variant("other", [90.0, 8.0, 50.0], Some(0.95));
        assert_eq!(ratio(Measure::Throughput, &other, &base).median, 0.9);
        let mut text = String::new();
        push_comparison(
            &mut text,
            &Comparison {
                work: "work".to_owned(),
                measure: Measure::Throughput,
                variants: vec![base, other],
            },
        );
        assert!(
            text.ends_with(
                "| base | 50 | 8.00 | 200 | 400 | 1.000 [1.000, 1.000] |  |\n\
                 | other | 50 | 8.00 | 200 | 400 | 0.900 [0.850, 0.950] | at least 0.95: missed |\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn of_latencies_less_is_better() {
        let slower = |p99_us| {
            let mut variant = variant("sandbox", [5.0; 3], Some(1.1));
            for run in &mut variant.runs {
                (run.p99_us, run.p999_us) = (p99_us, Some(900.0));
            }
            variant
        };
        for (p99_us, end) in [
            (
                420.0,
                "| sandbox | 5 | 200 | 420 | 900 | 1.050 [1.050, 1.050] | at most 1.1: met |\n",
            ),
            (
                460.0,
                "| sandbox | 5 | 200 | 460 | 900 | 1.150 [1.150, 1.150] | at most 1.1: missed |\n",
            ),
        ] {
            let comparison = Comparison {
                work: "work".to_owned(),
                measure: Measure::Latency,
                variants: vec![variant("base", [5.0; 3], None), slower(p99_us)],
            };
            let mut text = String::new();
            push_comparison(&mut text, &comparison);
            let base = "| base | 5 | 200 | 400 | not known | 1.000 [1.000, 1.000] |  |\n";
            assert!(text.ends_with(&format!("{base}{end}")), "{text}");
        }
    }

    #[test]
    fn a_figure_says_whether_its_goal_is_met() {
        let line = |value, goal| {
            let mut text = String::new();
            push_figure(&mut text, &Figure::new("start", value, "ms", goal));
            text
        };
        assert_eq!(
            line(4.56, Some(5.0)),
            "| start | 4.6 ms | at most 5: met |\n"
        );
        assert_eq!(
            line(456.7, Some(5.0)),
            "| start | 457 ms | at most 5: missed |\n"
        );
        assert_eq!(line(4.0, None), "| start | 4.0 ms |  |\n");
    }
}
