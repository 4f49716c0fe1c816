//! Pictures of ratios.

use std::path::Path;

use anyhow::{Context as _, Result};
use plotters::prelude::*;

use crate::{report::ratio, results::Section, stats::Spread};

const WIDTH: u32 = 900;
const ROW_HEIGHT: u32 = 26;
const HEAD_HEIGHT: u32 = 70;
const LABEL_WIDTH: u32 = 460;
const FONT: &str = "sans-serif";
const BAR: RGBColor = RGBColor(79, 80, 160);
const SPREAD: RGBColor = RGBColor(32, 33, 60);
const GOAL: RGBColor = RGBColor(176, 32, 32);

/// Ratios beyond it are cut off.
const MOST: f64 = 1.5;

struct Row {
    label: String,
    ratio: Spread,
    goal: Option<f64>,
}

/// Draws a section's ratios, a bar for each variant, with its quartiles and its goal.
///
/// # Errors
/// The file can't be written.
pub(crate) fn draw(section: &Section, path: &Path) -> Result<()> {
    let rows = rows(section);
    // A variant that is 35 times as fast would leave nothing to see of the others.
    let most = rows
        .iter()
        .map(|row| row.ratio.high.min(MOST))
        .fold(1.0, f64::max)
        * 1.05;
    let height = HEAD_HEIGHT + ROW_HEIGHT * u32::try_from(rows.len())?;
    let name = || path.display().to_string();
    let root = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE).with_context(name)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(
            "requests a second, as a ratio; quartiles as lines, goals in red",
            (FONT, 16),
        )
        .margin(8)
        .x_label_area_size(24)
        .y_label_area_size(LABEL_WIDTH)
        .build_cartesian_2d(0.0..most, 0.0..rows.len() as f64)
        .with_context(name)?;
    let label = |at: &f64| {
        // Rows come from the top.
        let row = rows.iter().rev().nth(at.floor() as usize);
        row.filter(|_| (at.fract() - 0.5).abs() < 0.01)
            .map_or(String::new(), |row| row.label.clone())
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(2 * rows.len() + 1)
        .y_label_formatter(&label)
        .label_style((FONT, 13))
        .draw()
        .with_context(name)?;
    for (at, row) in rows.iter().rev().enumerate() {
        let bottom = at as f64 + 0.2;
        let (middle, top) = (bottom + 0.3, bottom + 0.6);
        let line = |from: (f64, f64), to: (f64, f64), colour: &RGBColor, width| {
            PathElement::new(vec![from, to], colour.stroke_width(width))
        };
        let end = row.ratio.median.min(most);
        let bar = Rectangle::new([(0.0, bottom), (end, top)], BAR.mix(0.6).filled());
        chart.draw_series([bar]).with_context(name)?;
        let (low, high) = (row.ratio.low.min(most), row.ratio.high.min(most));
        let spread = line((low, middle), (high, middle), &SPREAD, 2);
        chart.draw_series([spread]).with_context(name)?;
        if let Some(goal) = row.goal.filter(|goal| *goal < most) {
            let mark = line((goal, bottom - 0.1), (goal, top + 0.1), &GOAL, 2);
            chart.draw_series([mark]).with_context(name)?;
        }
    }
    root.present().with_context(name)
}

fn rows(section: &Section) -> Vec<Row> {
    let rows = section.pictured().flat_map(|comparison| {
        let (base, others) = comparison.variants.split_first()?;
        Some(others.iter().map(|variant| {
            let ratio = ratio(comparison.measure, variant, base);
            let cut_off = match ratio.median {
                median if median > MOST => format!(" ({median:.1}, cut off)"),
                _ => String::new(),
            };
            Row {
                label: format!("{}: {}{cut_off}", comparison.work, variant.name),
                ratio,
                goal: variant.goal,
            }
        }))
    });
    rows.flatten().collect()
}
