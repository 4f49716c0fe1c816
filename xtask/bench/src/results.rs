//! What was measured, as it is kept in docs/benchmarks/results.json.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// All sections by their names, each as it was measured last.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results(pub(crate) BTreeMap<String, Section>);

/// One kind of measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Section {
    pub(crate) title: String,
    /// What was done, and how to read it.
    pub(crate) about: String,
    pub(crate) facts: Facts,
    pub(crate) comparisons: Vec<Comparison>,
    pub(crate) figures: Vec<Figure>,
}

/// When and where it was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub(crate) date: String,
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) versions: String,
    pub(crate) command: String,
}

/// The same work done by several variants, in turns.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Comparison {
    pub(crate) work: String,
    #[serde(default)]
    pub(crate) measure: Measure,
    /// The first one is what the others are compared with.
    pub(crate) variants: Vec<Variant>,
}

/// What variants are compared by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Measure {
    /// Requests a second: more is better.
    #[default]
    Throughput,
    /// The time that 99 of 100 answers do not exceed: less is better.
    Latency,
}

impl Measure {
    /// A run's number.
    pub(crate) fn of(self, run: &Run) -> f64 {
        match self {
            Self::Throughput => run.requests_per_s,
            Self::Latency => run.p99_us,
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Variant {
    pub(crate) name: String,
    /// One for each round: those of one number ran next to each other.
    pub(crate) runs: Vec<Run>,
    /// What the ratio to the first variant is to be: of throughput at least, of latency at
    /// most.
    pub(crate) goal: Option<f64>,
}

/// One run of the load generator.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) requests_per_s: f64,
    /// Time of the server's process on processors, for each request.
    pub(crate) cpu_us: Option<f64>,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: Option<f64>,
}

/// A single number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) unit: String,
    /// What it is to be, at most.
    pub(crate) goal: Option<f64>,
}

impl Section {
    /// The comparisons that its picture shows.
    pub(crate) fn pictured(&self) -> impl Iterator<Item = &Comparison> {
        let comparisons = self.comparisons.iter();
        comparisons.filter(|comparison| comparison.measure == Measure::Throughput)
    }
}

impl Figure {
    pub(crate) fn new(what: impl Into<String>, value: f64, unit: &str, goal: Option<f64>) -> Self {
        Self {
            what: what.into(),
            value,
            unit: unit.to_owned(),
            goal,
        }
    }
}

impl Results {
    /// Reads what was measured before; nothing where there is no such file.
    ///
    /// # Errors
    /// The file is not one of ours.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text)
            .with_context(|| format!("{}: not results of this program; remove it", path.display()))
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// The file can't be written.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(path, text).with_context(|| path.display().to_string())
    }
}
