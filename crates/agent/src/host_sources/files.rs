//! The daemons' own files, read as far as they name servers.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::Line;

/// Octets of one file that are read.
const FILE_OCTETS_MAX: u64 = 256 * 1_024;
/// Files of one daemon that are read, so that files which include each other come to an end.
const FILES_MAX: u32 = 64;
/// How deep files may include others.
const DEPTH_MAX: u32 = 8;

/// `server`, `pool` and `peer` lines of chrony, with `include`, `confdir` and `sourcedir`.
pub(super) fn chrony(root: &Path, file: &Path) -> Vec<Line> {
    let (mut lines, mut left) = (Vec::new(), FILES_MAX);
    chrony_file(root, file, 0, &mut left, &mut lines);
    lines
}

fn chrony_file(root: &Path, file: &Path, depth: u32, left: &mut u32, lines: &mut Vec<Line>) {
    if depth > DEPTH_MAX || *left == 0 {
        return;
    }
    *left -= 1;
    for line in read(file).lines() {
        let words = words(line, &['#', '%', ';', '!']);
        let Some((&directive, rest)) = words.split_first() else { continue };
        let (extension, directories) = match directive.to_ascii_lowercase().as_str() {
            "confdir" => ("conf", rest),
            "sourcedir" => ("sources", rest),
            "include" => {
                for &path in rest.iter().take(1) {
                    chrony_file(root, &under(root, path), depth + 1, left, lines);
                }
                continue;
            }
            directive => {
                lines.extend(server(directive, rest));
                continue;
            }
        };
        for &directory in directories {
            for file in entries(&under(root, directory), extension) {
                chrony_file(root, &file, depth + 1, left, lines);
            }
        }
    }
}

/// `server`, `pool` and `peer` lines of ntpd and ntpsec, without reference clocks.
pub(super) fn ntp(_root: &Path, file: &Path) -> Vec<Line> {
    let text = read(file);
    let lines = text.lines().filter_map(|line| {
        let words = words(line, &[]);
        let (&directive, rest) = words.split_first()?;
        let flags = rest.iter().take_while(|word| word.starts_with('-')).count();
        server(&directive.to_ascii_lowercase(), &rest[flags..])
    });
    lines.filter(|line| !line.address.starts_with("127.127.")).collect()
}

/// `NTP=` of systemd-timesyncd, or else its `FallbackNTP=`, with drop-ins.
pub(super) fn timesyncd(root: &Path, file: &Path) -> Vec<Line> {
    let mut ntp: Vec<String> = Vec::new();
    let mut fallback: Vec<String> = Vec::new();
    let drop_ins = entries(&root.join("etc/systemd/timesyncd.conf.d"), "conf");
    for file in [file.to_owned()].iter().chain(&drop_ins) {
        let mut is_time = false;
        for line in read(file).lines().map(str::trim) {
            if line.starts_with('[') {
                is_time = line == "[Time]";
            } else if is_time && let Some((key, value)) = line.split_once('=') {
                let list = match key.trim() {
                    "NTP" => &mut ntp,
                    "FallbackNTP" => &mut fallback,
                    _ => continue,
                };
                if value.trim().is_empty() {
                    list.clear();
                }
                list.extend(value.split_whitespace().map(str::to_owned));
            }
        }
    }
    let list = if ntp.is_empty() { fallback } else { ntp };
    list.into_iter().map(Line::server).collect()
}

/// The server that a directive with its arguments names, if it names one.
fn server(directive: &str, arguments: &[&str]) -> Option<Line> {
    let is_pool = match directive {
        "server" | "peer" => false,
        "pool" => true,
        _ => return None,
    };
    let (&address, options) = arguments.split_first()?;
    let mut line = Line { is_pool, ..Line::server(address.to_owned()) };
    let (mut min, mut max) = (None, None);
    for (i, option) in options.iter().enumerate() {
        let value = options.get(i + 1);
        let exponent = || value.and_then(|v| v.parse().ok()).filter(|v| (-4..=17).contains(v));
        match option.to_ascii_lowercase().as_str() {
            "minpoll" => min = exponent(),
            "maxpoll" => max = exponent(),
            "port" => line.port = value.and_then(|v| v.parse().ok()).filter(|&port| port > 0),
            "prefer" => line.options.prefer = true,
            "noselect" => line.options.noselect = true,
            // Quick first requests are right for an agent that has just started.
            _ => {}
        }
    }
    let limit: i8 = max.unwrap_or(line.poll.max);
    line.poll.min = min.unwrap_or(line.poll.min.min(limit));
    line.poll.max = limit.max(line.poll.min);
    Some(line)
}

/// The words of a line up to a comment; `marks` begin a comment only at the line's start.
fn words<'a>(line: &'a str, marks: &[char]) -> Vec<&'a str> {
    let line = line.trim();
    if line.starts_with(marks) {
        return Vec::new();
    }
    line.split('#').next().unwrap_or_default().split_whitespace().collect()
}

/// The text of a file; empty where it cannot be read.
fn read(path: &Path) -> String {
    let mut octets = Vec::new();
    // What is missing or forbidden names no server.
    let _ = File::open(path).and_then(|file| file.take(FILE_OCTETS_MAX).read_to_end(&mut octets));
    String::from_utf8_lossy(&octets).into_owned()
}

/// The files of a directory that end in `extension`, by name.
fn entries(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    paths.sort();
    paths
}

/// An absolute path of the host, below `root`.
fn under(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}
