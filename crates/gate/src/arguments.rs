//! What the gate is asked to do.

use crate::accuracy::{Accuracy, SEGMENT};
use crate::hold::Trigger;
use crate::instant::{InstantError, parse_instant, parse_limit, parse_span};
use crate::sys::{Pid, Vector};
use crate::text::Shown;
use core::ffi::CStr;
use thiserror::Error;
use timeball_timebase::Timestamp;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Holds a command until an instant, then lets it be.

Usage: timeball-gate --at INSTANT [--not-after LIMIT] [--mode entry|exec] -- COMMAND [ARG...]
       timeball-gate --on FD [--mode entry|exec] -- COMMAND [ARG...]
       timeball-gate --at INSTANT [--not-after LIMIT] --mode signal PID
       timeball-gate --at INSTANT [--not-after LIMIT] --mode fifo PATH

  --at INSTANT       2026-11-21T12:00:00.25Z, with an offset such as +01:00 for the Z,
                     or @ and Unix seconds: @1795262400.25. One that has passed: at once.
  --not-after LIMIT  later than this is too late: an instant, or +SPAN after --at (+500ms;
                     units ns, us, ms, s, m, h). Without it nothing is too late.
  --max-error SPAN   the clock may be this far from UTC at most (5ms), by the bound that a time
                     service shares; farther, or unknown: the command never begins
  --segment PATH     where it is shared (/var/run/clockbound/shm0)
  --on FD            instead of at an instant, when an octet can be read from this descriptor;
                     it closes: revoked. Another program decides when (see below).
  --file PATH        the command's file, which else is looked for in PATH
  --mode entry       load the command now, hold it at its entry point, let it begin at the
                     instant (default); where that is not possible as `exec`, which is said
         exec        begin to load the command at the instant
         signal PID  send SIGCONT to the process at the instant
         fifo PATH   write one octet, a line feed, to the FIFO at the instant
  --now              print the system clock in the form that --at takes
  -h, --help         print this
  -V, --version      print the version

SIGTERM, SIGINT, SIGHUP or SIGQUIT before the instant revoke: the command never begins.
With --on, signals are not sent on to the command (signal the process group instead), and a
socket is told of the progress in single octets: H held, X to be executed, B let go, E failed.
Exit status: that of the command (ended by a signal: by the same), and of the gate itself
122 revoked, 123 missed (--not-after, --max-error), 125 failed, 126 COMMAND cannot be run,
127 not found.
";

/// A request to the gate.
#[derive(Debug)]
pub(crate) enum Request<'a> {
    /// Print [`HELP`].
    Help,
    /// Print the version.
    Version,
    /// Print the system clock.
    Now,
    /// Wait, then act.
    Gate(Gate<'a>),
}

/// When, and what.
#[derive(Debug)]
pub(crate) struct Gate<'a> {
    /// When.
    pub(crate) trigger: Trigger,
    /// How wrong the clock may be; `None`: it is not asked.
    pub(crate) accuracy: Option<Accuracy<'a>>,
    /// The command's file; `None`: it is looked for by its name.
    pub(crate) file: Option<&'a [u8]>,
    /// What is to be done.
    pub(crate) deed: Deed<'a>,
}

