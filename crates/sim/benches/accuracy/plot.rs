//! The table as a picture: SVG, because that is text.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use super::Row;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 420.0;
const MARGIN: f64 = 60.0;
/// Decades of microseconds on both axes: jitter from 10 µs, error from 1 µs.
const JITTER_DECADES: (f64, f64) = (1.0, 4.0);
const ERROR_DECADES: (f64, f64) = (0.0, 3.0);

/// Writes `accuracy.svg` into a directory and tells where it is.
pub(crate) fn write(directory: &Path, rows: &[Row]) -> io::Result<PathBuf> {
    std::fs::create_dir_all(directory)?;
    let path = directory.join("accuracy.svg");
    std::fs::write(&path, draw(rows))?;
    Ok(path)
}

fn draw(rows: &[Row]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    axes(&mut svg);
    let mut wanders: Vec<f64> = rows.iter().map(|row| row.wander).collect();
    wanders.dedup();
    for (index, wander) in wanders.iter().enumerate() {
        let of_wander = || rows.iter().filter(|row| row.wander == *wander);
        let colour = ["#0b5cad", "#b4450f"][index % 2];
        let clock = of_wander().map(|row| (row.jitter, row.clock_s));
        line(&mut svg, colour, "", clock);
        let best = of_wander().map(|row| (row.jitter, row.best_s));
        line(&mut svg, colour, "5 4", best);
        let at = MARGIN + 20.0 + 34.0 * index as f64;
        text(&mut svg, MARGIN + 20.0, at, colour, &format!("wander {wander:e}: clock (line),"));
        text(&mut svg, MARGIN + 20.0, at + 15.0, colour, "clairvoyant filter (dashes)");
    }
    svg.push_str("</svg>\n");
    svg
}

fn axes(svg: &mut String) {
    for decade in JITTER_DECADES.0 as i32..=JITTER_DECADES.1 as i32 {
        let (x, _) = place(10_f64.powi(decade) * 1e-6, 1e-6);
        rule(svg, x, MARGIN, x, HEIGHT - MARGIN);
        text(
            svg,
            x - 12.0,
            HEIGHT - MARGIN + 18.0,
            "#333",
            &format!("{}", 10_i64.pow(decade as u32)),
        );
    }
    for decade in ERROR_DECADES.0 as i32..=ERROR_DECADES.1 as i32 {
        let (_, y) = place(1e-5, 10_f64.powi(decade) * 1e-6);
        rule(svg, MARGIN, y, WIDTH - MARGIN, y);
        text(svg, MARGIN - 40.0, y + 4.0, "#333", &format!("{}", 10_i64.pow(decade as u32)));
    }
    text(svg, WIDTH / 2.0 - 60.0, HEIGHT - 14.0, "#333", "jitter in microseconds");
    text(svg, 12.0, MARGIN - 24.0, "#333", "RMS clock error in microseconds, poll 64 s");
}

fn rule(svg: &mut String, x1: f64, y1: f64, x2: f64, y2: f64) {
    let _ = writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#ddd\"/>"
    );
}

fn text(svg: &mut String, x: f64, y: f64, colour: &str, words: &str) {
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"{colour}\">{words}</text>");
}

fn line(svg: &mut String, colour: &str, dashes: &str, values: impl Iterator<Item = (f64, f64)>) {
    let points: Vec<String> = values
        .map(|(jitter, error)| place(jitter, error))
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" \
         stroke-dasharray=\"{dashes}\"/>",
        points.join(" ")
    );
}

/// Where a jitter and an error, both in seconds, are on the picture; both axes are logarithmic.
fn place(jitter: f64, error: f64) -> (f64, f64) {
    let share = |value: f64, (low, high): (f64, f64)| ((value * 1e6).log10() - low) / (high - low);
    let x = MARGIN + share(jitter, JITTER_DECADES) * (WIDTH - 2.0 * MARGIN);
    let y = HEIGHT - MARGIN - share(error, ERROR_DECADES) * (HEIGHT - 2.0 * MARGIN);
    (x, y)
}
