//! The table as a picture: one line a way, from its median to its 99th percentile.

use super::report::Row;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

const LINE: f64 = 24.0;
const NAMES: f64 = 330.0;
const DECADE: f64 = 90.0;
/// Powers of ten of a microsecond.
const DECADES: (i32, i32) = (-1, 6);

/// Writes `fire.svg` into a directory and tells where it is.
pub(super) fn write(directory: &Path, rows: &[Row]) -> io::Result<PathBuf> {
    std::fs::create_dir_all(directory)?;
    let path = directory.join("fire.svg");
    std::fs::write(&path, draw(rows))?;
    Ok(path)
}

fn draw(rows: &[Row]) -> String {
    let width = NAMES + DECADE * f64::from(DECADES.1 - DECADES.0) + 20.0;
    let height = LINE * (rows.len() as f64 + 2.0);
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' \
         font-family='sans-serif' font-size='12'><rect width='100%' height='100%' fill='white'/>"
    );
    for power in DECADES.0..=DECADES.1 {
        let (x, bottom) = (place(10_f64.powi(power)), height - LINE);
        let label = match power {
            ..0 => "0.1 µs".to_owned(),
            0..3 => format!("{} µs", 10_u32.pow(power.unsigned_abs())),
            3..6 => format!("{} ms", 10_u32.pow(power.unsigned_abs() - 3)),
            _ => "1 s".to_owned(),
        };
        let y = height - LINE / 3.0;
        draw_to(&mut svg, format_args!("<path d='M{x} 8V{bottom}' stroke='#ddd'/>"));
        draw_to(
            &mut svg,
            format_args!("<text x='{x}' y='{y}' text-anchor='middle'>{label}</text>"),
        );
    }
    for (number, row) in rows.iter().enumerate() {
        let y = LINE * (number as f64 + 1.0);
        let (from, to, text) = (place(row.p50), place(row.p99), y + 4.0);
        let name = row.name.replace('&', "&amp;").replace('<', "&lt;");
        draw_to(&mut svg, format_args!("<text x='8' y='{text}'>{name}</text>"));
        draw_to(
            &mut svg,
            format_args!("<path d='M{from} {y}H{to}' stroke='#47c' stroke-width='4'/>"),
        );
        draw_to(&mut svg, format_args!("<circle cx='{from}' cy='{y}' r='5' fill='#235'/>"));
    }
    svg + "</svg>\n"
}

fn place(micros: f64) -> f64 {
    let decades = micros.max(10_f64.powi(DECADES.0)).log10() - f64::from(DECADES.0);
    NAMES + DECADE * decades.min(f64::from(DECADES.1 - DECADES.0))
}

fn draw_to(svg: &mut String, what: std::fmt::Arguments<'_>) {
    svg.write_fmt(what).expect("a string takes everything");
}