/// What is to be done at the instant.
#[derive(Debug)]
pub(crate) enum Deed<'a> {
    /// Let the command begin that is held at its entry point.
    Entry(Vector<'a>),
    /// Execute the command.
    Exec(Vector<'a>),
    /// Send SIGCONT.
    Signal(Pid),
    /// Write an octet.
    Fifo(&'a CStr),
}

/// Why the arguments are no request.
#[derive(Debug, Error)]
pub(crate) enum ArgumentError<'a> {
    #[error("`{0}` is no option; before COMMAND put `--`, and see --help")]
    Unknown(Shown<'a>),
    #[error("{0} needs a value, such as {1}")]
    NoValue(&'static str, &'static str),
    #[error("{0} is given twice; give it once")]
    Twice(&'static str),
    #[error("--at is missing; give the instant: --at 2026-11-21T12:00:00.25Z")]
    NoInstant,
    #[error("{option} `{text}`: {reason}; write it like {example}")]
    Instant { option: &'static str, text: Shown<'a>, reason: InstantError, example: &'static str },
    #[error("--at and --on exclude each other; give one of them")]
    InstantAndDescriptor,
    #[error("--not-after is for --at; whoever writes to the descriptor of --on knows when it is")]
    LimitWithoutInstant,
    #[error("--max-error is for --at; whoever writes to the descriptor of --on knows the clock")]
    AccuracyWithoutInstant,
    #[error("--segment is for --max-error; give that, too")]
    SegmentWithoutAccuracy,
    #[error("--on `{0}` is no descriptor; give the number of one that is open, 3 or more")]
    Descriptor(Shown<'a>),
    #[error("{0} is for a command, and --mode {1} has none; leave it out")]
    WithoutCommand(&'static str, &'static str),
    #[error("--not-after is before --at; nothing could ever be in time")]
    LimitBeforeInstant,
    #[error("--mode `{0}` is none; use entry, exec, signal or fifo")]
    Mode(Shown<'a>),
    #[error("no command; put it at the end: -- COMMAND [ARG...]")]
    NoCommand,
    #[error("--mode {0} takes one {1} and no command")]
    NotOneTarget(&'static str, &'static str),
    #[error("PID `{0}` is no process number; give a whole number greater than 1")]
    Pid(Shown<'a>),
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    Entry,
    Exec,
    Signal,
    Fifo,
}

/// Reads the arguments, without the program's own name.
pub(crate) fn parse<'a>(mut arguments: Vector<'a>) -> Result<Request<'a>, ArgumentError<'a>> {
    let mut given = Given::default();
    let targets = loop {
        let here = arguments.clone();
        let Some(argument) = arguments.next() else { break here };
        let (name, joined) = split(argument);
        let (place, name, example) = match name {
            b"--" => break arguments,
            b"-h" | b"--help" => return Ok(Request::Help),
            b"-V" | b"--version" => return Ok(Request::Version),
            b"--now" => return Ok(Request::Now),
            b"--at" => (&mut given.at, "--at", "@1795262400.25"),
            b"--not-after" => (&mut given.not_after, "--not-after", "+500ms"),
            b"--max-error" => (&mut given.max_error, "--max-error", "5ms"),
            b"--segment" => (&mut given.segment, "--segment", "/var/run/clockbound/shm0"),
            b"--on" => (&mut given.on, "--on", "3"),
            b"--file" => (&mut given.file, "--file", "/usr/bin/true"),
            b"--mode" => (&mut given.mode, "--mode", "entry"),
            name if name.starts_with(b"-") => return Err(ArgumentError::Unknown(Shown(name))),
            _ => break here,
        };
        if place.is_some() {
            return Err(ArgumentError::Twice(name));
        }
        let value = joined.or_else(|| arguments.next());
        *place = Some(value.ok_or(ArgumentError::NoValue(name, example))?);
    };
    let trigger = trigger(&given)?;
    let accuracy = accuracy(&given)?;
    let deed = deed(parse_mode(given.mode)?, targets)?;
    let without_command = match deed {
        Deed::Entry(_) | Deed::Exec(_) => None,
        Deed::Signal(_) => Some("signal"),
        Deed::Fifo(_) => Some("fifo"),
    };
    let file = given.file.map(CStr::to_bytes);
    match (without_command, given.on, file) {
        (Some(mode), Some(_), _) => Err(ArgumentError::WithoutCommand("--on", mode)),
        (Some(mode), _, Some(_)) => Err(ArgumentError::WithoutCommand("--file", mode)),
        _ => Ok(Request::Gate(Gate { trigger, accuracy, file, deed })),
    }
}

/// The values of the options, unread.
#[derive(Default)]
struct Given<'a> {
    at: Option<&'a CStr>,
    not_after: Option<&'a CStr>,
    max_error: Option<&'a CStr>,
    segment: Option<&'a CStr>,
    on: Option<&'a CStr>,
    file: Option<&'a CStr>,
    mode: Option<&'a CStr>,
}

fn accuracy<'a>(given: &Given<'a>) -> Result<Option<Accuracy<'a>>, ArgumentError<'a>> {
    let Some(text) = given.max_error.map(CStr::to_bytes) else {
        let unused = given.segment.map(|_| ArgumentError::SegmentWithoutAccuracy);
        return unused.map_or(Ok(None), Err);
    };
    if given.on.is_some() {
        return Err(ArgumentError::AccuracyWithoutInstant);
    }
    let max_error = parse_span(text).map_err(|reason| ArgumentError::Instant {
        option: "--max-error",
        text: Shown(text),
        reason,
        example: "5ms",
    })?;
    Ok(Some(Accuracy { max_error, segment: given.segment.unwrap_or(SEGMENT) }))
}

fn trigger<'a>(given: &Given<'a>) -> Result<Trigger, ArgumentError<'a>> {
    let text = match (given.at.map(CStr::to_bytes), given.on.map(CStr::to_bytes)) {
        (Some(_), Some(_)) => return Err(ArgumentError::InstantAndDescriptor),
        (None, None) => return Err(ArgumentError::NoInstant),
        (None, Some(_)) if given.not_after.is_some() => {
            return Err(ArgumentError::LimitWithoutInstant);
        }
        (None, Some(text)) => {
            let number: Option<i32> = number(text);
            return match number.filter(|number| *number > 2) {
                Some(number) => Ok(Trigger::Descriptor(number)),
                None => Err(ArgumentError::Descriptor(Shown(text))),
            };
        }
        (Some(text), None) => text,
    };
    let at = parse_instant(text).map_err(|reason| ArgumentError::Instant {
        option: "--at",
        text: Shown(text),
        reason,
        example: "2026-11-21T12:00:00.25Z or @1795262400.25",
    })?;
    let not_after = given.not_after.map(CStr::to_bytes);
    let not_after = not_after.map(|text| parse_not_after(text, at)).transpose()?;
    Ok(Trigger::Instant { at, not_after })
}

fn number(text: &[u8]) -> Option<i32> {
    core::str::from_utf8(text).ok()?.parse().ok()
}

fn parse_not_after(text: &[u8], at: Timestamp) -> Result<Timestamp, ArgumentError<'_>> {
    let limit = parse_limit(text, at).map_err(|reason| ArgumentError::Instant {
        option: "--not-after",
        text: Shown(text),
        reason,
        example: "+500ms or 2026-11-21T12:00:01Z",
    })?;
    if limit < at { Err(ArgumentError::LimitBeforeInstant) } else { Ok(limit) }
}

fn parse_mode(text: Option<&CStr>) -> Result<Mode, ArgumentError<'_>> {
    match text.map(CStr::to_bytes) {
        None | Some(b"entry") => Ok(Mode::Entry),
        Some(b"exec") => Ok(Mode::Exec),
        Some(b"signal") => Ok(Mode::Signal),
        Some(b"fifo") => Ok(Mode::Fifo),
        Some(other) => Err(ArgumentError::Mode(Shown(other))),
    }
}

fn deed<'a>(mode: Mode, targets: Vector<'a>) -> Result<Deed<'a>, ArgumentError<'a>> {
    let mut rest = targets.clone();
    let first = rest.next();
    let only = first.filter(|_| rest.next().is_none());
    match mode {
        Mode::Entry | Mode::Exec if first.is_none_or(CStr::is_empty) => {
            Err(ArgumentError::NoCommand)
        }
        Mode::Entry => Ok(Deed::Entry(targets)),
        Mode::Exec => Ok(Deed::Exec(targets)),
        Mode::Signal => {
            let text = only.ok_or(ArgumentError::NotOneTarget("signal", "PID"))?.to_bytes();
            match number(text).filter(|number| *number > 1) {
                Some(number) => Ok(Deed::Signal(Pid(number))),
                None => Err(ArgumentError::Pid(Shown(text))),
            }
        }
        Mode::Fifo => only.map(Deed::Fifo).ok_or(ArgumentError::NotOneTarget("fifo", "PATH")),
    }
}

/// Splits `--name=value`.
fn split(argument: &CStr) -> (&[u8], Option<&CStr>) {
    let octets = argument.to_bytes();
    match octets.iter().position(|octet| *octet == b'=') {
        Some(at) if octets.starts_with(b"--") => (&octets[..at], Some(&argument[at + 1..])),
        _ => (octets, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::OwnedVector;
    use std::ffi::CString;
    use std::format;
    use std::string::{String, ToString};

    fn parsed(line: &str) -> String {
        let words = line.split_whitespace().map(|word| CString::new(word).unwrap()).collect();
        let owned = OwnedVector::new(words);
        match parse(owned.as_vector()) {
            Ok(Request::Gate(gate)) => {
                let trigger = match gate.trigger {
                    Trigger::Instant { at, not_after: None } => at.to_string(),
                    Trigger::Instant { at, not_after: Some(limit) } => {
                        format!("{at} until {limit}")
                    }
                    Trigger::Descriptor(number) => format!("on {number}"),
                };
                let accuracy = gate.accuracy.map_or_else(String::new, |accuracy| {
                    format!("within {} by {:?} ", accuracy.max_error, accuracy.segment)
                });
                let file =
                    gate.file.map_or_else(String::new, |file| format!("{} as ", Shown(file)));
                let deed = match gate.deed {
                    Deed::Entry(command) => format!("entry {:?}", command.collect::<Vec<_>>()),
                    Deed::Exec(command) => format!("exec {:?}", command.collect::<Vec<_>>()),
                    Deed::Signal(pid) => format!("signal {}", pid.0),
                    Deed::Fifo(path) => format!("fifo {path:?}"),
                };
                format!("{trigger} {accuracy}{file}{deed}")
            }
            Ok(other) => format!("{other:?}"),
            Err(error) => error.to_string(),
        }
    }
    use std::vec::Vec;

    #[test]
    fn requests_are_read() {
        let t = "2026-11-18T11:06:40Z";
        for (line, expected) in [
            ("--at @1795000000 -- true", format!("{t} entry [\"true\"]")),
            ("--at=@1795000000 sleep -h 5", format!("{t} entry [\"sleep\", \"-h\", \"5\"]")),
            ("--at @1795000000 --mode=exec -- --odd", format!("{t} exec [\"--odd\"]")),
            ("--mode signal --at @1795000000 77", format!("{t} signal 77")),
            ("--at @1795000000 --mode signal -- 77", format!("{t} signal 77")),
            ("--at @1795000000 --mode fifo a", format!("{t} fifo \"a\"")),
            (
                "--at @1795000000 --not-after +250ms -- a",
                format!("{t} until 2026-11-18T11:06:40.250Z entry [\"a\"]"),
            ),
            (
                "--at @1795000000 --max-error=5ms --segment=/a -- b",
                format!("{t} within +5.00 ms by \"/a\" entry [\"b\"]"),
            ),
            ("--on 7 -- a b", "on 7 entry [\"a\", \"b\"]".to_string()),
            ("--on=4 --file=/x --mode exec a", "on 4 /x as exec [\"a\"]".to_string()),
            ("--help", "Help".to_string()),
            ("-V", "Version".to_string()),
            ("--now", "Now".to_string()),
        ] {
            assert_eq!(parsed(line), expected, "{line}");
        }
    }

    #[test]
    fn wrong_arguments_are_named_with_the_fix() {
        for (line, expected) in [
            ("", "--at is missing"),
            ("-- true", "--at is missing"),
            ("--at", "--at needs a value, such as @1795262400.25"),
            ("--at noon -- true", "--at `noon`: character 1: expected a year of four digits"),
            ("--at @5 --at @6 -- true", "--at is given twice"),
            ("--at @5 --when -- true", "`--when` is no option"),
            ("--at @5", "no command"),
            ("--at @5 --", "no command"),
            ("--at @5 --mode later -- true", "--mode `later` is none; use entry, exec"),
            ("--at @5 --mode signal", "--mode signal takes one PID"),
            ("--at @5 --mode signal 1 2", "--mode signal takes one PID"),
            ("--at @5 --mode signal 1", "PID `1` is no process number"),
            ("--at @5 --mode signal -- -77", "PID `-77` is no process number"),
            ("--at @5 --mode fifo", "--mode fifo takes one PATH"),
            ("--at @5 --not-after @4 -- true", "--not-after is before --at"),
            ("--at @5 --on 3 -- true", "--at and --on exclude each other"),
            ("--on 3 --not-after +1s -- true", "--not-after is for --at"),
            ("--on 3 --max-error 5ms -- true", "--max-error is for --at"),
            ("--at @5 --segment /a -- true", "--segment is for --max-error"),
            ("--at @5 --max-error 5 -- true", "--max-error `5`: character 2: expected a unit"),
            ("--on 2 -- true", "--on `2` is no descriptor"),
            ("--on 3 --mode fifo a", "--on is for a command, and --mode fifo has none"),
            ("--at @5 --file /x --mode signal 7", "--file is for a command"),
            ("--at @5 --not-after 4s -- true", "--not-after `4s`: character"),
        ] {
            let said = parsed(line);
            assert!(said.starts_with(expected), "{line}: {said}");
        }
    }
}
